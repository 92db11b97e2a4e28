/** Changes to media files for which ffmpeg has no option. */

/** Where the first box at a path, such as `moov.trak.edts`, begins; -1 if there is none. `nth` chooses among tracks. */
export function boxAt(file: Buffer, path: string, nth = 0): number {
  let [from, to, found] = [0, file.length, -1];
  for (const type of path.split('.')) {
    let skip = type === 'trak' ? nth : 0;
    found = -1;
    for (let at = from; at + 8 <= to; at += Math.max(8, file.readUInt32BE(at))) {
      if (file.toString('latin1', at + 4, at + 8) !== type || skip-- > 0) continue;
      found = at;
      break;
    }
    if (found < 0) return -1;
    [from, to] = [found + 8, found + file.readUInt32BE(found)];
  }
  return found;
}

/** Milliseconds of an edit, and where it begins in the track, in the track's units; -1 for an empty one. */
export type Edit = readonly [milliseconds: number, start: number];

/** An MP4 file with its `moov` at its end, with another edit list for a track. */
export function withEdits(file: Buffer, edits: readonly Edit[], track = 0): Buffer {
  const body = Buffer.alloc(8 + 12 * edits.length);
  body.writeUInt32BE(edits.length, 4);
  edits.forEach(([milliseconds, start], index) => {
    body.writeUInt32BE(milliseconds, 8 + 12 * index);
    body.writeInt32BE(start, 12 + 12 * index);
    body.writeUInt32BE(0x10000, 16 + 12 * index);
  });
  const edts = box('edts', box('elst', body));
  const [moov, trak, old] = ['moov', 'moov.trak', 'moov.trak.edts'].map((path) => boxAt(file, path, track));
  if (moov === undefined || trak === undefined || old === undefined || old < 0)
    throw new Error('No edit list.');
  const oldLength = file.readUInt32BE(old);
  const changed = Buffer.concat([file.subarray(0, old), edts, file.subarray(old + oldLength)]);
  for (const at of [moov, trak]) changed.writeUInt32BE(file.readUInt32BE(at) + edts.length - oldLength, at);
  return changed;
}

function box(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.length, 0);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, body]);
}

/** An MP4 file whose first AAC track is called AC-4, with a header that ffmpeg does not know. */
export function asAc4(file: Buffer): Buffer {
  const changed = Buffer.from(file);
  const entry = changed.indexOf('mp4a', boxAt(file, 'moov'), 'latin1');
  changed.write('ac-4', entry, 'latin1');
  changed.write('dac4', changed.indexOf('esds', entry, 'latin1'), 'latin1');
  return changed;
}

/** A QuickTime file whose tracks say that their media is in another file. */
export function asReference(file: Buffer): Buffer {
  let changed = file;
  for (const track of [0, 1]) {
    const path = ['moov', 'trak', 'mdia', 'minf', 'dinf', 'dref'];
    const at = boxAt(changed, path.join('.'), track);
    const alias = box('alis', Buffer.concat([Buffer.alloc(4), Buffer.alloc(200, 'other.mov')]));
    const added = alias.length - (changed.readUInt32BE(at) - 16);
    const rest = changed.subarray(at + changed.readUInt32BE(at));
    const next = Buffer.concat([changed.subarray(0, at + 16), alias, rest]);
    path.forEach((_, index) => {
      const parent = boxAt(changed, path.slice(0, index + 1).join('.'), track);
      next.writeUInt32BE(changed.readUInt32BE(parent) + added, parent);
    });
    changed = next;
  }
  return changed;
}

/** Metadata for ffmpeg with a PNG as the cover of an Ogg file. https://www.rfc-editor.org/rfc/rfc9639.html#section-8.8 */
export function coverMetadata(png: Buffer): string {
  const numbers = (...values: number[]) => Buffer.from(new Uint32Array(values).buffer).swap32();
  const type = Buffer.from('image/png');
  const block = [numbers(3, type.length), type, numbers(0, 64, 64, 24, 0, png.length), png];
  const text = Buffer.concat(block).toString('base64').replaceAll('=', '\\=');
  return `;FFMETADATA1\ntitle=Song\nMETADATA_BLOCK_PICTURE=${text}\n`;
}

/** A transport stream without the packets of a track, which its tables declare: 0x100 is the video, 0x101 the audio. */
export function withoutPackets(file: Buffer, pid: number): Buffer {
  const packets = Array.from({ length: file.length / 188 }, (_, index) =>
    file.subarray(188 * index, 188 * index + 188),
  );
  return Buffer.concat(packets.filter((packet) => (packet.readUInt16BE(1) & 0x1fff) !== pid));
}

/** An MP4 file whose second track has no samples. */
export function withoutSamples(file: Buffer): Buffer {
  const changed = Buffer.from(file);
  for (const [type, at] of [
    ['stts', 12],
    ['stsc', 12],
    ['stsz', 16],
    ['stco', 12],
  ] as const)
    changed.writeUInt32BE(0, boxAt(changed, `moov.trak.mdia.minf.stbl.${type}`, 1) + at);
  return changed;
}

/** An FLV file whose media is this many seconds later, while the configurations of H.264 and AAC stay at their time. */
export function withLaterMedia(file: Buffer, seconds: number): Buffer {
  const changed = Buffer.from(file);
  for (let at = 13; at + 13 < changed.length; at += changed.readUIntBE(at + 1, 3) + 15) {
    const isMedia = changed[at] !== 18 && changed[at + 12] !== 0;
    if (!isMedia) continue;
    const time = changed.readUIntBE(at + 4, 3) + 1000 * seconds;
    changed.writeUIntBE(time % 2 ** 24, at + 4, 3);
    changed.writeUInt8(Math.floor(time / 2 ** 24), at + 7);
  }
  return changed;
}

/** An FLV file with another stated length, in seconds. */
export function withStatedLength(file: Buffer, seconds: number): Buffer {
  const changed = Buffer.from(file);
  changed.writeDoubleBE(seconds, changed.indexOf('duration', 0, 'latin1') + 9);
  return changed;
}

/** An MP4 file whose tracks say that their length is not known, as those that grow while they are recorded. */
export function withoutLengths(file: Buffer): Buffer {
  const changed = Buffer.from(file);
  for (const track of [0, 1])
    changed.writeUInt32BE(0xffffffff, boxAt(file, 'moov.trak.mdia.mdhd', track) + 24);
  return changed;
}

/** An MP4 file whose first track has a matrix of zeros, which turns nothing. */
export function withZeroMatrix(file: Buffer): Buffer {
  const changed = Buffer.from(file);
  const matrix = boxAt(file, 'moov.trak.tkhd') + 48;
  return changed.fill(0, matrix, matrix + 36);
}

/** An MP3 file with a cover that its tag says to be of a type. */
export function withCover(mp3: Buffer, picture: Buffer, type: string): Buffer {
  const content = Buffer.concat([Buffer.from(`\0${type}\0\x03\0`, 'latin1'), picture]);
  const frame = Buffer.concat([Buffer.from('APIC\0\0\0\0\0\0', 'latin1'), content]);
  frame.writeUInt32BE(content.length, 4);
  const size = [21, 14, 7, 0].map((bits) => (frame.length >> bits) & 127);
  return Buffer.concat([Buffer.from('ID3\x03\0\0', 'latin1'), Buffer.from(size), frame, mp3]);
}
