/** What the run did with tasks of a job, as a line of the journal holds it. */
interface TaskLine {
  readonly job: string;
  readonly added?: readonly string[];
  /** Deleted, to be added again with a new SAS. */
  readonly replaced?: readonly string[];
}

/**
 * The tasks that a run has added and not replaced since, by the ids of their jobs. One of them that no longer exists was
 * deleted by somebody, and is not added again.
 */
export class AddedTasks {
  readonly #byJob = new Map<string, Set<string>>();
  #unsaved: TaskLine[] = [];

  has(jobId: string, taskId: string): boolean {
    return this.#byJob.get(jobId)?.has(taskId) === true;
  }

  /** Ids of the tasks of a job. */
  of(jobId: string): ReadonlySet<string> {
    return this.#byJob.get(jobId) ?? new Set();
  }

  noteAdded(jobId: string, taskIds: readonly string[]): void {
    this.#note({ job: jobId, added: taskIds });
  }

  /** To be saved before tasks are deleted to be replaced: if this process ends in between, the next one adds them. */
  noteReplaced(jobId: string, taskIds: readonly string[]): void {
    this.#note({ job: jobId, replaced: taskIds });
  }

  /** Keeps notes about a job out of the journal: its attempt is about to be saved as submitted, which says it all. */
  skipUnsaved(jobId: string): void {
    this.#unsaved = this.#unsaved.filter(({ job }) => job !== jobId);
  }

  /** Returns the lines that the journal lacks, and takes them for saved. */
  takeUnsaved(): readonly TaskLine[] {
    return this.#unsaved.splice(0);
  }

  /** Takes back lines that could not be saved. */
  giveBack(lines: readonly TaskLine[]): void {
    this.#unsaved.unshift(...lines);
  }

  /** Takes what a journal says. */
  restore(journal: string): void {
    for (const text of journal.split('\n')) {
      const line = text.startsWith('{"job"') ? parsed(text) : undefined;
      if (line) this.#apply(line);
    }
  }

  #note(line: TaskLine): void {
    this.#apply(line);
    this.#unsaved.push(line);
  }

  #apply({ job, added = [], replaced = [] }: TaskLine): void {
    const tasks = this.#byJob.get(job) ?? new Set();
    this.#byJob.set(job, tasks);
    for (const id of added) tasks.add(id);
    for (const id of replaced) tasks.delete(id);
  }
}

/** Undefined for a line that is not whole, or that says something else. */
function parsed(text: string): TaskLine | undefined {
  try {
    const { job, added = [], replaced = [] } = JSON.parse(text) as Partial<TaskLine>;
    const areLists = Array.isArray(added) && Array.isArray(replaced);
    return typeof job === 'string' && areLists ? { job, added, replaced } : undefined;
  } catch {
    return undefined;
  }
}
