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

/** An FLV file with another stated length, in seconds. */
export function withStatedLength(file: Buffer, seconds: number): Buffer {
  const changed = Buffer.from(file);
  changed.writeDoubleBE(seconds, changed.indexOf('duration', 0, 'latin1') + 9);
  return changed;
}
