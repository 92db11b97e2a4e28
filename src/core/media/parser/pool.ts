import { type ChildProcess, spawn } from 'node:child_process';
import pLimit from 'p-limit';
import { builtProgram } from '../../files/builtProgram';
import type { Content } from '../../files/bytes';
import type {
  FilesToProbe,
  FromParser,
  Parsed,
  ParserLimits,
  ParserTask,
  ProbedFile,
  ToParser,
} from './messages';

const defaultLimits: ParserLimits = {
  busyMs: 10_000,
  memoryBytes: 768 * 1024 * 1024,
  readBytes: 256 * 1024 * 1024,
};

/** Megabytes of a parser process's JavaScript heap. */
const heapMegabytes = 256;

/** Parsing is a matter of milliseconds; more processes only take memory. */
export const maxProcesses = 2;

/** Bytes of a buffer: a process reads no more at a time, except for tables and covers. */
const bufferBytes = 64 * 1024;

/** How long a process waits for another file before it ends. */
const idleMs = 10_000;

/** A parser failed on a file, or reached one of its limits: nothing is known of the file. */
export class ParserError extends Error {
  override readonly name = 'ParserError';
}

/**
 * Parses media files in processes of their own, one file at a time in each. A process that reaches a limit is replaced;
 * other files are not affected.
 */
export class ParserPool {
  readonly #limit = pLimit(maxProcesses);
  readonly #idle: ParserProcess[] = [];
  readonly #limits: ParserLimits;

  constructor(limits: Partial<ParserLimits> = {}) {
    this.#limits = { ...defaultLimits, ...limits };
  }

  /**
   * Throws a `ParserError` if the parser fails, and what `file.read` throws if the file cannot be read.
   */
  parse(task: ParserTask, file: Content, signal?: AbortSignal): Promise<Parsed> {
    return this.#withProcess(signal, (parser) => parser.parse(task, file, signal));
  }

  /**
   * Probes files of disks in one process, which opens and reads them by itself. Resolves with what it found, in the order of
   * the files: undefined for files that it could not open, read or parse. The list is shorter if the process ended early. To find
   * out why, call `parse` for each of these files. Throws the signal's reason when it aborts. Calls `onProbed` with each
   * answer of the process as it arrives; an error that it throws ends the work.
   */
  async probeFiles(
    files: FilesToProbe,
    signal?: AbortSignal,
    onProbed?: (answer: readonly (ProbedFile | undefined)[]) => void,
  ): Promise<readonly (ProbedFile | undefined)[]> {
    const probed: (ProbedFile | undefined)[] = [];
    const add = (answer: readonly (ProbedFile | undefined)[]) => {
      probed.push(...answer);
      onProbed?.(answer);
      return probed.length === files.uris.length;
    };
    try {
      await this.#withProcess(signal, (parser) => parser.probeFiles(files, add, signal));
    } catch (error) {
      if (!(error instanceof ParserError)) throw error;
    }
    return probed;
  }

  /** The process rests after work that succeeds; work that fails has ended it. */
  #withProcess<T>(signal: AbortSignal | undefined, work: (parser: ParserProcess) => Promise<T>): Promise<T> {
    return this.#limit(async () => {
      signal?.throwIfAborted();
      const parser = this.#idle.pop() ?? this.#start();
      const result = await work(parser);
      this.#idle.push(parser);
      parser.rest();
      return result;
    });
  }

  /** Starts processes for files that are likely to come soon. They end when none come. */
  prepare(): void {
    while (this.#idle.length + this.#limit.activeCount < maxProcesses) {
      const parser = this.#start();
      this.#idle.push(parser);
      parser.rest();
    }
  }

  #start(): ParserProcess {
    return new ParserProcess(this.#limits, (ended) => this.#drop(ended));
  }

  #drop(parser: ParserProcess): void {
    const index = this.#idle.indexOf(parser);
    if (index >= 0) this.#idle.splice(index, 1);
  }
}

/** One parser process. It ends with the first file that it fails on: the next file gets a new process. */
class ParserProcess {
  readonly #child: ChildProcess;
  /** Buffers for reads, used again: those of 5,000 files would be hundreds of megabytes of garbage. */
  readonly #buffers: Buffer[] = [];
  #jobs = 0;
  #current: Job | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  /** `onEnd` is called when the process cannot take another file. */
  constructor(
    limits: ParserLimits,
    private readonly onEnd: (ended: ParserProcess) => void,
  ) {
    const { SystemRoot, TEMP, TMPDIR } = process.env;
    this.#child = spawn(
      process.execPath,
      [`--max-old-space-size=${heapMegabytes}`, builtProgram('parserProcess.js'), JSON.stringify(limits)],
      {
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
        serialization: 'advanced',
        // Nothing of the extension host's own environment, which may hold secrets.
        env: { ELECTRON_RUN_AS_NODE: '1', SystemRoot, TEMP, TMPDIR },
        windowsHide: true,
      },
    );
    this.#child.on('message', (message: FromParser) => this.#hear(message));
    this.#child.once('error', (error) => this.#settleEnd(new ParserError(error.message)));
    this.#child.once('exit', (code, signal) =>
      this.#settleEnd(new ParserError(`It ended with ${signal ?? code}.`)),
    );
  }

  parse(task: ParserTask, file: Content, signal?: AbortSignal): Promise<Parsed> {
    return this.#work<Parsed>(signal, (job, resolve) => {
      this.#send({ kind: 'start', job, task, size: file.size, onDisk: file.onDisk });
      return (message) => {
        if (message.kind === 'read') this.#read(job, file, message).catch((error) => this.#end(error));
        if (message.kind === 'done') resolve(message.parsed);
      };
    });
  }

  /** Calls `add` with what the process finds until it returns true. Throws a `ParserError` if the process ends before. */
  probeFiles(
    files: FilesToProbe,
    add: (answer: readonly (ProbedFile | undefined)[]) => boolean,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#work<void>(signal, (job, resolve) => {
      this.#send({ kind: 'startFiles', job, ...files });
      return (message) => {
        if (message.kind !== 'probed') return;
        if (add(message.files)) resolve();
      };
    });
  }

  /** Does one job. `start` sends it to the process and returns what hears the answers. */
  #work<T>(
    signal: AbortSignal | undefined,
    start: (job: number, resolve: (result: T) => void) => Job['hear'],
  ): Promise<T> {
    clearTimeout(this.#idleTimer);
    this.#child.ref();
    this.#child.channel?.ref();
    const id = this.#jobs++;
    return new Promise<T>((resolve, reject) => {
      const onAbort = () => this.#end(signal?.reason);
      const settle = () => {
        this.#current = undefined;
        signal?.removeEventListener('abort', onAbort);
      };
      const hear = start(id, (result) => {
        settle();
        resolve(result);
      });
      this.#current = {
        id,
        hear,
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Keeps the process for another file for a while, without keeping this process alive. */
  rest(): void {
    this.#child.unref();
    this.#child.channel?.unref();
    this.#idleTimer = setTimeout(() => this.#end(undefined), idleMs).unref();
  }

  #hear(message: FromParser): void {
    const job = this.#current;
    if (job === undefined || message.job !== job.id) return;
    if (message.kind === 'failed') this.#end(new ParserError(message.message));
    else {
      try {
        job.hear(message);
      } catch (error) {
        this.#end(error);
      }
    }
  }

  async #read(
    job: number,
    file: Content,
    { read, position, length }: Extract<FromParser, { kind: 'read' }>,
  ): Promise<void> {
    const buffer =
      length <= bufferBytes ? (this.#buffers.pop() ?? Buffer.allocUnsafe(bufferBytes)) : undefined;
    const data = await file.read(position, length, buffer);
    if (this.#current?.id === job) this.#send({ kind: 'data', job, read, data });
    // A message is a copy: its buffer serves the next read.
    if (buffer) this.#buffers.push(buffer);
  }

  #send(message: ToParser): void {
    // If the process has ended, its exit event reports that.
    this.#child.send(message, () => undefined);
  }

  /** Ends the process, and fails the file that it works on. */
  #end(reason: unknown): void {
    this.#child.kill('SIGKILL');
    this.#settleEnd(reason);
  }

  #settleEnd(reason: unknown): void {
    clearTimeout(this.#idleTimer);
    this.onEnd(this);
    this.#current?.reject(reason);
  }
}

interface Job {
  readonly id: number;
  readonly hear: (message: FromParser) => void;
  readonly reject: (error: unknown) => void;
}

/** The parser processes that all files of this extension host share. */
export const parserPool = new ParserPool();
