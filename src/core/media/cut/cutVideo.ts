import type { Bytes } from '../../files/bytes';
import { cutMatroska } from './matroska';
import { cutMp4 } from './mp4';
import type { CutVideo, WholeReason } from './parts';
import { packetLength } from './transportPackets';
import { cutTransportStream } from './transportStream';

/**
 * Cuts a video into parts of about `seconds` without re-encoding, by its format. Reads tables and a few frames,
 * whatever the size of the file. Resolves with the reason if the video has to stay whole. Throws the errors of
 * `file.read`. Resolves with `index` for damaged tables.
 */
export async function cutVideo(file: Bytes, size: number, seconds: number): Promise<CutVideo | WholeReason> {
  const head = Buffer.from(await file.read(0, Math.min(size, 16)));
  if (head.length < 16) return 'index';
  try {
    if (head.readUInt32BE(0) === 0x1a45dfa3) return await cutMatroska(file, size, seconds);
    const packetBytes = await packetLength(file, size);
    if (packetBytes !== undefined) return await cutTransportStream(file, size, seconds, packetBytes);
    return await cutMp4(file, size, seconds);
  } catch (error) {
    // Tables that claim more than they contain.
    if (error instanceof RangeError) return 'index';
    throw error;
  }
}
