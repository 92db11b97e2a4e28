import type { Bytes } from '../files/bytes';
import { id3Length } from './otherContent';

/* AAC in ADTS: ISO/IEC 13818-7, section 6.2. */

const sampleRates = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];
const headerBytes = 7;
const samplesPerBlock = 1024;

/** Bytes that are read at a time, and at most. */
const chunkBytes = 256 * 1024;
const maxBytes = 64 * 1024 * 1024;

/**
 * Seconds of all whole frames of a file. Each counts at its own sample rate, which changes in recordings of radio
 * streams. Undefined for a file that is too large to be read.
 */
export async function adtsSeconds(file: Bytes, size: number): Promise<number | undefined> {
  if (size > maxBytes) return undefined;
  let seconds = 0;
  const tag = id3Length(Buffer.from(await file.read(0, Math.min(size, 10))));
  for (let start = tag; start + headerBytes <= size; ) {
    const chunk = await file.read(start, Math.min(chunkBytes, size - start));
    let at = 0;
    while (at + headerBytes <= chunk.length) {
      const frame = frameAt(chunk, at);
      if (frame !== undefined && start + at + frame.bytes <= size) seconds += frame.seconds;
      // Bytes between frames are skipped, as in ffmpeg.
      at += frame?.bytes ?? 1;
    }
    start += at;
  }
  return seconds;
}

function frameAt(bytes: Uint8Array, at: number): { bytes: number; seconds: number } | undefined {
  const byte = (index: number) => bytes[at + index] ?? 0;
  const rate = sampleRates[(byte(2) >> 2) & 15];
  const length = ((byte(3) & 3) << 11) | (byte(4) << 3) | (byte(5) >> 5);
  if (byte(0) !== 0xff || (byte(1) & 0xf6) !== 0xf0 || rate === undefined || length < headerBytes)
    return undefined;
  return { bytes: length, seconds: (((byte(6) & 3) + 1) * samplesPerBlock) / rate };
}
