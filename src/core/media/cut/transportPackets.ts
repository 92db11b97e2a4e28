import type { Bytes } from '../../files/bytes';
import type { Codec } from './keyFrames';
import type { WholeReason } from './parts';

/**
 * Bytes of a packet, of one with a time of arrival before it (M2TS: discs and camcorders), and of one with parity bytes after
 * it (receivers of DVB).
 */
const packetLengths = { ts: 188, m2ts: 192, withParity: 204 };
const syncByte = 0x47;
/** Packets that are read at once while scanning, and for a single frame. */
const usualWindow = 4096;
export const smallWindow = 512;
/** The tables are repeated several times a second. */
export const maxTableBytes = 8 * 1024 * 1024;

/** Codecs by the type of their stream. */
const codecs: Record<number, Codec> = {
  1: { type: 'mp1v', nalLengthBytes: 0 },
  2: { type: 'mp2v', nalLengthBytes: 0 },
  27: { type: 'avc1', nalLengthBytes: 0, hasOwnParameters: true },
  36: { type: 'hvc1', nalLengthBytes: 0, hasOwnParameters: true },
};

/** A track in a program's table. */
interface TableEntry {
  readonly pid: number;
  /** What its packets hold: equal for tracks that one decoder can read. */
  readonly coding: string;
  /** Number by which a broadcaster knows a track whose packet id changes. */
  readonly component?: number;
}

export interface Program {
  /** Packets of the program tables, which a decoder needs first. */
  readonly head: Buffer;
  readonly video: number;
  readonly audio: readonly number[];
  /** All tracks in the order of the table. */
  readonly entries: readonly TableEntry[];
  readonly codec: Codec;
  /** Bytes from one packet to the next. */
  readonly packetBytes: number;
}

interface Packet {
  readonly at: number;
  readonly pid: number;
  readonly isStart: boolean;
  /** The stream can be decoded from here on, perhaps without the first pictures. */
  readonly isRandomAccess: boolean;
  readonly payload: Buffer;
}

/** Bytes from one packet of a transport stream to the next; undefined for a file that does not begin with packets. */
export async function packetLength(file: Bytes, size: number): Promise<number | undefined> {
  const head = await file.read(0, Math.min(size, 2 * packetLengths.withParity));
  if (head[0] !== syncByte) return head[4] === syncByte ? packetLengths.m2ts : undefined;
  const hasParity = head[packetLengths.ts] !== syncByte && head[packetLengths.withParity] === syncByte;
  return hasParity ? packetLengths.withParity : packetLengths.ts;
}

/** Packets of a range. Ends at a packet without its sync byte, as after damage. */
async function* packets(
  file: Bytes,
  packetBytes: number,
  from: number,
  to: number,
  windowPackets: number,
): AsyncGenerator<Packet> {
  const prefix = packetBytes === packetLengths.m2ts ? 4 : 0;
  for (let start = from; start + packetBytes <= to; ) {
    const window = Buffer.from(await file.read(start, Math.min(windowPackets * packetBytes, to - start)));
    const count = Math.floor(window.length / packetBytes);
    if (count === 0) return;
    for (let index = 0; index < count; index++) {
      const begin = index * packetBytes + prefix;
      const packet = window.subarray(begin, begin + packetLengths.ts);
      if (packet[0] !== syncByte) return;
      const control = ((packet[3] as number) >> 4) & 3;
      const skipped = control & 2 ? 5 + (packet[4] as number) : 4;
      yield {
        at: start + index * packetBytes,
        pid: packet.readUInt16BE(1) & 0x1fff,
        isStart: ((packet[1] as number) & 0x40) !== 0,
        isRandomAccess: (control & 2) !== 0 && packet[4] !== 0 && ((packet[5] as number) & 0x40) !== 0,
        payload: packet.subarray(control & 1 ? skipped : packet.length),
      };
    }
    start += count * packetBytes;
  }
}

/** The first program's tables from a position on, each in one packet. */
export async function readProgram(
  file: Bytes,
  size: number,
  packetBytes: number,
  from = 0,
): Promise<Program | WholeReason> {
  let tables: number | undefined;
  let pat: Buffer | undefined;
  let isFirst = true;
  for await (const packet of packets(
    file,
    packetBytes,
    from,
    Math.min(size, from + maxTableBytes),
    smallWindow,
  )) {
    isFirst = false;
    if (!packet.isStart) continue;
    const section = packet.payload.subarray(1 + (packet.payload[0] ?? 0));
    if (packet.pid === 0 && section.length >= 12 && section[0] === 0) {
      const [only, ...others] = readPrograms(section);
      // ffmpeg takes the video whose tables come first, whichever program has it.
      if (only === undefined || others.length > 0) return 'format';
      tables = only;
      pat = Buffer.from(await file.read(packet.at, packetBytes));
    } else if (packet.pid === tables && pat && section[0] === 2) {
      const program = readStreams(section);
      if (program === undefined) return 'format';
      const head = Buffer.concat([pat, Buffer.from(await file.read(packet.at, packetBytes))]);
      return { ...program, packetBytes, head };
    }
  }
  return isFirst ? 'format' : 'index';
}

/** Places in a file at which packets of a track are looked for, and packets that are read there. */
const trackSamples = 64;
const packetsPerSample = 2048;

/** Those of these packet ids of which there are packets somewhere in a transport stream, from `from` on. */
export async function packetIdsFrom(
  file: Bytes,
  size: number,
  from: number,
  ids: readonly number[],
): Promise<ReadonlySet<number>> {
  const packetBytes = await packetLength(file, size);
  const found = new Set<number>();
  if (packetBytes === undefined) return found;
  for (let sample = 0; sample < trackSamples && found.size < ids.length; sample++) {
    const at = from + ((size - from) * sample) / trackSamples;
    const begin = Math.floor(at / packetBytes) * packetBytes;
    const end = Math.min(size, begin + packetsPerSample * packetBytes);
    for await (const { pid } of packets(file, packetBytes, begin, end, packetsPerSample))
      if (ids.includes(pid)) found.add(pid);
  }
  return found;
}

/** Packet ids of the tables of each program: entry 0 is about the network. */
function readPrograms(section: Buffer): number[] {
  const end = Math.min(3 + (section.readUInt16BE(1) & 0x0fff) - 4, section.length);
  const tables: number[] = [];
  for (let at = 8; at + 4 <= end; at += 4)
    if (section.readUInt16BE(at) !== 0) tables.push(section.readUInt16BE(at + 2) & 0x1fff);
  return tables;
}

/** Types of streams that are audio to ffmpeg. */
const audioTypes = new Set([0x03, 0x04, 0x0f, 0x11, 0x1c, 0x81, 0x87, 0x8a]);
/** The same in streams of Blu-ray discs and camcorders. */
const discAudioTypes = new Set([0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0xa1, 0xa2]);
/** The type of private data: what it is, descriptors say. */
const privateType = 0x06;
/** Descriptors of AC-3, E-AC-3, DTS and AAC. ETSI EN 300 468, table 12. */
const audioDescriptors = new Set([0x6a, 0x7a, 0x7b, 0x7c]);
const registration = 0x05;
/** The descriptor of a track's component tag. ETSI EN 300 468, 6.2.39. */
const streamIdentifier = 0x52;
/** Descriptors that say what private data is: the audio ones, teletext, subtitles, and the extended ones. */
const codingDescriptors = new Set([...audioDescriptors, 0x45, 0x46, 0x56, 0x59, 0x7f]);
/** Types and registered formats of video that can't be cut: MPEG-4 Part 2, JPEG 2000, VVC, AVS, Dirac, VC-1, AV1. */
const otherVideoTypes = new Set([0x10, 0x21, 0x33, 0x42, 0xd1, 0xd2, 0xea]);
const videoFormats = new Set(['HEVC', 'VC-1', 'AV01', 'drac']);
const audioFormats = new Set(['AC-3', 'EAC3', 'DTS1', 'DTS2', 'DTS3', 'Opus', 'BSSD']);

/** Pairs of a descriptor's tag and its four first characters. */
function readDescriptors(descriptors: Buffer): [tag: number, text: string][] {
  const found: [number, string][] = [];
  for (let at = 0; at + 2 <= descriptors.length; at += 2 + (descriptors[at + 1] as number))
    found.push([descriptors[at] as number, descriptors.toString('latin1', at + 2, at + 6)]);
  return found;
}

/** Undefined if the table is longer than its packet, or the video's codec isn't one that can be cut. */
function readStreams(section: Buffer): Omit<Program, 'head' | 'packetBytes'> | undefined {
  if (section.length < 12) return undefined;
  const end = 3 + (section.readUInt16BE(1) & 0x0fff) - 4;
  if (end > section.length) return undefined;
  let video: number | undefined;
  let codec: Program['codec'] | undefined;
  const audio: number[] = [];
  const entries: TableEntry[] = [];
  const first = 12 + (section.readUInt16BE(10) & 0x0fff);
  const isDisc = readDescriptors(section.subarray(12, first)).some(([, text]) => text === 'HDMV');
  for (let at = first; at + 5 <= end; ) {
    const type = section[at] as number;
    const pid = section.readUInt16BE(at + 1) & 0x1fff;
    const next = at + 5 + (section.readUInt16BE(at + 3) & 0x0fff);
    const all = readDescriptors(section.subarray(at + 5, next));
    const descriptors = type === privateType ? all : [];
    entries.push({ pid, coding: codingOf(type, descriptors), component: componentOf(all) });
    const isAudio =
      (isDisc ? discAudioTypes : audioTypes).has(type) ||
      descriptors.some(([tag, text]) => audioDescriptors.has(tag) || isRegistered(audioFormats, tag, text));
    const isOtherVideo =
      otherVideoTypes.has(type) || descriptors.some(([tag, text]) => isRegistered(videoFormats, tag, text));
    // ffmpeg uses the first video.
    if (isOtherVideo && video === undefined) return undefined;
    if (type in codecs && video === undefined) {
      video = pid;
      codec = codecs[type];
    } else if (isAudio) audio.push(pid);
    at = next;
  }
  return video === undefined || codec === undefined ? undefined : { video, codec, audio, entries };
}

function codingOf(type: number, descriptors: readonly [tag: number, text: string][]): string {
  const said = descriptors.flatMap(([tag, text]) =>
    tag === registration ? text : codingDescriptors.has(tag) ? String(tag) : [],
  );
  return [type, ...said].join();
}

function componentOf(descriptors: readonly [tag: number, text: string][]): number | undefined {
  const text = descriptors.find(([tag]) => tag === streamIdentifier)?.[1];
  return text ? text.charCodeAt(0) : undefined;
}

function isRegistered(formats: ReadonlySet<string>, tag: number, text: string): boolean {
  return tag === registration && formats.has(text);
}

export interface Frame {
  readonly at: number;
  /** Presentation time, 90 kHz. */
  readonly time: number;
  readonly isRandomAccess: boolean;
  /** The beginning of the frame, as far as one window has it. */
  readonly data: Buffer;
}

/** Frames of a stream that begin in a range, each with its first few packets. */
export async function* frames(
  file: Bytes,
  { pid, packetBytes }: { readonly pid: number; readonly packetBytes: number },
  from: number,
  to: number,
  windowPackets = usualWindow,
): AsyncGenerator<Frame> {
  let current: (Omit<Frame, 'data'> & { parts: Buffer[] }) | undefined;
  const whole = () => current && { ...current, data: Buffer.concat(current.parts) };
  for await (const packet of packets(file, packetBytes, from, to, windowPackets)) {
    if (packet.pid !== pid) continue;
    if (packet.isStart) {
      const frame = whole();
      if (frame) yield frame;
      const time = timeOf(packet.payload);
      const body = packet.payload.subarray(9 + (packet.payload[8] ?? 0));
      const { at, isRandomAccess } = packet;
      current = time === undefined ? undefined : { at, time, isRandomAccess, parts: [body] };
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
