import type { Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import type { FileResult } from '../plan/manifest';
import type { AddedTasks } from './addedTasks';

/** The results of a run and the tasks that it has added, a JSON line for each change. A blob that only grows. */
const journalBlob = 'results.jsonl';

/** All results in one text, as earlier versions wrote them. */
const resultsBlob = 'results.json';

/** Characters that one request appends at most. Storage allows 4 MiB. */
const maxAppended = 1024 * 1024;

/** The result of a file, or the id of a file that is tried again and has none. */
type Line = FileResult | { readonly id: string; readonly forgotten: true };

/**
 * The results in a journal: the last line of a file counts. A line that is not whole, which a process left that ended while
 * it wrote, is ignored.
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
    const line = JSON.parse(text) as Partial<Line> | null;
    return typeof line === 'object' && typeof line?.id === 'string' ? (line as Line) : undefined;
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

  constructor(
    private readonly storage: Storage,
    private readonly container: string,
    private readonly results: ReadonlyMap<string, FileResult>,
    private readonly tasks: AddedTasks,
  ) {}

  /** Notes that the result of a file has changed. */
  note(id: string): void {
    this.#changed.add(id);
  }

  /** Creates the journal of a new run, so that the first results need one request less. */
  async create(signal: AbortSignal): Promise<void> {
    await create(this.storage, this.container, signal);
  }

  /** Appends what has changed. What could not be written is written by the next call. */
  async save(signal: AbortSignal): Promise<void> {
    const changed = [...this.#changed];
    this.#changed.clear();
    const tasks = this.tasks.takeUnsaved();
    const ofTasks = tasks.map((line) => `${JSON.stringify(line)}\n`).join('');
    const texts = journalTexts(this.results, changed);
    try {
      if (ofTasks !== '')
        await append(this.storage, this.container, `\n${ofTasks}${texts.shift() ?? ''}`, signal);
      for (const text of texts) await append(this.storage, this.container, text, signal);
    } catch (error) {
      for (const id of changed) this.#changed.add(id);
      this.tasks.giveBack(tasks);
      throw error;
    }
  }
}

/** Appends a text as a whole or not at all; twice if the answer to a first attempt was lost, which changes nothing. */
async function append(storage: Storage, container: string, text: string, signal: AbortSignal): Promise<void> {
  const blob = storage.appendBlob(container, journalBlob);
  const data = Buffer.from(text);
  const once = () =>
    storage.call(
      { operation: 'append to blob', resource: journalBlob, bytes: data.length, signal },
      (abortSignal) => blob.appendBlock(data, data.length, { abortSignal }),
    );
  try {
    await once();
  } catch (error) {
    if (!isStorageCode(error, 'BlobNotFound')) throw error;
    await create(storage, container, signal);
    await once();
  }
}

async function create(storage: Storage, container: string, signal: AbortSignal): Promise<void> {
  await storage.call({ operation: 'create blob', resource: journalBlob, signal }, (abortSignal) =>
    storage.appendBlob(container, journalBlob).createIfNotExists({ abortSignal }),
  );
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

/** Empty for a text that is not whole. */
function earlyResults(text: string): FileResult[] {
  try {
    const results = JSON.parse(text) as unknown;
    return Array.isArray(results) ? (results as FileResult[]) : [];
  } catch {
    return [];
  }
}

/** Reads the results of a run's files as they were last saved. Empty if none were. */
export async function readResults(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<readonly FileResult[]> {
  return (await readStoredResults(storage, outputContainer, signal)).results;
}
