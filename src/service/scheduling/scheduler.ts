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
export class Scheduler {
  #scheduled = false;
  #isResumed = false;
  readonly #retention: Retention;
  readonly #placement: Placement;

  constructor(
    private readonly state: State,
    options: SchedulerOptions,
    private readonly pools: Pools,
    private readonly nodes: Nodes,
    private readonly jobs: Jobs,
    private readonly jobTasks: JobTasks,
    private readonly execution: Execution,
    private readonly autoscaling: Autoscaling,
    private readonly supervisor: Supervisor,
  ) {
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
    await killLeftovers(this.nodes.recordFolder);
    this.supervisor.every(journalMs, { about: 'the journal' }, () => this.state.tend(Date.now()));
    this.supervisor.every(sweepMs, { about: 'what is due' }, () => this.#sweep());
    this.nodes.removeLeftovers();
    if (this.state.isWritable) this.#resume();
    else {
      this.supervisor.run({ about: 'the start' }, async () => {
        await this.state.whenWritable();
        this.#resume();
      });
    }
  }

  #resume(): void {
    this.pools.start();
    this.jobs.deleteOrphans();
    for (const job of this.state.jobs.values()) {
      this.supervisor.run(this.jobs.about(job), () => {
        for (const task of job.tasks.values()) {
          if (task.facts.state === 'running' || task.facts.state === 'preparing') this.execution.resume(task);
        }
        this.jobs.resume(job);
      });
    }
    this.#isResumed = true;
    this.supervisor.every(sampleMs, { about: 'samples of metrics' }, () => this.autoscaling.sample());
    this.schedule();
  }

  /** Ends all processes, and those that have left their group if their records are ours; the next start requeues what ran. */
  async close(isOurs: boolean): Promise<void> {
    this.supervisor.stop();
    await this.supervisor.settle();
    if (isOurs) await killLeftovers(this.nodes.recordFolder);
  }

  /** Whether tasks run, or wait in a pool that exists, or a job is ending: the service is not idle then. */
  get isBusy(): boolean {
    return (
      this.execution.running > 0 ||
      [...this.state.jobs.values()].some(
        ({ wire, counts, poolId }) =>
          wire.state === 'terminating' ||
          wire.state === 'deleting' ||
          (wire.state === 'active' &&
            counts.active > 0 &&
            poolId !== undefined &&
            this.state.pool(poolId) !== undefined),
      )
    );
  }

  /** Has tasks placed soon, once for all changes of this moment. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.supervisor.run({ about: 'the placement of tasks' }, () => {
        if (this.#isResumed && this.state.isWritable) this.#placement.place();
      });
    });
  }

  /** Terminates a task. Resolves once it has completed. */
  terminateTask(task: TaskState): Promise<void> {
    return this.execution.terminate(task);
  }

  /** Deletes a task with its files. Resolves once it no longer exists. */
  deleteTask(task: TaskState): Promise<void> {
    return this.execution.delete(task);
  }

  #sweep(): void {
    const now = Date.now();
    // Also on a full disk, which gets room by it.
    this.#retention.sweep(now);
    if (!this.state.isWritable) {
      this.#makeRoom();
      return;
    }
    this.jobs.endOverdue(now);
    this.jobs.checkEnding();
    this.autoscaling.evaluateDue(now);
    this.schedule();
  }

  /**
   * Removes the files of pools and jobs that are being deleted once none of their processes runs. Tasks of a pool cannot
   * be requeued before there is room, a job may wait for a node that has no room for its folders, and nothing goes on
   * while the start waits for room.
   */
  #makeRoom(): void {
    for (const pool of this.state.pools.values()) {
      if (pool.wire.state !== 'deleting') continue;
      for (const { id, running, own } of pool.nodes.values()) {
        if (own.size === 0 && [...running].every(({ hasEnded }) => hasEnded))
          this.nodes.discard(this.nodes.root(pool.id, id), `folders of node ${id}`);
      }
    }
    for (const job of this.state.jobs.values()) {
      if (job.wire.state !== 'deleting' || this.jobTasks.isRunning(job)) continue;
      if (![...job.tasks.values()].some(({ stop }) => stop)) this.nodes.removeJobFiles(job);
    }
  }
}
