import { fileURLToPath } from 'node:url';
import pLimit from 'p-limit';
import { aboutSource, UserError } from '../errors';
import { type Content, wholeOf } from '../files/bytes';
import type { Files } from '../files/files';
import type { MediaInfo } from '../media/mediaInfo';
import { keepLayout, type SourceVersion } from '../media/parser/audioOnlyContent';
import { cutLayouts } from '../media/parser/cutContent';
import type { AudioOnlyLayout, ProbedFile } from '../media/parser/messages';
import { maxProcesses, type ParserPool, parserPool } from '../media/parser/pool';
import { isProbed, type ProbeNeeds, probeMedia } from '../media/probe/probeMedia';
import { usesVideo } from '../presets/ffmpegCommand';
import type { Preset } from '../presets/preset';
import { judge } from './judge';
import type { RefusedFile } from './manifest';
import type { PlanSource } from './plan';

/** Files that are opened here at once; more would only make a disk seek. */
const opensAtOnce = 8;

/** Files that a parser process probes between two answers, at most: a crash of the process costs their probes. */
const maxBatch = 64;

/** The uploads begin with the first files of a run. For all others, finding the layout again takes a millisecond. */
const filesWithLayouts = 256;

/** The result of probing some files. Both lists are in the order of the files. */
export interface ProbedFiles {
  readonly sources: readonly PlanSource[];
  readonly refused: readonly RefusedFile[];
}

export interface ProbeFilesOptions {
  /** Path of ffprobe, if it is there. */
  readonly ffprobe?: string;
  /** About how long the parts are into which long videos are cut, if the preset allows it. */
  readonly partSeconds?: number;
  /** Called after each file. */
  readonly onProbed?: () => void;
  readonly parser?: ParserPool;
}

type ChosenFile = Pick<PlanSource, 'uri' | 'path'>;

/** Probes each file, a few at a time, and judges whether the preset can work on it. */
export async function probeFiles(
  files: Files,
  chosen: readonly ChosenFile[],
  preset: Preset,
  signal: AbortSignal,
  options: ProbeFilesOptions = {},
): Promise<ProbedFiles> {
  const results = await new Probes(files, chosen, preset, signal, options).run();
  const sources: PlanSource[] = [];
  const refused: RefusedFile[] = [];
  for (const probed of results) {
    if ('problem' in probed) refused.push(probed);
    else sources.push(probed);
  }
  return { sources, refused };
}

/**
 * Probes of some files. A parser process opens and probes files of disks in batches, so that a file of a large selection costs
 * this process no more than an object. Files that need more are opened here, a few at a time: those in virtual workspaces,
 * those that the parser process can't open or fails on, and those that ffprobe is asked about or that are cut.
 */
class Probes {
  readonly #results: (PlanSource | RefusedFile)[];
  readonly #isUsingVideo: boolean;
  readonly #needs: ProbeNeeds;
  /** Undefined if videos are not cut. */
  readonly #partSeconds: number | undefined;
  readonly #parser: ParserPool;
  readonly #opens = pLimit(opensAtOnce);
  #next = 0;

  constructor(
    private readonly files: Files,
    private readonly chosen: readonly ChosenFile[],
    private readonly preset: Preset,
    private readonly signal: AbortSignal,
    private readonly options: ProbeFilesOptions,
  ) {
    this.#results = new Array(chosen.length);
    this.#isUsingVideo = usesVideo(preset);
    const keepsDepth = preset.arguments.some((arg) => arg.includes('${pcm}'));
    const wantsDetails = this.#isUsingVideo || keepsDepth || preset.needs !== 'audio';
    this.#needs = { hasFfprobe: options.ffprobe !== undefined, wantsDetails };
    this.#partSeconds = preset.split ? options.partSeconds || undefined : undefined;
    this.#parser = options.parser ?? parserPool;
  }

  async run(): Promise<readonly (PlanSource | RefusedFile)[]> {
    const probeInTurn = async () => {
      while (this.#next < this.chosen.length) {
        this.signal.throwIfAborted();
        const from = this.#next;
        this.#next = this.#endOfBatch(from);
        await this.#probeBatch(from, this.#next);
      }
    };
    try {
      await Promise.all(Array.from({ length: maxProcesses }, probeInTurn));
    } catch (error) {
      // No other file is begun.
      this.#next = this.chosen.length;
      this.#opens.clearQueue();
      throw error;
    }
    return this.#results;
  }

  /** Batches become smaller towards the end, so that all processes end at about the same time. */
  #endOfBatch(from: number): number {
    const left = this.chosen.length - from;
    return from + Math.min(maxBatch, Math.ceil(left / (2 * maxProcesses)));
  }

  async #probeBatch(from: number, to: number): Promise<void> {
    const batch = this.chosen.slice(from, to).map((file, index) => ({ file, at: from + index }));
    const onDisk = batch.filter(({ file }) => isOnDisk(file.uri));
    /** What the parser process has told of files that are opened here. */
    const toOpen = new Map(batch.map(({ at }): [number, ProbedFile | undefined] => [at, undefined]));
    if (onDisk.length > 0) {
      const uris = onDisk.map(({ file }) => file.uri);
      const wantsLayouts = !this.#isUsingVideo && from < filesWithLayouts;
      const rest = onDisk.values();
      // A slow disk takes seconds for a batch: files count as they are answered.
      await this.#parser.probeFiles({ uris, wantsLayouts }, this.signal, (answer) => {
        for (const known of answer) {
          const { value } = rest.next();
          if (value === undefined || known === undefined) continue;
          const { file, at } = value;
          const result = this.#resultOf(file, known);
          if (result === undefined) toOpen.set(at, known);
          else {
            toOpen.delete(at);
            this.#settle(at, result);
          }
        }
      });
    }
    await Promise.all(
      batch
        .filter(({ at }) => toOpen.has(at))
        .map(({ file, at }) =>
          this.#opens(async () => this.#settle(at, await this.#open(file, toOpen.get(at)))),
        ),
    );
  }

  #settle(index: number, result: PlanSource | RefusedFile): void {
    this.#results[index] = result;
    this.options.onProbed?.();
  }

  /** Undefined for a file of which more must be known. */
  #resultOf(
    { uri, path }: ChosenFile,
    { size, modified, media, audioOnly }: ProbedFile,
  ): PlanSource | RefusedFile | undefined {
    if (size === 0 || !isProbed(media, this.#needs)) return undefined;
    const problem = judge(this.preset, media, { path, size });
    if (problem) return { uri, path, problem };
    const partSeconds = this.#partSeconds;
    if (partSeconds !== undefined && !isShort(media, partSeconds)) return undefined;
    this.#keepLayout({ uri, size, modified }, audioOnly);
    return { uri, path, size, modified, media, cut: partSeconds === undefined ? undefined : 'short' };
  }

  /** Opens a file, of which a parser process may have told something already. */
  async #open(file: ChosenFile, known: ProbedFile | undefined): Promise<PlanSource | RefusedFile> {
    this.signal.throwIfAborted();
    try {
      return await this.#probe(file, known);
    } catch (error) {
      if (error instanceof UserError)
        return { uri: file.uri, path: file.path, problem: aboutSource(error.problem, file.path) };
      throw error;
    }
  }

  async #probe({ uri, path }: ChosenFile, known: ProbedFile | undefined): Promise<PlanSource | RefusedFile> {
    const { preset, signal } = this;
    const partSeconds = this.#partSeconds;
    const file = await this.files.open(uri);
    try {
      // As the upload will see it: VS Code rounds times otherwise.
      const { size, modified } = file.opened;
      const parsed = known?.size === size && known.modified === modified ? known : undefined;
      const { ffprobe: program } = this.options;
      const { media, audioOnly, invalid } = await probeMedia(wholeOf(file), {
        signal,
        ffprobe: program !== undefined && isOnDisk(uri) ? { program, path: fileURLToPath(uri) } : undefined,
        wantsDetails: this.#needs.wantsDetails,
        parser: this.#parser,
        parsed,
      });
      const problem =
        invalid === undefined
          ? judge(preset, media, { path, size })
          : ({ kind: 'notMedia', file: path, detail: invalid } as const);
      if (problem) return { uri, path, problem };
      this.#keepLayout({ uri, size, modified }, audioOnly);
      const cut =
        partSeconds === undefined
          ? undefined
          : isShort(media, partSeconds)
            ? 'short'
            : await cutSource(wholeOf(file), media, partSeconds, signal);
      return { uri, path, size, modified, media, cut };
    } finally {
      await file.close();
    }
  }

  #keepLayout(source: SourceVersion, layout: AudioOnlyLayout | undefined): void {
    if (layout && !this.#isUsingVideo) keepLayout(source, layout);
  }
}

function isOnDisk(uri: string): boolean {
  return uri.startsWith('file:');
}

/**
 * Whether a video is known to be too short to be cut. The clock of a transport stream may wrap, or start again, and its length
 * is what that clock says.
 */
function isShort(media: MediaInfo | undefined, partSeconds: number): boolean {
  const { format, seconds } = media ?? {};
  return seconds !== undefined && seconds < 1.5 * partSeconds && format !== 'mpegts';
}

/**
 * Maximum number of parts of a file; a file that would have more gets longer parts. The task that joins them names the URL of
 * each, about 600 characters, in a request of at most 1 MB: https://learn.microsoft.com/rest/api/batchservice/task/add-collection
 */
const maxParts = 1_000;

/**
 * Maximum number of parts of a video whose format has tables; parts of a long video become longer. The video is transcoded as a
 * whole if more than 200 of its key frames must be examined (`media/cut`).
 */
const usualParts = 150;

/** How a video can be cut. */
async function cutSource(
  file: Content,
  media: MediaInfo | undefined,
  partSeconds: number,
  signal: AbortSignal,
): Promise<PlanSource['cut']> {
  const { format, seconds } = media ?? {};
  const shortest = format === 'mpegts' ? 0 : (seconds ?? 0) / usualParts;
  for (let chosen = Math.max(partSeconds, shortest); ; ) {
    const cut = await cutLayouts(file, chosen, { signal });
    if (typeof cut === 'string') return cut;
    const { length } = cut.cuts.parts;
    if (length <= maxParts) return { partSeconds: chosen, cuts: cut.cuts, audioBytes: cut.audio?.size ?? 0 };
    // Parts differ in length: their number does not follow exactly.
    chosen *= (1.1 * length) / maxParts;
  }
}
