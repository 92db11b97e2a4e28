import type { Bytes } from '../../files/bytes';
import type { WholeReason } from './parts';
import { type Frame, frames, type Program, smallWindow } from './transportPackets';

/** PES timestamps of 90 kHz wrap after 26.5 hours. */
export const clockHz = 90_000;
/** A frame comes within this many bytes. */
export const maxSearchBytes = 64 * 1024 * 1024;
/** Places at which the clock is read before a stream is cut. */
const clockSamples = 64;
/** ffmpeg takes a longer jump of the clock for a discontinuity. */
const maxJump = 10 * clockHz;
/** Time between two samples that is so many times the usual time may hide a jump. */
const suspiciousRatio = 3;

/** A frame at which a part can begin. */
export interface CutPoint {
  readonly at: number;
  /** 90 kHz. */
  readonly time: number;
}

async function firstFrame(
  file: Bytes,
  { video, packetBytes }: Program,
  from: number,
  to: number,
): Promise<Frame | undefined> {
  const end = Math.min(to, from + maxSearchBytes);
  for await (const frame of frames(file, { pid: video, packetBytes }, from, end, smallWindow)) return frame;
  return undefined;
}

/** The latest time of a frame in the last bytes of the file. */
async function lastTime(
  file: Bytes,
  { video, packetBytes }: Program,
  size: number,
  unwrapped: (time: number) => number,
): Promise<number | undefined> {
  for (let back = 1024 * packetBytes; ; back *= 4) {
    const from = Math.max(0, Math.floor((size - back) / packetBytes) * packetBytes);
    let latest: number | undefined;
    for await (const { time } of frames(file, { pid: video, packetBytes }, from, size))
      latest = Math.max(latest ?? 0, unwrapped(time));
    if (latest !== undefined || from === 0 || back > maxSearchBytes) return latest;
  }
}

/** The clock of a stream, from samples of it. */
export interface StreamClock {
  readonly first: CutPoint;
  readonly last: CutPoint;
  readonly samples: readonly CutPoint[];
  /** A time after the clock has wrapped, counted on. */
  readonly unwrapped: (time: number) => number;
  readonly packetBytes: number;
}

/** `clock` if the clock jumps or starts again, so that it doesn't state lengths; `index` if there is no clock. */
export async function readClock(
  file: Bytes,
  program: Program,
  size: number,
): Promise<StreamClock | WholeReason> {
  const first = await firstFrame(file, program, 0, size);
  if (first === undefined) return 'index';
  const unwrapped = (time: number) => (time < first.time - 2 ** 32 ? time + 2 ** 33 : time);
  const last = await lastTime(file, program, size, unwrapped);
  if (last === undefined) return 'index';
  const { packetBytes } = program;
  const sampleAt = async (position: number) => {
    const frame = await firstFrame(file, program, Math.floor(position / packetBytes) * packetBytes, size);
    return frame && { at: frame.at, time: unwrapped(frame.time) };
  };
  const samples: CutPoint[] = [{ at: first.at, time: first.time }];
  const end = { at: size, time: last };
  for (let index = 1; index < clockSamples; index++) {
    const sample = await sampleAt((index / clockSamples) * size);
    if (sample && sample.at > (samples.at(-1) as CutPoint).at) samples.push(sample);
  }
  samples.push(end);
  const usual = (end.time - first.time) / size;
  for (const [index, sample] of samples.entries()) {
    const before = samples[index - 1];
    if (before === undefined) continue;
    // Frames are not in the order in which they are shown.
    if (sample.time < before.time - clockHz) return 'clock';
    const isSuspicious = (sample.time - before.time) / (sample.at - before.at) > suspiciousRatio * usual;
    if (isSuspicious && (await jumps(before, sample, sampleAt))) return 'clock';
  }
  if (end.time <= first.time) return 'clock';
  return { first: samples[0] as CutPoint, last: end, samples, unwrapped, packetBytes };
}

/** Whether the clock jumps between two frames: follows the time to where it passes. */
async function jumps(
  from: CutPoint,
  to: CutPoint,
  sampleAt: (position: number) => Promise<CutPoint | undefined>,
): Promise<boolean> {
  if (Math.abs(to.time - from.time) <= maxJump) return false;
  const middle = await sampleAt((from.at + to.at) / 2);
  if (middle === undefined || middle.at <= from.at || middle.at >= to.at) return true;
  const isFirst = Math.abs(middle.time - from.time) >= Math.abs(to.time - middle.time);
  return isFirst ? jumps(from, middle, sampleAt) : jumps(middle, to, sampleAt);
}

/** About where in the file a time is, by the samples around it. */
export function positionOf({ samples, packetBytes }: StreamClock, time: number): number {
  const next = samples.findIndex((sample) => sample.time > time);
  const [from, to] = [samples[next - 1] ?? samples[0], samples[next] ?? samples.at(-1)] as [
    CutPoint,
    CutPoint,
  ];
  const share = to.time > from.time ? (time - from.time) / (to.time - from.time) : 0;
  return Math.floor((from.at + Math.max(0, share) * (to.at - from.at)) / packetBytes) * packetBytes;
}
