import { durationMs } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Nodes } from './nodes';
import type { State, TaskState } from './state';

/** Tasks of one sweep: a job of any length costs the same. */
const sweptAtOnce = 2_000;

/** Milliseconds since 1970 until which the files of a completed task stay; undefined while there is no such time. */
export function retainedUntil(task: TaskState): number | undefined {
  const wire = task.facts;
  if (wire.state !== 'completed') return undefined;
  const { endTime } = (wire.executionInfo ?? {}) as { endTime?: string };
  const kept = durationMs((wire.constraints as Wire | undefined)?.retentionTime as string | undefined);
  return endTime && kept !== undefined ? Date.parse(endTime) + kept : undefined;
}

/** Removes the files of tasks whose retention time is over. */
export class Retention {
  #walk: Iterator<TaskState> | undefined;
  /** The end of the retention time of files that were removed: a task that runs again has files again. */
  readonly #removed = new WeakMap<TaskState, number>();

  constructor(
    private readonly state: State,
    private readonly nodes: Nodes,
  ) {}

  /** Goes through the next tasks, and begins anew after the last one. */
  sweep(now: number): void {
    this.#walk ??= this.#tasks();
    for (let swept = 0; swept < sweptAtOnce; swept++) {
      const { done, value: task } = this.#walk.next();
      if (done) {
        this.#walk = undefined;
        return;
      }
      const until = retainedUntil(task);
      if (until === undefined || until > now || this.#removed.get(task) === until) continue;
      this.#removed.set(task, until);
      this.nodes.removeTaskFiles(task);
    }
  }

  *#tasks(): Generator<TaskState> {
    for (const job of this.state.jobs.values()) yield* job.tasks.values();
  }
}
