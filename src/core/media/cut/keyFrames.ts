import type { Bytes } from '../../files/bytes';
import type { SampleTable } from './sampleTable';

/** How the frames of a video track are coded. */
export interface Codec {
  /** Four characters of the sample description: `avc1`, `hvc1`. */
  readonly type: string;
  /** Bytes of a NAL unit's length, for codecs that have NAL units. */
  readonly nalLengthBytes: number;
  /** Parameter sets are in the frames only: H.264 and H.265 whose description has none. */
  readonly hasOwnParameters?: boolean;
}

/** The first slice of a frame is in here, after parameter sets and supplemental information. */
const frameHeadBytes = 16 * 1024;

/** Slice type of an H.264 IDR picture. */
const avcIdr = 5;
/** H.265: BLA_N_LP, IDR_W_RADL, IDR_N_LP, CRA_NUT. */
const hevcKeys = new Set([18, 19, 20, 21]);
/** H.265: RADL_N, RADL_R. */
const hevcDecodableLeading = new Set([6, 7]);

/** NAL unit types of sequence parameter sets. */
const avcParameters = 7;
const hevcParameters = 33;

const isAvc = ({ type }: Codec) => /^(avc|dva)/.test(type);
const isHevc = ({ type }: Codec) => /^(hvc|hev|dvh)/.test(type);

/**
 * Whether a part can start at a sync sample: an IDR picture of H.264; an IDR or CRA picture of H.265 whose leading pictures
 * are decodable; a key frame of other codecs without leading pictures. Recovery points (open groups of pictures) are sync
 * samples in many files, but their leading pictures refer to the group before.
 * https://www.itu.int/rec/T-REC-H.265, table 7-1
 */
export async function canStartPart(
  file: Bytes,
  table: SampleTable,
  codec: Codec,
  sample: number,
): Promise<boolean> {
  const leading = leadingSamples(table, sample);
  if (!isAvc(codec) && !isHevc(codec)) return leading.length === 0;
  const sliceOf = async (index: number) => {
    const size = Math.min(table.sizes[index] as number, frameHeadBytes);
    return firstSlice(Buffer.from(await file.read(table.positions[index] as number, size)), codec);
  };
  const key = await sliceOf(sample);
  if (key === undefined || !startsDecoder(codec, key)) return false;
  for (const index of leading) {
    const slice = await sliceOf(index);
    if (slice === undefined || !isDecodableLeading(codec, slice.type)) return false;
  }
  return true;
}

/** The first slice of a frame, and whether parameter sets come before it in the frame. */
export interface Slice {
  readonly type: number;
  readonly hasParameters: boolean;
}

/** Whether a decoder can begin with a frame: it refreshes the decoder, and its parameter sets are known. */
export function startsDecoder(codec: Codec, { type, hasParameters }: Slice): boolean {
  return isKeySlice(codec, type) && (hasParameters || !codec.hasOwnParameters);
}

/** The codec of a track by its decoder configuration: the content of `avcC` or `hvcC` (ISO/IEC 14496-15). */
export function describedCodec(type: string, name: 'avcC' | 'hvcC', description: Buffer): Codec {
  const isAvc = name === 'avcC';
  // lengthSizeMinusOne: byte 4 or 21. numOfSequenceParameterSets: the lower bits of byte 5; numOfArrays: byte 22.
  const lengthSize = description[isAvc ? 4 : 21] ?? 3;
  const sets = isAvc ? (description[5] ?? 0) & 0x1f : (description[22] ?? 0);
  return { type, nalLengthBytes: (lengthSize & 3) + 1, hasOwnParameters: sets === 0 };
}

/** Whether a picture with this slice type refreshes the decoder. */
export function isKeySlice(codec: Codec, type: number): boolean {
  return isAvc(codec) ? type === avcIdr : hevcKeys.has(type);
}

/** Whether a picture that is shown before its key frame doesn't refer to frames before it. H.264 has no such pictures. */
export function isDecodableLeading(codec: Codec, type: number): boolean {
  return isHevc(codec) && hevcDecodableLeading.has(type);
}

/** Samples after a sync sample in decoding order that are shown before it. */
function leadingSamples({ count, times, isSync }: SampleTable, sample: number): number[] {
  const leading: number[] = [];
  const shown = times[sample] as number;
  for (let index = sample + 1; index < count && isSync[index] === 0; index++) {
    if ((times[index] as number) < shown) leading.push(index);
  }
  return leading;
}

/** The first slice in the beginning of a frame of length-prefixed NAL units; undefined if there is none. */
export function firstSlice(frame: Buffer, codec: Codec): Slice | undefined {
  const { nalLengthBytes } = codec;
  let hasParameters = false;
  for (let at = 0; at + nalLengthBytes < frame.length; ) {
    const length = frame.readUIntBE(at, nalLengthBytes);
    const type = unitType(frame[at + nalLengthBytes] as number, codec);
    if (isSlice(type, codec)) return { type, hasParameters };
    hasParameters ||= isParameters(type, codec);
    if (length === 0) return undefined;
    at += nalLengthBytes + length;
  }
  return undefined;
}

/** Type of the NAL unit with this first byte. */
export function unitType(header: number, codec: Codec): number {
  return isHevc(codec) ? (header >> 1) & 0x3f : header & 0x1f;
}

export function isSlice(type: number, codec: Codec): boolean {
  return isHevc(codec) ? type < 32 : type >= 1 && type <= 5;
}

export function isParameters(type: number, codec: Codec): boolean {
  return type === (isHevc(codec) ? hevcParameters : avcParameters);
}
