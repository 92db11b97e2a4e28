import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

/** Notes which process of this machine has, or is about to acquire, a lease of a run: a file of its own for each lease. */
export class LeaseNote {
  readonly #path: string;

  constructor(
    private readonly folder: string,
    private readonly runId: string,
    leaseId: string,
  ) {
    this.#path = join(folder, `${runId}.${leaseId}.json`);
  }

  async write(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const note: Note = { pid: process.pid, host: hostname(), isTouched: true };
    await writeFile(this.#path, JSON.stringify(note), { mode: 0o600 });
  }

  /** Says that its process still acts on the run. Called with each renewal of the lease. Never rejects. */
  async touch(): Promise<void> {
    const now = new Date();
    await utimes(this.#path, now, now).catch(() => undefined);
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  /** IDs of the leases of processes of this machine that no longer exist. */
  async left(): Promise<string[]> {
    const notes = await notesOf(this.folder, this.runId);
    return notes.filter((file) => file.note && isLeft(file)).map(({ leaseId }) => leaseId);
  }

  /** Removes the notes of processes that no longer exist. Requires the lease: a process with an incomplete note has none. */
  async removeLeft(): Promise<void> {
    for (const file of await notesOf(this.folder, this.runId))
      if (file.note === undefined || isLeft(file)) await rm(file.path, { force: true });
  }
}

interface Note {
  readonly pid: number;
  readonly host: string;
  /** Undefined in notes of earlier versions, which are written once. */
  readonly isTouched?: true;
}

interface NoteFile {
  readonly path: string;
  readonly leaseId: string;
  /** Undefined if it is incomplete: its process is writing it, or was killed meanwhile. */
  readonly note: Note | undefined;
  /** When it was written or touched, in milliseconds since 1970. */
  readonly touchedMs: number;
}

/**
 * A note that was not touched for so long is of a process that has ended, whose id another one may have by now, or that
 * sleeps and has lost the lease. In milliseconds; leases are renewed, and notes touched, every few seconds.
 */
const maxSilenceMs = 60_000;

async function notesOf(folder: string, runId: string): Promise<NoteFile[]> {
  const notes: NoteFile[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(`${runId}.`) || !name.endsWith('.json')) continue;
    const path = join(folder, name);
    const leaseId = name.slice(runId.length + 1, -'.json'.length);
    const touchedMs = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
    notes.push({ path, leaseId, touchedMs, note: parsed(await readFile(path, 'utf8').catch(() => '')) });
  }
  return notes;
}

function parsed(text: string): Note | undefined {
  try {
    return JSON.parse(text) as Note;
  } catch {
    return undefined;
  }
}

function isHere({ note }: NoteFile): boolean {
  return note?.host === hostname();
}

function isLeft(file: NoteFile): boolean {
  return isHere(file) && !isAlive(file);
}

/** Whether a living process of this machine has noted that it acts on a run. */
export async function isClaimedHere(folder: string, runId: string): Promise<boolean> {
  const notes = await notesOf(folder, runId);
  return notes.some((file) => isHere(file) && isAlive(file));
}

function isAlive({ note, touchedMs }: NoteFile): boolean {
  if (note === undefined || !isProcess(note.pid)) return false;
  // A clock that was set back may have touched it in the future.
  return note.isTouched !== true || Math.abs(Date.now() - touchedMs) < maxSilenceMs;
}

function isProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
