/** Keeps what is added up within full scale. Its output is later by its attack: 1 ms. */
export const limiter = 'alimiter=level=false:limit=0.95:attack=1';

/** Channels in ffmpeg's order of the layouts with more than eight of them. */
const channelNames: Readonly<Record<string, string>> = {
  '5.1.4': 'FL FR FC LFE BL BR TFL TFR TBL TBR',
  '7.1.2': 'FL FR FC LFE BL BR SL SR TFL TFR',
  '7.1.4': 'FL FR FC LFE BL BR SL SR TFL TFR TBL TBR',
  '7.2.3': 'FL FR FC LFE BL BR SL SR TFL TFR TBC LFE2',
  '9.1.4': 'FL FR FC LFE BL BR FLC FRC SL SR TFL TFR TBL TBR',
  '9.1.6': 'FL FR FC LFE BL BR FLC FRC SL SR TFL TFR TBL TBR TSL TSR',
  hexadecagonal: 'FL FR FC BL BR BC SL SR TFL TFC TFR TBL TBC TBR WL WR',
  '22.2': 'FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR LFE2 TSL TSR BFC BFL BFR',
};

/** Where a channel is heard, and how loud before all are made softer. */
type Place = readonly [left: number, right: number];

const soft = Math.SQRT1_2;

/**
 * Returns the filter that mixes more than eight channels, which players do not support, to stereo. Channels with a known place go
 * to their side, center channels to both; otherwise, odd channels go left and even ones right. The mix of different channels is
 * as loud as their average; that of identical ones is louder, within full scale.
 */
export function toStereo(channels: number, layout = ''): string {
  const places = placesOf(channels, layout);
  return `pan=stereo|c0=${sum(places.map(([left]) => left))}|c1=${sum(places.map(([, right]) => right))},${limiter}`;
}

function placesOf(channels: number, layout: string): readonly Place[] {
  // ffmpeg 4.4 to 6.0 list the channels of a layout that has no name: `12 channels (FL+FR+FC+…)`.
  const listed = /\(([A-Z0-9]+(?:\+[A-Z0-9]+)+)\)/.exec(layout)?.[1]?.split('+');
  const names = channelNames[layout.replace(/\(.*\)$/, '')]?.split(' ') ?? listed ?? [];
  const named = names.length === channels ? names.map(placeOf) : [];
  const hasBoth = named.some(([left]) => left > 0) && named.some(([, right]) => right > 0);
  return hasBoth
    ? named
    : Array.from({ length: channels }, (_, index): Place => (index % 2 === 0 ? [1, 0] : [0, 1]));
}

function placeOf(name: string): Place {
  if (name === 'FL') return [1, 0];
  if (name === 'FR') return [0, 1];
  if (name.startsWith('LFE')) return [0, 0];
  if (name.endsWith('L') || name === 'FLC') return [soft, 0];
  if (name.endsWith('R') || name === 'FRC') return [0, soft];
  return [soft, soft];
}

function sum(gains: readonly number[]): string {
  const power = Math.sqrt(gains.reduce((total, gain) => total + gain * gain, 0));
  const added = gains.flatMap((gain, index) => (gain > 0 ? `${(gain / power).toFixed(4)}*c${index}` : []));
  return added.join('+');
}
