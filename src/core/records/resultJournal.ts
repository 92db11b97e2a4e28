import type { AppendBlobClient } from '@azure/storage-blob';
import type { Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import type { FileResult, Manifest } from '../plan/manifest';
import type { AddedTasks } from './addedTasks';
import { isFileResult } from './manifestShape';

/** The results of a run and the tasks that it has added, a JSON line for each change. A blob that only grows. */
const journalBlob = 'results.jsonl';

/** All results in one text, as earlier versions wrote them. */
const resultsBlob = 'results.json';

/** Characters that one request appends at most. Storage allows 4 MiB. */
const maxAppended = 1024 * 1024;

/** How often an append is tried again because an aborted one has taken effect meanwhile. */
const maxOvertaken = 3;

/** The result of a file, or the id of a file that is tried again and has none. */
type Line = FileResult | { readonly id: string; readonly forgotten: true };

/**
 * The results in a journal: the last line of a file counts. Ignores incomplete lines, left by a process that ended while
 * writing, and lines that are not results.
 */
export function resultsIn(journal: string): FileResult[] {
  const results = new Map<string, FileResult>();
  for (const text of journal.split('\n')) {
    const line = parsed(text);
    if (line === undefined) continue;
    // A file that is tried again takes its new place in the order.
    results.delete(line.id);
    if (!('forgotten' in line)) results.set(line.id, line);
  }
  return [...results.values()];
}

function parsed(text: string): Line | undefined {
  if (text === '') return undefined;
  try {
    const line: unknown = JSON.parse(text);
    return isFileResult(line) ? line : undefined;
  } catch {
    return undefined;
  }
}

/** Results of files as texts to append. Each begins with a line break, which ends a line that was not whole. */
export function journalTexts(results: ReadonlyMap<string, FileResult>, changed: Iterable<string>): string[] {
  const texts: string[] = [];
  let text = '\n';
  for (const id of changed) {
    const line: Line = results.get(id) ?? { id, forgotten: true };
    const json = `${JSON.stringify(line)}\n`;
    if (text.length > 1 && text.length + json.length > maxAppended) {
      texts.push(text);
      text = '\n';
    }
    text += json;
  }
  return text.length > 1 ? [...texts, text] : texts;
}

/** Writes which results have changed since the last call, and nothing else. One write at a time. */
export class ResultJournal {
  readonly #changed = new Set<string>();
  readonly #blob: GrowingBlob;

  /** `mayWrite` throws if another window has the run: see `GrowingBlob`. */
  constructor(
    storage: Storage,
    container: string,
    private readonly results: ReadonlyMap<string, FileResult>,
    private readonly tasks: AddedTasks,
    mayWrite?: MayWrite,
  ) {
    this.#blob = new GrowingBlob(storage, container, mayWrite);
  }

  /** Notes that the result of a file has changed. */
  note(id: string): void {
    this.#changed.add(id);
  }

  /** Creates the journal of a new run, so that the first results need one request less. */
  async create(signal: AbortSignal): Promise<void> {
    await this.#blob.create(signal);
  }

  /** Appends what has changed. What could not be written is written by the next call. */
  async save(signal: AbortSignal): Promise<void> {
    const changed = [...this.#changed];
    this.#changed.clear();
    const tasks = this.tasks.takeUnsaved();
    const ofTasks = tasks.map((line) => `${JSON.stringify(line)}\n`).join('');
    const texts = journalTexts(this.results, changed);
    try {
      if (ofTasks !== '') await this.#blob.append(`\n${ofTasks}${texts.shift() ?? ''}`, signal);
      for (const text of texts) await this.#blob.append(text, signal);
    } catch (error) {
      for (const id of changed) this.#changed.add(id);
      this.tasks.giveBack(tasks);
      throw error;
    }
  }
}

type MayWrite = (signal: AbortSignal) => Promise<void>;

/**
 * A blob that only grows. Each append is made only at the end that is known: one that was aborted and reaches the service
 * later than the next one must not follow it, because the last line of a file counts. `mayWrite` is called before the end is
 * read: another window may have claimed the run and written to the blob while this machine was asleep.
 */
class GrowingBlob {
  /** In bytes. Undefined until it was asked for, or after an append whose outcome is unknown. */
  #length: number | undefined;

  constructor(
    private readonly storage: Storage,
    private readonly container: string,
    private readonly mayWrite: MayWrite = async () => undefined,
  ) {}

  async create(signal: AbortSignal): Promise<void> {
    const { succeeded } = await this.#call('create blob', 0, signal, (blob, abortSignal) =>
      blob.createIfNotExists({ abortSignal }),
    );
    if (succeeded) this.#length = 0;
  }

  /** Appends a text as a whole or not at all; twice if the answer to a first attempt was lost, which changes nothing. */
  async append(text: string, signal: AbortSignal): Promise<void> {
    const data = Buffer.from(text);
    for (let overtaken = 0; ; overtaken++) {
      try {
        const position = this.#length ?? (await this.#readLength(signal));
        this.#length = undefined;
        await this.#call('append to blob', data.length, signal, (blob, abortSignal) =>
          blob.appendBlock(data, data.length, { abortSignal, conditions: { appendPosition: position } }),
        );
        this.#length = position + data.length;
        return;
      } catch (error) {
        if (overtaken === maxOvertaken) throw error;
        if (isStorageCode(error, 'BlobNotFound')) await this.create(signal);
        else if (!isStorageCode(error, 'AppendPositionConditionNotMet')) throw error;
      }
    }
  }

  async #readLength(signal: AbortSignal): Promise<number> {
    await this.mayWrite(signal);
    const { contentLength = 0 } = await this.#call('get blob properties', 0, signal, (blob, abortSignal) =>
      blob.getProperties({ abortSignal }),
    );
    return contentLength;
  }

  #call<T>(
    operation: string,
    bytes: number,
    signal: AbortSignal,
    call: (blob: AppendBlobClient, abortSignal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const blob = this.storage.appendBlob(this.container, journalBlob);
    return this.storage.call({ operation, resource: journalBlob, bytes, signal }, (abortSignal) =>
      call(blob, abortSignal),
    );
  }
}

/** Results of a run in the account, and the journal that holds them. */
export interface StoredResults {
  readonly results: readonly FileResult[];
  /** The text of the journal; undefined if there is none, as with results that an earlier version wrote. */
  readonly journal?: string;
}

/** Reads the results of a run's files as they were last saved. Empty if none were. */
export async function readStoredResults(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<StoredResults> {
  const journal = await storage.readText(outputContainer, journalBlob, signal);
  if (journal !== undefined) return { results: resultsIn(journal.text), journal: journal.text };
  const blob = await storage.readText(outputContainer, resultsBlob, signal);
  return { results: blob === undefined ? [] : earlyResults(blob.text) };
}

/** Empty for a text that is not whole. Leaves out what is no result. */
function earlyResults(text: string): FileResult[] {
  try {
    const results: unknown = JSON.parse(text);
    return Array.isArray(results) ? results.filter(isFileResult) : [];
  } catch {
    return [];
  }
}

/** The results of the files of a run. Anyone with access to the account can add others. */
export function resultsOf(
  { files }: Pick<Manifest, 'files'>,
  results: readonly FileResult[],
): readonly FileResult[] {
  const ids = new Set(files.map(({ id }) => id));
  return results.filter(({ id }) => ids.has(id));
}

/** Reads the results of a run's files as they were last saved. Empty if none were. */
export async function readResults(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<readonly FileResult[]> {
  return (await readStoredResults(storage, outputContainer, signal)).results;
}
