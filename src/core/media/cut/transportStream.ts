import type { Bytes } from '../../files/bytes';
import { isDecodableLeading, isKeySlice, isSlice, unitType } from './keyFrames';
import { type CutVideo, chooseCuts, layoutOf, type Range, type WholeReason } from './parts';

const packetBytes = 188;
/** Read at once while scanning. */
const windowBytes = 4096 * packetBytes;
/** The tables are repeated several times a second. */
const maxTableBytes = 8 * 1024 * 1024;
/** A key frame comes within this many bytes, or the video is cut elsewhere. */
const maxSearchBytes = 64 * 1024 * 1024;
/** PES timestamps of 90 kHz wrap after 26.5 hours. */
const clockHz = 90_000;
/** Frames after a key frame in which leading pictures are looked for. */
const maxFrames = 64;
/** Parts whose clock disagrees with their position by more come from a joined or damaged recording. */
const maxClockErrorShare = 0.5;

const codecs: Record<number, { type: string; nalLengthBytes: number }> = {
  27: { type: 'avc1', nalLengthBytes: 0 },
  36: { type: 'hvc1', nalLengthBytes: 0 },
};

/**
 * Cuts an MPEG transport stream into ranges of whole packets of about `seconds`. Its program tables and a range form a
 * stream; all ranges form the whole stream, so the audio needs no upload of its own. Resolves with the reason if the video
 * has to stay whole. ISO/IEC 13818-1.
 */
export async function cutTransportStream(
  file: Bytes,
  size: number,
  seconds: number,
): Promise<CutVideo | WholeReason> {
  const program = await readProgram(file, size);
  if (typeof program === 'string') return program;
  const [first, last] = [await firstFrame(file, program, 0, size), await lastFrame(file, program, size)];
  if (first === undefined || last === undefined) return 'index';
  const length = (last.time - first.time) / clockHz;
  // A clock that restarts says nothing about positions.
  if (!(length > 0)) return 'index';
  if (length < 1.5 * seconds) return 'short';
  const keys = [{ at: 0, time: first.time }];
  for (let target = seconds; target < length - seconds / 2; target += seconds) {
    const guess = Math.floor(((target / length) * size) / packetBytes) * packetBytes;
    const key = await closedKeyFrame(
      file,
      program,
      Math.max(guess, (keys.at(-1)?.at ?? 0) + packetBytes),
      size,
    );
    if (key === undefined) break;
    const elapsed = (key.time - first.time) / clockHz;
    if (Math.abs(elapsed - (key.at / size) * length) > maxClockErrorShare * length) return 'index';
    if (key.time <= (keys.at(-1)?.time ?? 0)) continue;
    keys.push(key);
  }
  const points = keys.map(({ time }) => (time - first.time) / clockHz);
  const cuts = [0, ...chooseCuts(points, length, Math.min(seconds, length / 2))];
  if (cuts.length === 1) return 'keyFrames';
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
    cuts: { parts, headBytes: program.head.length, ...(await startTimes(file, program, size, first.time)) },
    head: program.head,
    layouts: ranges.map((range) => layoutOf(Buffer.alloc(0), [range])),
  };
}

interface Program {
  /** Packets of the program tables, which a decoder needs first. */
  readonly head: Buffer;
  readonly video: number;
  readonly audio: readonly number[];
  readonly codec: { type: string; nalLengthBytes: number };
}

interface Packet {
  readonly at: number;
  readonly pid: number;
  readonly isStart: boolean;
  readonly payload: Buffer;
}

/** Packets of a range. Ends at a packet without its sync byte, as after damage. */
async function* packets(file: Bytes, from: number, to: number): AsyncGenerator<Packet> {
  for (let start = from; start + packetBytes <= to; ) {
    const window = Buffer.from(await file.read(start, Math.min(windowBytes, to - start)));
    const count = Math.floor(window.length / packetBytes);
    if (count === 0) return;
    for (let index = 0; index < count; index++) {
      const packet = window.subarray(index * packetBytes, (index + 1) * packetBytes);
      if (packet[0] !== 0x47) return;
      const control = ((packet[3] as number) >> 4) & 3;
      const skipped = control & 2 ? 5 + (packet[4] as number) : 4;
      yield {
        at: start + index * packetBytes,
        pid: packet.readUInt16BE(1) & 0x1fff,
        isStart: ((packet[1] as number) & 0x40) !== 0,
        payload:
          control & 1 && skipped < packetBytes ? packet.subarray(skipped) : packet.subarray(packetBytes),
      };
    }
    start += count * packetBytes;
  }
}

/** The first program's tables, each in one packet. */
async function readProgram(file: Bytes, size: number): Promise<Program | WholeReason> {
  let tables: number | undefined;
  let pat: Buffer | undefined;
  let isFirst = true;
  for await (const packet of packets(file, 0, Math.min(size, maxTableBytes))) {
    isFirst = false;
    if (!packet.isStart) continue;
    const section = packet.payload.subarray(1 + (packet.payload[0] ?? 0));
    if (packet.pid === 0 && section.length >= 12 && section[0] === 0) {
      tables = section.readUInt16BE(10) & 0x1fff;
      pat = Buffer.from(await file.read(packet.at, packetBytes));
    } else if (packet.pid === tables && pat && section[0] === 2) {
      const program = readStreams(section);
      if (program === undefined) return 'format';
      return { ...program, head: Buffer.concat([pat, Buffer.from(await file.read(packet.at, packetBytes))]) };
    }
  }
  return isFirst ? 'format' : 'index';
}

/** Undefined if the table is longer than its packet, or the video's codec isn't one that can be cut. */
function readStreams(section: Buffer): Omit<Program, 'head'> | undefined {
  if (section.length < 12) return undefined;
  const end = 3 + (section.readUInt16BE(1) & 0x0fff) - 4;
  if (end > section.length) return undefined;
  let video: number | undefined;
  let codec: Program['codec'] | undefined;
  const audio: number[] = [];
  for (let at = 12 + (section.readUInt16BE(10) & 0x0fff); at + 5 <= end; ) {
    const type = section[at] as number;
    const pid = section.readUInt16BE(at + 1) & 0x1fff;
    if (type in codecs && video === undefined) {
      video = pid;
      codec = codecs[type];
    } else if ([0x03, 0x04, 0x0f, 0x11, 0x81, 0x06].includes(type)) audio.push(pid);
    at += 5 + (section.readUInt16BE(at + 3) & 0x0fff);
  }
  return video === undefined || codec === undefined ? undefined : { video, codec, audio };
}

interface Frame {
  readonly at: number;
  /** Presentation time, 90 kHz. */
  readonly time: number;
  /** The beginning of the frame, as far as one window has it. */
  readonly data: Buffer;
}

/** Frames of a stream that begin in a range, each with its first few packets. */
async function* frames(file: Bytes, pid: number, from: number, to: number): AsyncGenerator<Frame> {
  let current: { at: number; time: number; parts: Buffer[] } | undefined;
  const whole = () => current && { at: current.at, time: current.time, data: Buffer.concat(current.parts) };
  for await (const packet of packets(file, from, to)) {
    if (packet.pid !== pid) continue;
    if (packet.isStart) {
      const frame = whole();
      if (frame) yield frame;
      const time = timeOf(packet.payload);
      const body = packet.payload.subarray(9 + (packet.payload[8] ?? 0));
      current = time === undefined ? undefined : { at: packet.at, time, parts: [body] };
    } else if (current && current.parts.length < 90) current.parts.push(packet.payload);
  }
  const frame = whole();
  if (frame) yield frame;
}

function timeOf(pes: Buffer): number | undefined {
  if (pes.length < 14 || pes.readUIntBE(0, 3) !== 1 || ((pes[7] as number) & 0x80) === 0) return undefined;
  const high = ((pes[9] as number) >> 1) & 7;
  return high * 2 ** 30 + (pes.readUInt16BE(10) >> 1) * 2 ** 15 + (pes.readUInt16BE(12) >> 1);
}

async function firstFrame(
  file: Bytes,
  { video }: Program,
  from: number,
  to: number,
): Promise<Frame | undefined> {
  for await (const frame of frames(file, video, from, Math.min(to, from + maxSearchBytes))) return frame;
  return undefined;
}

/** The frame with the latest time in the last bytes of the file. */
async function lastFrame(
  file: Bytes,
  { video }: Program,
  size: number,
): Promise<{ time: number } | undefined> {
  for (let back = 1024 * packetBytes; ; back *= 4) {
    const from = Math.max(0, Math.floor((size - back) / packetBytes) * packetBytes);
    let latest: { time: number } | undefined;
    for await (const { time } of frames(file, video, from, size))
      if (latest === undefined || time > latest.time) latest = { time };
    if (latest !== undefined || from === 0 || back > maxSearchBytes) return latest;
  }
}

/** The next key frame from a position on whose group of pictures is closed. */
async function closedKeyFrame(
  file: Bytes,
  { video, codec }: Program,
  from: number,
  to: number,
): Promise<{ at: number; time: number } | undefined> {
  let key: { at: number; time: number } | undefined;
  let after = 0;
  let latest = Number.NEGATIVE_INFINITY;
  for await (const { at, time, data } of frames(file, video, from, Math.min(to, from + maxSearchBytes))) {
    const type = firstSlice(data, codec);
    if (type === undefined) continue;
    if (isKeySlice(codec, type)) {
      if (key) return key;
      // A frame before it that is shown after it: the group isn't closed at its beginning.
      key = time > latest ? { at, time } : undefined;
      after = 0;
    } else if (key && time < key.time && !isDecodableLeading(codec, type)) key = undefined;
    else if (key && ++after >= maxFrames) return key;
    latest = Math.max(latest, time);
  }
  return key;
}

/** Type of the first slice after a start code; undefined if there is none. */
function firstSlice(data: Buffer, codec: Program['codec']): number | undefined {
  for (
    let at = data.indexOf('\0\0\x01', 0, 'latin1');
    at >= 0;
    at = data.indexOf('\0\0\x01', at + 3, 'latin1')
  ) {
    const header = data[at + 3];
    if (header === undefined) return undefined;
    const type = unitType(header, codec);
    if (isSlice(type, codec)) return type;
  }
  return undefined;
}

async function startTimes(file: Bytes, { audio }: Program, size: number, videoStart: number) {
  const starts = await Promise.all(
    audio.map(async (pid) => {
      for await (const { time } of frames(file, pid, 0, Math.min(size, maxTableBytes))) return time;
      return videoStart;
    }),
  );
  const begin = Math.min(videoStart, ...starts);
  return {
    videoStartSeconds: (videoStart - begin) / clockHz,
    audioStartSeconds: starts.map((start) => (start - begin) / clockHz),
  };
}
