import type { Supervisor } from '../guard/supervisor';
import { killLeftovers } from '../tasks/processes/processes';
import type { Autoscaling } from './autoscaling';
import type { Execution } from './execution';
import type { Jobs } from './jobs';
import type { JobTasks } from './jobTasks';
import type { Nodes } from './nodes';
import { Placement, type PlacementOptions } from './placement';
import type { Pools } from './pools';
import { Retention } from './retention';
import type { State, TaskState } from './state';

export type SchedulerOptions = PlacementOptions;

const sampleMs = 30_000;
const sweepMs = 1_000;
const journalMs = 500;

/** Has active tasks placed when something has changed, and does what is due at intervals. */
/** What the scheduler coordinates. */
export interface SchedulerParts {
  readonly state: State;
  readonly pools: Pools;
  readonly nodes: Nodes;
  readonly jobs: Jobs;
  readonly jobTasks: JobTasks;
  readonly execution: Execution;
  readonly autoscaling: Autoscaling;
  readonly supervisor: Supervisor;
}

export class Scheduler {
  #scheduled = false;
  #isResumed = false;
  readonly #retention: Retention;
  readonly #placement: Placement;

  constructor(
    private readonly parts: SchedulerParts,
    options: SchedulerOptions,
  ) {
    const { state, nodes, jobs, jobTasks, execution, supervisor } = parts;
    nodes.onReady = () => this.schedule();
    jobs.onReady = () => this.schedule();
    execution.onFree = () => this.schedule();
    this.#retention = new Retention(state, nodes);
    this.#placement = new Placement(state, options, jobTasks, execution, supervisor);
  }

  /**
   * Continues where the last run of the service ended. What ran then starts again, as after a reboot of its node. On a
   * full disk this waits in the background for room.
   */
  async start(): Promise<void> {
    await killLeftovers(this.parts.nodes.recordFolder);
    this.parts.supervisor.every(journalMs, { about: 'the journal' }, () => this.parts.state.tend(Date.now()));
    this.parts.supervisor.every(sweepMs, { about: 'what is due' }, () => this.#sweep());
    this.parts.nodes.removeLeftovers();
    if (this.parts.state.isWritable) this.#resume();
    else {
      this.parts.supervisor.run({ about: 'the start' }, async () => {
        await this.parts.state.whenWritable();
        this.#resume();
      });
    }
  }

  #resume(): void {
    this.parts.pools.start();
    this.parts.jobs.deleteOrphans();
    for (const job of this.parts.state.jobs.values()) {
      this.parts.supervisor.run(this.parts.jobs.about(job), () => {
        for (const task of job.tasks.values()) {
          if (task.facts.state === 'running' || task.facts.state === 'preparing')
            this.parts.execution.resume(task);
        }
        this.parts.jobs.resume(job);
      });
    }
    this.#isResumed = true;
    this.parts.supervisor.every(sampleMs, { about: 'samples of metrics' }, () =>
      this.parts.autoscaling.sample(),
    );
    this.schedule();
  }

  /** Ends all processes, and those that have left their group if their records are ours; the next start requeues what ran. */
  async close({ isOurs }: { readonly isOurs: boolean }): Promise<void> {
    this.parts.supervisor.stop();
    await this.parts.supervisor.settle();
    if (isOurs) await killLeftovers(this.parts.nodes.recordFolder);
  }

  /** Whether tasks run, or wait in a pool that exists, or a job is ending: the service is not idle then. */
  get isBusy(): boolean {
    return (
      this.parts.execution.running > 0 ||
      [...this.parts.state.jobs.values()].some(
        ({ wire, counts, poolId }) =>
          wire.state === 'terminating' ||
          wire.state === 'deleting' ||
          (wire.state === 'active' &&
            counts.active > 0 &&
            poolId !== undefined &&
            this.parts.state.pool(poolId) !== undefined),
      )
    );
  }

  /** Has tasks placed soon, once for all changes of this moment. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.parts.supervisor.run({ about: 'the placement of tasks' }, () => {
        if (this.#isResumed && this.parts.state.isWritable) this.#placement.place();
      });
    });
  }

  /** Terminates a task. Resolves once it has completed. */
  terminateTask(task: TaskState): Promise<void> {
    return this.parts.execution.terminate(task);
  }

  /** Deletes a task with its files. Resolves once it no longer exists. */
  deleteTask(task: TaskState): Promise<void> {
    return this.parts.execution.delete(task);
  }

  #sweep(): void {
    const now = Date.now();
    // Also on a full disk, which gets room by it.
    this.#retention.sweep(now);
    if (!this.parts.state.isWritable) {
      this.#makeRoom();
      return;
    }
    this.parts.jobs.endOverdue(now);
    this.parts.jobs.checkEnding();
    this.parts.autoscaling.evaluateDue(now);
    this.schedule();
  }

  /**
   * Removes the files of pools and jobs that are being deleted once none of their processes runs. Tasks of a pool cannot
   * be requeued before there is room, a job may wait for a node that has no room for its folders, and nothing goes on
   * while the start waits for room.
   */
  #makeRoom(): void {
    for (const pool of this.parts.state.pools.values()) {
      if (pool.wire.state !== 'deleting') continue;
      for (const { id, running, own } of pool.nodes.values()) {
        if (own.size === 0 && [...running].every(({ hasEnded }) => hasEnded))
          this.parts.nodes.discard(this.parts.nodes.root(pool.id, id), `folders of node ${id}`);
      }
    }
    for (const job of this.parts.state.jobs.values()) {
      if (job.wire.state !== 'deleting' || this.parts.jobTasks.isRunning(job)) continue;
      if (![...job.tasks.values()].some(({ stop }) => stop)) this.parts.nodes.removeJobFiles(job);
    }
  }
}
