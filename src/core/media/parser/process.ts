import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Bytes } from '../../files/bytes';
import { cutVideo } from '../cut/cutVideo';
import { audioOnlyLayout } from './audioOnlyLayout';
import {
  type FilesToProbe,
  type FromParser,
  type GuardOptions,
  guardState,
  maxLayoutBytes,
  type Parsed,
  type ParserLimits,
  type ProbedFile,
  type ToParser,
} from './messages';
import { readMedia, readOutput } from './parseMedia';
import { ReadAhead } from './readAhead';
import { SourceFile } from './sourceFile';

/*
 * The process that parses media files, which are untrusted bytes. It has no access to the extension host: it reads a file
 * of a disk itself, asks for bytes of any other by message, and whatever happens to it concerns that file only. A worker
 * thread would not do: V8 ends the whole process when the heap of a thread is full, also with `resourceLimits` (tried with
 * Node 20).
 */

const limits = JSON.parse(process.argv[2] ?? '') as ParserLimits;
const state = new Int32Array(new SharedArrayBuffer(8));
const guardOptions: GuardOptions = { state, limits };
const guard = new Worker(join(dirname(fileURLToPath(import.meta.url)), 'parserGuard.js'), {
  workerData: guardOptions,
});
// Without its guard the process has no limits.
guard.on('error', () => process.exit(1));
guard.unref();

/** Reads a file, up to the limit of bytes: from its disk, or through messages. */
class LimitedFile implements Bytes {
  readonly #waiting = new Map<
    number,
    { resolve: (data: Uint8Array) => void; reject: (error: Error) => void }
  >();
  #reads = 0;
  #bytes = 0;
  #hasEnded = false;

  /** Bytes that are not read from `source` are asked for as those of `job`; without a job such a read fails. */
  constructor(
    private readonly source: SourceFile | undefined,
    private readonly job?: number,
  ) {}

  async read(position: number, length: number): Promise<Uint8Array> {
    this.#bytes += length;
    if (this.#bytes > limits.readBytes) throw new Error('The limit of bytes is reached.');
    if (this.#hasEnded) throw new Error('The work on this file has ended.');
    const data = this.#readDisk(position, length);
    if (data !== undefined) return data;
    if (this.job === undefined) throw new Error('The disk cannot be read.');
    // The extension host reports why a disk can't be read, if it can't read it either.
    return this.#ask(this.job, position, length);
  }

  #readDisk(position: number, length: number): Uint8Array | undefined {
    try {
      return waitingForDisk(() => this.source?.read(position, length));
    } catch {
      return undefined;
    }
  }

  #ask(job: number, position: number, length: number): Promise<Uint8Array> {
    const read = this.#reads++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(read, { resolve, reject });
      Atomics.add(state, guardState.reads, 1);
      send({ kind: 'read', job, read, position, length });
    });
  }

  /** Refuses reads that the parser has left behind. */
  end(): void {
    this.#hasEnded = true;
    this.source?.close();
  }

  answer(read: number, data: Uint8Array | undefined): void {
    const waiting = this.#waiting.get(read);
    if (waiting === undefined) return;
    this.#waiting.delete(read);
    Atomics.sub(state, guardState.reads, 1);
    if (data) waiting.resolve(data);
    else waiting.reject(new Error('The file cannot be read.'));
  }
}

/** Accesses a disk. The time is not counted as time of the parser. */
function waitingForDisk<T>(access: () => T): T {
  Atomics.add(state, guardState.reads, 1);
  try {
    return access();
  } finally {
    Atomics.sub(state, guardState.reads, 1);
  }
}

let filesBegun = 0;

/** Works on one file, within its limits of time and bytes. */
async function withLimits<T>(file: LimitedFile, work: () => Promise<T>): Promise<T> {
  // The numbers of two files in a row differ, and are never 0.
  filesBegun = (filesBegun % 1_000_000_000) + 1;
  Atomics.store(state, guardState.file, filesBegun);
  try {
    return await work();
  } finally {
    file.end();
    Atomics.store(state, guardState.file, 0);
    Atomics.store(state, guardState.reads, 0);
  }
}

let current: { readonly job: number; readonly file: LimitedFile } | undefined;

async function work({ job, task, size, onDisk }: Extract<ToParser, { kind: 'start' }>): Promise<void> {
  const source = onDisk && SourceFile.open(onDisk);
  const file = new LimitedFile(source, job);
  current = { job, file };
  try {
    const window = source ? diskWindow : undefined;
    send({ kind: 'done', job, parsed: await withLimits(file, () => parse(task, file, size, window)) });
  } catch (error) {
    send({ kind: 'failed', job, message: error instanceof Error ? error.message : String(error) });
  } finally {
    current = undefined;
  }
}

/** The answers of slow files are not kept back for those that follow, so that the progress is shown. */
const answerMs = 100;

async function probeFiles(job: number, { uris, wantsLayouts }: FilesToProbe): Promise<void> {
  let files: (ProbedFile | undefined)[] = [];
  let answered = Date.now();
  let layoutBytes = wantsLayouts ? maxLayoutBytes : 0;
  for (const [index, uri] of uris.entries()) {
    const probed = await probeFile(uri).catch(() => undefined);
    const { head, ranges } = probed?.audioOnly ?? {};
    const bytes = (head?.byteLength ?? 0) + (ranges?.byteLength ?? 0);
    const isKept = bytes <= layoutBytes;
    if (isKept) layoutBytes -= bytes;
    files.push(probed && (isKept ? probed : { ...probed, audioOnly: undefined }));
    const isLast = index === uris.length - 1;
    if (!isLast && Date.now() - answered < answerMs) continue;
    send({ kind: 'probed', job, files });
    files = [];
    answered = Date.now();
    // Disks are read without leaving the turn of the event loop, in which no message is sent.
    await nextTurn();
  }
}

async function probeFile(uri: string): Promise<ProbedFile | undefined> {
  const source = waitingForDisk(() => SourceFile.openPath(fileURLToPath(uri)));
  if (source === undefined) return undefined;
  const { size, modified } = source.opened;
  const file = new LimitedFile(source);
  return withLimits(file, async () => ({
    size,
    modified,
    ...(await parse('probe', file, size, diskWindow)),
  }));
}

/** Bytes of a disk that are read at once: such a read is cheap, and what it brings is often not needed. */
const diskWindow = 16 * 1024;

/** A cut reads the headers of all fragments or clusters, which lie far apart: much more than them would reach the limit. */
const cutWindow = 8 * 1024;

async function parse(
  task: Extract<ToParser, { kind: 'start' }>['task'],
  source: Bytes,
  size: number,
  window?: number,
): Promise<Parsed> {
  if (typeof task === 'object') return cut(new ReadAhead(source, cutWindow), size, task.cutSeconds);
  const file = new ReadAhead(source, window);
  switch (task) {
    case 'probe':
      return readMedia(file, size);
    case 'output':
      return { media: await readOutput(file, size) };
    case 'audioOnly':
      return { audioOnly: await audioOnlyLayout(file, size) };
  }
}

/** Parts that need no head have the video only: the audio is a file of its own. */
async function cut(file: Bytes, size: number, seconds: number): Promise<Parsed> {
  const cut = await cutVideo(file, size, seconds);
  if (typeof cut === 'string' || cut.head || cut.cuts.audioStartSeconds.length === 0) return { cut };
  if (cut.audio) return { cut, audioOnly: cut.audio };
  const audioOnly = await audioOnlyLayout(file, size, { anyStart: true });
  return audioOnly ? { cut, audioOnly } : { cut: 'format' };
}

function send(message: FromParser): void {
  process.send?.(message);
}

/** Runs the work of a job. An error that it doesn't report itself is a bug: the job fails, so that nobody waits for it. */
function begin(job: number, work: Promise<void>): void {
  work.catch((error) => {
    send({
      kind: 'failed',
      job,
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  });
}

process.on('message', (message: ToParser) => {
  if (message.kind === 'start') begin(message.job, work(message));
  else if (message.kind === 'startFiles') begin(message.job, probeFiles(message.job, message));
  else if (message.job === current?.job) current.file.answer(message.read, message.data);
});
process.on('disconnect', () => process.exit(0));
// The parser library leaves promises behind, which reject when their file is closed. What is awaited is caught by `begin`.
process.on('unhandledRejection', () => undefined);
