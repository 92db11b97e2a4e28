import type { AudioSelection } from '../../media/audioTracks';
import type { MediaInfo, Track } from '../../media/mediaInfo';
import { limiter, toStereo } from './downmix';
import { chain } from './filterChain';

/** The members of a preset that determine its encoder. */
interface Encoding {
  readonly arguments: readonly string[];
  readonly extension: string;
}

/** Channel layouts that the players of a format know, by channel count. */
interface AudioTarget {
  readonly layouts: readonly string[];
  readonly maxSampleRate?: number;
}

const layoutOf: Readonly<Record<string, number>> = {
  mono: 1,
  stereo: 2,
  '3.0': 3,
  quad: 4,
  '5.0': 5,
  '5.1': 6,
  '6.1': 7,
  '7.1': 8,
};

/** Layouts that FLAC's format has channel numbers for. https://www.rfc-editor.org/rfc/rfc9639.html#section-9.1.3 */
const flacLayouts = ['mono', 'stereo', '3.0', 'quad', '5.0', '5.1', '6.1', '7.1'];

const aacTarget: AudioTarget = { layouts: ['5.1', 'stereo', 'mono'], maxSampleRate: 48_000 };

/** A start that is later by at most this many seconds gets no silence. */
const startTolerance = 0.005;

/** Silence for samples that are no numbers, which end encoders: programs with a fault write them to files of floating point. */
const onlyNumbers = "aeval=exprs='if(isnan(val(ch))+isinf(val(ch)),0,val(ch))':c=same";

/** Codecs whose first packet gives no samples: the audio begins later than its track. */
const decodesLate = /^wma(v[12]|pro|voice)$/;

/** Silence for gaps from 30 ms on: shorter ones are jitter of time stamps, and ffmpeg's own 100 ms are out of step. */
const fillGaps = 'aresample=async=1:min_hard_comp=0.03';

/** The same, and silence before audio that begins late. */
const fillGapsFromStart = `${fillGaps}:first_pts=0`;

/** Formats without time stamps, of which ffmpeg counts the frames. */
const countedFormats = /^(mp3|aac|loas)$/;

/**
 * Times by the number of samples. ffmpeg assumes that every frame of a counted format is as long as the first one. Where the
 * sample rate changes, as in podcasts with advertisements, it would fill gaps that don't exist, and drop audio.
 */
const countSamples = 'aresample=async=1:min_hard_comp=1e6';

/** Formats of broadcasts, whose audio changes from stereo to 5.1 and back. */
const changingFormats = /^(mpegts|mpeg)$/;

/** Formats of audio that are often joined from recordings with different numbers of channels. */
const joinedFormats = /^(ogg|mp3|aac|loas|e?ac3|dts|flac)$/;

/**
 * ffmpeg makes its filters anew when the number of channels changes. Those that begin with silence would then begin with as
 * much as has been read before. What such a format loses is the silence at its very beginning: MP4, WebM and HLS keep the
 * time at which its audio begins.
 */
function mayChange({ format = '', tracks }: MediaInfo): boolean {
  const isAlone = tracks.filter(({ isAttachedPicture }) => !isAttachedPicture).length === 1;
  return changingFormats.test(format) || (isAlone && joinedFormats.test(format));
}

/**
 * Silence where a source has a gap, and before it begins, so that the output is as long as its source and in step with
 * its video.
 */
export function audioSync(tracks: readonly Track[], media: MediaInfo | undefined): string {
  const beginsAtOnce =
    tracks.length > 0 &&
    tracks.every(
      ({ startSeconds = 1, codec = '' }) =>
        Math.abs(startSeconds) <= startTolerance && !decodesLate.test(codec),
    );
  const mayBeInvalid = tracks.some(({ codec = '' }) => /^pcm_f(32|64)/.test(codec));
  const isCounted = countedFormats.test(media?.format ?? '');
  return chain(mayBeInvalid ? onlyNumbers : '', beginsAtOnce && !isCounted ? fillGaps : fillFromStart(media));
}

/** Silence where a source has a gap, and before it begins unless its number of channels may change. */
export function fillFromStart(media: MediaInfo | undefined): string {
  if (countedFormats.test(media?.format ?? '')) return countSamples;
  return media !== undefined && mayChange(media) ? fillGaps : fillGapsFromStart;
}

/** The filter that brings a track to a layout and sample rate that common players know; empty if it has them. */
export function audioLayout(encoding: Encoding, tracks: readonly Track[]): string {
  const target = targetOf(encoding);
  if (target === undefined) return '';
  const filters = new Set((tracks.length > 0 ? tracks : [undefined]).map((track) => toTarget(target, track)));
  const [filter = ''] = filters;
  // Several tracks with needs of their own: ffmpeg takes the nearest of these for each.
  return filters.size > 1 ? anyOf(target) : filter;
}

/** The same for one track that becomes AAC. */
export function aacLayout(track: Track): string {
  return toTarget(aacTarget, track);
}

/** The audio of a preset by its encoder; undefined for one that keeps any (PCM, copies). */
function targetOf({ arguments: args, extension }: Encoding): AudioTarget | undefined {
  const at = args.findLastIndex((arg) => /^-(c:a|codec:a|acodec)(:\d+)?$/.test(arg));
  const encoder = at < 0 ? '' : (args[at + 1] ?? '');
  if (encoder === 'copy' || encoder.startsWith('pcm_') || encoder === '${pcm}') return undefined;
  if (extension === 'm3u8' || encoder === 'libmp3lame' || extension === 'mp3') {
    return { layouts: ['stereo', 'mono'], maxSampleRate: 48_000 };
  }
  switch (encoder) {
    case 'libopus':
      return { layouts: ['7.1', '5.1', 'stereo', 'mono'], maxSampleRate: 48_000 };
    case 'flac':
      // https://www.rfc-editor.org/rfc/rfc9639.html#section-8.2, and ffmpeg's encoder
      return { layouts: flacLayouts, maxSampleRate: 655_350 };
    case 'aac':
    case 'libfdk_aac':
    case 'ac3':
    case 'eac3':
      return aacTarget;
    default:
      return { layouts: ['stereo', 'mono'], maxSampleRate: 48_000 };
  }
}

function toTarget(target: AudioTarget, track: Track | undefined): string {
  if (track === undefined) return anyOf(target);
  return chain(layoutFilter(target, track), rateFilter(target, track));
}

/** Codecs whose decoders name no layout, which encoders need. */
const withoutLayout = new Set(['speex', 'tta', 'shorten']);

function layoutFilter(target: AudioTarget, { channels, channelLayout, codec = '' }: Track): string {
  if (channels === undefined) return anyOf(target);
  if (channelLayout !== undefined && target.layouts.includes(channelLayout)) return '';
  // A layout of one or two channels may be anything (`1 channels (FL)`, `downmix`); what counts is their order.
  const isUsual = channelLayout === undefined && !withoutLayout.has(codec);
  if (channels === 1) return isUsual ? '' : 'pan=mono|c0=c0';
  if (channels === 2) return isUsual ? '' : 'pan=stereo|c0=c0|c1=c1';
  if (channels > 8) return toStereo(channels, channelLayout);
  if (channelLayout?.includes('channel')) return unnamedLayout(target, channels);
  const wanted = target.layouts
    .filter((layout) => (layoutOf[layout] ?? 0) >= Math.min(channels, 6))
    .sort((one, other) => (layoutOf[one] ?? 0) - (layoutOf[other] ?? 0));
  if (target.layouts === flacLayouts)
    return channelLayout === undefined ? '' : anyOf({ layouts: withoutLoss(channels, channelLayout) });
  return `aformat=channel_layouts=${channels >= 7 ? (wanted.at(-1) ?? 'stereo') : (wanted[0] ?? 'stereo')}`;
}

/** FLAC's layouts that have room for all channels of another, the low-frequency one (`2.1`, `6.1(front)`) included. */
function withoutLoss(channels: number, layout: string): string[] {
  const hasLowFrequency = /\.1\b/.test(layout);
  return flacLayouts.filter(
    (name) => (layoutOf[name] ?? 0) >= channels && (!hasLowFrequency || name.endsWith('.1')),
  );
}

/** Channels that have no usual layout (`4 channels (FL+FR+LFE+BC)`): their order is all that can be kept. */
function unnamedLayout({ layouts }: AudioTarget, channels: number): string {
  if (!layouts.includes('5.1') || channels > 6) return toStereo(channels);
  const places: Readonly<Record<number, readonly number[]>> = {
    3: [0, 1, 2],
    4: [0, 1, 4, 5],
    5: [0, 1, 2, 4, 5],
    6: [0, 1, 2, 3, 4, 5],
  };
  return `pan=5.1${(places[channels] ?? []).map((place, index) => `|c${place}=c${index}`).join('')}`;
}

function rateFilter({ maxSampleRate }: AudioTarget, { sampleRate }: Track): string {
  if (maxSampleRate === undefined || sampleRate === undefined || sampleRate <= maxSampleRate) return '';
  if (sampleRate / 2 <= maxSampleRate && maxSampleRate > 48_000) return `aresample=${sampleRate / 2}`;
  return `aresample=${sampleRate % 11_025 === 0 ? 44_100 : 48_000}`;
}

function anyOf({ layouts }: AudioTarget): string {
  return `aformat=channel_layouts=${layouts.join('|')}`;
}

/**
 * One channel of all. The right one is turned by 90 degrees first: two channels that cancel each other (one is wired
 * the wrong way round) are as loud as two that are alike, and nothing is lost where only one has sound.
 */
export function toMono(tracks: readonly Track[]): string {
  if (tracks.length > 0 && tracks.every(({ channels }) => channels === 1)) return '';
  const large = tracks.find(({ channels = 0 }) => channels > 8);
  return chain(
    large?.channels ? toStereo(large.channels, large.channelLayout) : 'aformat=channel_layouts=stereo',
    'asplit[l][r];[l]pan=mono|c0=c0,aphaseshift=shift=0[lm];[r]pan=mono|c0=c1,aphaseshift=shift=0.5[rm];[lm][rm]amix=inputs=2',
  );
}

/** The graph, without its end, that makes one stereo stream of several tracks. */
export function mergeTracks(selection: Extract<AudioSelection, { kind: 'pair' | 'mix' }>): string {
  if (selection.kind === 'pair') {
    const inputs = selection.indexes.map((index) => `[0:a:${index}]`).join('');
    return `${inputs}join=inputs=2:channel_layout=stereo:map=0.0-FL|1.0-FR`;
  }
  const { indexes } = selection;
  const labels = indexes.map((index) => `[m${index}]`);
  const aligned = indexes.map(
    (index) => `[0:a:${index}]${fillGapsFromStart}:osr=48000,aformat=channel_layouts=stereo[m${index}]`,
  );
  // As loud as each was, and never beyond full scale.
  const mix = `${labels.join('')}amix=inputs=${indexes.length}:normalize=0,${limiter}`;
  return [...aligned, mix].join(';');
}

/**
 * The PCM encoder that keeps the depth of a source: 24 and 32 bits and floating point of lossless codecs; 16 bits for
 * all others, which have no depth of their own.
 */
export function pcmEncoder([track]: readonly Track[]): string {
  const { codec = '', sampleFormat = '', bitsPerSample = 0 } = track ?? {};
  if (/^pcm_f(32|64)/.test(codec) || (codec === 'wavpack' && sampleFormat.startsWith('flt')))
    return 'pcm_f32le';
  // One bit at a very high rate: the depth of its audible band.
  if (codec.startsWith('dsd_')) return 'pcm_s24le';
  const stated = /^pcm_s(\d+)/.exec(codec)?.[1];
  const isLossless = /^(flac|alac|wavpack|tta|ape|truehd|mlp|shorten|wmalossless)$/.test(codec);
  const bits = stated !== undefined ? Number(stated) : isLossless ? bitsPerSample : 16;
  if (bits > 24) return 'pcm_s32le';
  return bits > 16 || (isLossless && bitsPerSample === 0 && sampleFormat.startsWith('s32'))
    ? 'pcm_s24le'
    : 'pcm_s16le';
}
