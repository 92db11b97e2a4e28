import {
  type Codec,
  isDecodableLeading,
  isKeySlice,
  isParameters,
  isSlice,
  startsDecoder,
  unitType,
} from './keyFrames';

/**
 * What a frame is for a cut: one to begin with, alone or with all that follow it; a key frame without its parameter sets; one
 * that may be shown before; another.
 */
export type FrameKind = 'key' | 'closedKey' | 'bareKey' | 'decodableLeading' | 'other';

/** The kind of the frame that `data` begins with; undefined if it has no slice or picture. */
export function frameKind(data: Buffer, codec: Codec): FrameKind | undefined {
  return /^mp[12]v$/.test(codec.type) ? pictureKind(data) : sliceKind(data, codec);
}

/** The kind of a frame of H.264 or H.265 by its first slice; undefined if there is none. */
function sliceKind(data: Buffer, codec: Codec): FrameKind | undefined {
  let hasParameters = false;
  for (const at of startCodes(data)) {
    const header = data[at + 3];
    if (header === undefined) return undefined;
    const type = unitType(header, codec);
    hasParameters ||= isParameters(type, codec);
    if (!isSlice(type, codec)) continue;
    if (startsDecoder(codec, { type, hasParameters })) return 'key';
    if (isKeySlice(codec, type)) return 'bareKey';
    return isDecodableLeading(codec, type) ? 'decodableLeading' : 'other';
  }
  return undefined;
}

/** Start codes of MPEG-1 and MPEG-2 video. */
const pictureStart = 0x00;
const sequenceStart = 0xb3;
const groupStart = 0xb8;

/** The kind of a picture of MPEG-1 or MPEG-2. Pictures before the first of a closed group don't refer to the group before. */
function pictureKind(data: Buffer): FrameKind | undefined {
  let hasSequence = false;
  let isClosed = false;
  for (const at of startCodes(data)) {
    const code = data[at + 3];
    if (code === sequenceStart) hasSequence = true;
    else if (code === groupStart) isClosed = ((data[at + 7] ?? 0) & 0x40) !== 0;
    else if (code === pictureStart) {
      const isIntra = (((data[at + 5] ?? 0) >> 3) & 7) === 1;
      if (!hasSequence || !isIntra) return 'other';
      return isClosed ? 'closedKey' : 'key';
    }
  }
  return undefined;
}

function* startCodes(data: Buffer): Generator<number> {
  for (
    let at = data.indexOf('\0\0\x01', 0, 'latin1');
    at >= 0;
    at = data.indexOf('\0\0\x01', at + 3, 'latin1')
  )
    yield at;
}
