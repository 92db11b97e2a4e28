import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataFolder } from '../guard/dataFolder';
import type { Log } from '../guard/log';
import { Journal } from '../journal/journal';
import { State } from './state';

/** The state of a data folder, and the journal that it was loaded from and is stored in. */
export interface Loaded {
  readonly journal: Journal;
  readonly state: State;
}

/** Resources that a sentence names; of more, it gives the number. */
const maxNamed = 5;

/**
 * Opens the journal of a data folder and loads the state from it. What is damaged is moved into a file of its own and
 * reported by `notice`; the rest is loaded. Throws a StartError if the journal cannot be opened.
 */
export function loadState(dataDir: string, notice: Log, now: Date): Loaded {
  const journal = new Journal(dataDir);
  const state = new State(journal);
  const damaged = [
    ...journal.damaged.map(({ key, text }) => ({ key, text })),
    ...state.bad.map(({ key, record }) => ({ key, text: textOf([key, record]) })),
  ];
  if (!journal.isWritable) {
    notice(`The disk of ${dataDir} is full. Nothing can be changed and no task starts until there is room.`);
  }
  if (damaged.length === 0) {
    state.removeOrphans();
    if (journal.isWorthRewriting) state.rewrite();
    return { journal, state };
  }
  const kept = setAside(
    dataDir,
    damaged.map(({ text }) => text),
    now,
  );
  const named = [
    ...new Set(damaged.map(({ key }) => (key === undefined ? 'an unknown resource' : nameOf(key)))),
  ];
  const which = named.slice(0, maxNamed).join(', ') + (named.length > maxNamed ? ', and others' : '');
  const count = damaged.length === 1 ? '1 record' : `${damaged.length} records`;
  notice(
    `${join(dataDir, 'state.jsonl')} was damaged: ${count} could not be read (${which}). These resources are missing or as they were before; the rest is loaded.${kept ? ` The damaged records are in ${kept}.` : ''}`,
  );
  if (kept) state.rewrite();
  return { journal, state };
}

function setAside(dataDir: string, texts: readonly string[], now: Date): string | undefined {
  const folder = new DataFolder(dataDir).damaged;
  const path = join(folder, `${now.toISOString().replaceAll(':', '-')} state.jsonl`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(path, `${texts.join('\n')}\n`, { mode: 0o600 });
    return path;
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return String(value);
  }
}

/** `task/j/t` as `task t of job j`. */
function nameOf(key: string): string {
  const [kind = '', owner = '', id = ''] = key.split('/');
  if (kind === 'task') return `task ${id} of job ${owner}`;
  if (kind === 'ending') return `the end of task ${id} of job ${owner}`;
  if (kind === 'subtasks') return `the subtasks of task ${id} of job ${owner}`;
  if (kind === 'node') return `node ${id} of pool ${owner}`;
  return `${kind} ${owner}`;
}
