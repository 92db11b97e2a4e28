import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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
    const note: Note = { pid: process.pid, host: hostname() };
    await writeFile(this.#path, JSON.stringify(note), { mode: 0o600 });
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  /** IDs of the leases of processes of this machine that no longer exist. */
  async left(): Promise<string[]> {
    const notes = await notesOf(this.folder, this.runId);
    return notes.filter(({ note }) => note && isLeft(note)).map(({ leaseId }) => leaseId);
  }

  /** Removes the notes of processes that no longer exist. Requires the lease: a process with an incomplete note has none. */
  async removeLeft(): Promise<void> {
    for (const { path, note } of await notesOf(this.folder, this.runId))
      if (note === undefined || isLeft(note)) await rm(path, { force: true });
  }
}

interface Note {
  readonly pid: number;
  readonly host: string;
}

interface NoteFile {
  readonly path: string;
  readonly leaseId: string;
  /** Undefined if it is incomplete: its process is writing it, or was killed meanwhile. */
  readonly note: Note | undefined;
}

async function notesOf(folder: string, runId: string): Promise<NoteFile[]> {
  const notes: NoteFile[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(`${runId}.`) || !name.endsWith('.json')) continue;
    const path = join(folder, name);
    const leaseId = name.slice(runId.length + 1, -'.json'.length);
    notes.push({ path, leaseId, note: parsed(await readFile(path, 'utf8').catch(() => '')) });
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

function isLeft({ pid, host }: Note): boolean {
  return host === hostname() && !isAlive(pid);
}

/** Whether a living process of this machine has noted that it acts on a run. */
export async function isClaimedHere(folder: string, runId: string): Promise<boolean> {
  const notes = await notesOf(folder, runId);
  return notes.some(({ note }) => note?.host === hostname() && isAlive(note.pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
