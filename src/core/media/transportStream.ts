/** Bytes from the start of a file that `isTransportStream` needs at most. */
export const transportStreamProbeBytes = 4096;

/** MPEG-TS packets; with a time stamp of 4 bytes (M2TS); with error correction of 16 bytes. */
const packetLengths = [188, 192, 204];

/**
 * Options of ffmpeg and ffprobe with which they find tracks that begin late: bytes, which they keep in memory, and
 * microseconds that they read at most. By default, they read 5 MB or some seconds.
 */
export const longProbe: readonly string[] = ['-probesize', '128000000', '-analyzeduration', '600000000'];
/** Bytes in which `longProbe` finds all tracks. */
export const longProbeBytes = 128_000_000;

/**
 * Option of ffmpeg and ffprobe for a transport stream whose audio gets other packet ids, as after a break of a recording: the
 * tracks continue, instead of new ones that no output has. With video, the last picture before the change would be output last.
 */
export const mergedTracks: readonly string[] = ['-merge_pmt_versions', '1'];

const syncByte = 0x47;

/** Fewer sync bytes in a row can be a coincidence in text. */
const minPackets = 4;

/**
 * Whether a file that begins with these bytes is an MPEG transport stream: a sync byte at the same distance, packet after
 * packet (ISO/IEC 13818-1, 2.4.3). The first packet may be incomplete. TypeScript shares the extensions `.ts` and `.mts`.
 */
export function isTransportStream(start: Uint8Array): boolean {
  const bytes = start.subarray(0, transportStreamProbeBytes);
  return packetLengths.some((length) => {
    for (let offset = 0; offset < length; offset++) {
      if (hasSyncBytes(bytes, offset, length)) return true;
    }
    return false;
  });
}

function hasSyncBytes(bytes: Uint8Array, offset: number, length: number): boolean {
  let packets = 0;
  for (let at = offset; at < bytes.length; at += length) {
    if (bytes[at] !== syncByte) return false;
    packets++;
  }
  return packets >= minPackets;
}
