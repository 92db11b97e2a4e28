import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import yauzl, { type Entry, type ZipFile } from 'yauzl';
import { isDiskFull, pathInside, removeTree } from '../../guard/dataFolder';

/** Bounds of what one archive may become on the disk. */
export interface UnzipLimits {
  readonly bytes: number;
  readonly entries: number;
}

export const defaultLimits: UnzipLimits = { bytes: 4 * 1024 ** 3, entries: 100_000 };

/** An archive that is damaged, too large, or would write outside its folder. */
export class UnzipError extends Error {}

const fileType = 0o170000;
const regularFile = 0o100000;
const directory = 0o040000;

/**
 * Unpacks a ZIP archive into a folder that does not exist yet. The folder appears when it is complete, or not at all.
 * Entries that are links or devices, or whose names lead out of the folder, are refused. Throws an UnzipError.
 */
export async function unzip(
  archive: string,
  folder: string,
  signal: AbortSignal,
  limits: UnzipLimits = defaultLimits,
): Promise<void> {
  const half = `${folder}.half`;
  await removeTree(half);
  await mkdir(half, { recursive: true });
  try {
    await unpack(archive, half, signal, limits);
    await rename(half, folder);
  } catch (error) {
    await removeTree(half);
    signal.throwIfAborted();
    if (isDiskFull(error)) throw error;
    throw error instanceof UnzipError
      ? error
      : new UnzipError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

async function unpack(
  archive: string,
  folder: string,
  signal: AbortSignal,
  limits: UnzipLimits,
): Promise<void> {
  const zip = await open(archive);
  let left = limits.bytes;
  const count = (bytes: number) => {
    left -= bytes;
    if (left < 0) throw new UnzipError(`It has more than ${limits.bytes} bytes when it is unpacked.`);
  };
  try {
    if (zip.entryCount > limits.entries) throw new UnzipError(`It has more than ${limits.entries} entries.`);
    for await (const entry of entriesOf(zip)) {
      signal.throwIfAborted();
      await unpackEntry(zip, entry, folder, count, signal);
    }
  } finally {
    zip.close();
  }
}

async function unpackEntry(
  zip: ZipFile,
  entry: Entry,
  folder: string,
  count: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const name = entry.fileName.replace(/\/+$/, '');
  if (name === '') return;
  const mode = entry.externalFileAttributes >>> 16;
  const type = mode & fileType;
  if (type !== 0 && type !== regularFile && type !== directory)
    throw new UnzipError(`${entry.fileName} is a link or a device.`);
  const target = pathInside(folder, ...name.split('/'));
  if (entry.fileName.endsWith('/')) {
    await mkdir(target, { recursive: true });
    return;
  }
  await mkdir(dirname(target), { recursive: true });
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        count(chunk.length);
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const content = await readStream(zip, entry);
  // A file that two entries name is damage, and never an overwriting. Nothing may be awaited between the opening of the file
  // and the pipeline: an error of a stream that nobody listens to ends the process.
  const file = createWriteStream(target, { flags: 'wx', mode: (mode & 0o777 || 0o644) | 0o600 });
  await pipeline(content, counter, file, { signal });
}

function open(archive: string): Promise<ZipFile> {
  return new Promise((resolve, reject) => {
    yauzl.open(archive, { lazyEntries: true, autoClose: false }, (error, zip) =>
      error ? reject(error) : resolve(zip),
    );
  });
}

function readStream(zip: ZipFile, entry: Entry): Promise<NodeJS.ReadableStream> {
  return new Promise((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => (error ? reject(error) : resolve(stream)));
  });
}

async function* entriesOf(zip: ZipFile): AsyncGenerator<Entry> {
  // An error may also come after the last entry was asked for, when nobody waits: it must not end the process.
  zip.on('error', () => undefined);
  for (;;) {
    const entry = await nextEntry(zip);
    if (entry === undefined) return;
    yield entry;
  }
}

/** Undefined after the last entry. */
async function nextEntry(zip: ZipFile): Promise<Entry | undefined> {
  const found = new AbortController();
  const { signal } = found;
  const events = [once(zip, 'entry', { signal }), once(zip, 'end', { signal })];
  try {
    zip.readEntry();
    const [entry] = (await Promise.race(events)) as [Entry?];
    return entry;
  } finally {
    found.abort();
    await Promise.allSettled(events);
  }
}
