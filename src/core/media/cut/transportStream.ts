import type { Bytes } from '../../files/bytes';
import { type CutVideo, chooseCuts, layoutOf, type Range, type WholeReason } from './parts';
import { type FrameKind, frameKind } from './pictureKinds';
import {
  type CutPoint,
  clockHz,
  maxSearchBytes,
  positionOf,
  readClock,
  type StreamClock,
} from './transportClock';
import { frames, maxTableBytes, type Program, readProgram } from './transportPackets';

/** Frames after a key frame in which leading pictures are looked for. */
const maxFrames = 64;

/**
 * Cuts an MPEG transport stream into ranges of whole packets of about `seconds`. Its program tables and a range form a
 * stream; all ranges form the whole stream, so the audio needs no upload of its own. Resolves with the reason if the video
 * has to stay whole. ISO/IEC 13818-1.
 */
export async function cutTransportStream(
  file: Bytes,
  size: number,
  seconds: number,
  packetBytes: number,
): Promise<CutVideo | WholeReason> {
  const program = await readProgram(file, size, packetBytes);
  if (typeof program === 'string') return program;
  const clock = await readClock(file, program, size);
  if (typeof clock === 'string') return clock;
  const { first, last } = clock;
  const length = (last.time - first.time) / clockHz;
  if (length < 1.5 * seconds) return 'short';
  const keys: CutPoint[] = [{ at: 0, time: first.time }];
  let hasOpen = false;
  for (let target = seconds; target < length - seconds / 2; target += seconds) {
    const from = Math.max(
      positionOf(clock, first.time + target * clockHz),
      (keys.at(-1)?.at ?? 0) + packetBytes,
    );
    const { key, isOpen } = await closedKeyFrame(file, program, clock, { from, to: size });
    hasOpen ||= isOpen;
    if (key === undefined) break;
    if (key.time > (keys.at(-1)?.time ?? 0)) keys.push({ at: key.at, time: key.time });
  }
  const points = keys.map(({ time }) => (time - first.time) / clockHz);
  const cuts = [0, ...chooseCuts(points, length, Math.min(seconds, length / 2))];
  if (cuts.length === 1) return hasOpen ? 'openGop' : 'keyFrames';
  const ranges = cuts.map((key, index): Range => {
    const next = cuts[index + 1];
    return { from: keys[key]?.at ?? 0, to: next === undefined ? size : (keys[next]?.at ?? size) };
  });
  const parts = cuts.map((key, index) => ({
    startSeconds: points[key] as number,
    endSeconds: points[cuts[index + 1] ?? points.length] ?? length,
    bytes: (ranges[index] as Range).to - (ranges[index] as Range).from,
  }));
  return {
    cuts: {
      parts,
      headBytes: program.head.length,
      ...(await startTimes(file, program, size, first.time)),
      audioBegins: 'withUsedTrack',
    },
    head: program.head,
    layouts: ranges.map((range) => layoutOf(Buffer.alloc(0), [range])),
  };
}

/** The next key frame from a position on whose group of pictures is closed, and whether one with an open group was there. */
async function closedKeyFrame(
  file: Bytes,
  { video, codec, packetBytes }: Program,
  { unwrapped }: StreamClock,
  { from, to }: Range,
): Promise<{ key?: CutPoint; isOpen: boolean }> {
  let key: (CutPoint & { kind: FrameKind }) | undefined;
  let isOpen = false;
  let after = 0;
  let latest = Number.NEGATIVE_INFINITY;
  const end = Math.min(to, from + maxSearchBytes);
  for await (const { at, time: stamp, isRandomAccess, data } of frames(
    file,
    { pid: video, packetBytes },
    from,
    end,
  )) {
    const kind = frameKind(data, codec);
    if (kind === undefined) continue;
    const time = unwrapped(stamp);
    if (kind === 'key' || kind === 'closedKey') {
      if (key) return { key, isOpen };
      // A frame before it that is shown after it: the group isn't closed at its beginning.
      key = time > latest ? { at, time, kind } : undefined;
      after = 0;
    } else if (key && key.kind === 'key' && time < key.time && kind !== 'decodableLeading') {
      key = undefined;
      isOpen = true;
    } else if (key && ++after >= maxFrames) return { key, isOpen };
    else if (isRandomAccess && kind !== 'bareKey') isOpen = true;
    latest = Math.max(latest, time);
  }
  return { key, isOpen };
}

/** PES timestamps have 33 bits. */
const clockPeriod = 2 ** 33;

async function startTimes(file: Bytes, { audio, packetBytes }: Program, size: number, videoStart: number) {
  const starts = await Promise.all(
    audio.map(async (pid) => {
      for await (const { time } of frames(file, { pid, packetBytes }, 0, Math.min(size, maxTableBytes)))
        return time;
      return videoStart;
    }),
  );
  // The clock may wrap between the first frames of two tracks.
  const later = starts.map((start) => {
    const ticks = (start - videoStart + clockPeriod) % clockPeriod;
    return ticks < clockPeriod / 2 ? ticks : ticks - clockPeriod;
  });
  const begin = Math.min(0, ...later);
  return {
    videoStartSeconds: -begin / clockHz,
    audioStartSeconds: later.map((start) => (start - begin) / clockHz),
  };
}
