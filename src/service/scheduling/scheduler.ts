import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { killLeftovers } from '../tasks/processes';
import {
  attemptOf,
  endedFailure,
  environmentOf,
  type Outcome,
  runAttempt,
  type Surroundings,
} from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Autoscaling } from './autoscaling';
import { dependencyAction, exitOptions } from './exitConditions';
import type { Jobs } from './jobs';
import type { Nodes } from './nodes';
import { Retention } from './retention';
import type { JobState, NodeState, PoolState, State, TaskState } from './state';
import type { Work } from './work';

export interface SchedulerOptions extends Surroundings {
  /** Processes at a time over all nodes; 0 for as many as there are slots. */
  readonly maxProcesses: number;
}

const sampleMs = 30_000;
const sweepMs = 1_000;
/** Tasks that are too large for what is free and are passed over in one look at a job. */
const mostPassedOver = 100;

/** Puts tasks onto nodes, runs them, and sees how they end. */
export class Scheduler {
  #running = 0;
  #scheduled = false;
  readonly #retention: Retention;

  constructor(
    private readonly state: State,
    private readonly options: SchedulerOptions,
    private readonly nodes: Nodes,
    private readonly jobs: Jobs,
    private readonly autoscaling: Autoscaling,
    private readonly work: Work,
  ) {
    nodes.onReady = () => this.schedule();
    jobs.onReady = () => this.schedule();
    this.#retention = new Retention(state, nodes, work);
  }

  /** What ran when the service was killed starts again, as after a reboot of its node. */
  async start(): Promise<void> {
    await killLeftovers(this.nodes.recordFolder);
    for (const job of this.state.jobs.values()) {
      for (const task of job.tasks.values()) {
        if (task.wire.state === 'running' || task.wire.state === 'preparing') this.#requeue(task);
      }
      this.jobs.resume(job);
    }
    this.nodes.start();
    this.work.every(sweepMs, () => this.#sweep());
    this.work.every(sampleMs, () => this.autoscaling.sample());
    this.schedule();
  }

  /** Ends all processes; what ran is requeued by the next start. */
  async close(): Promise<void> {
    this.work.stop();
    for (const job of this.state.jobs.values()) for (const task of job.tasks.values()) task.stop?.('requeue');
    await this.work.settle();
  }

  /** Tasks that wait or run: the service is not idle then. */
  get isBusy(): boolean {
    return (
      this.#running > 0 ||
      [...this.state.jobs.values()].some(
        ({ wire, counts, poolId }) =>
          wire.state === 'active' &&
          counts.active > 0 &&
          poolId !== undefined &&
          this.state.pool(poolId) !== undefined,
      )
    );
  }

  /** Asks for a look at what can be placed, once for all changes of this moment. */
  schedule(): void {
    if (this.#scheduled || this.work.isClosed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.work.isClosed) this.#place();
    });
  }

  /** Puts active tasks on free slots, by the priority of their jobs. */
  #place(): void {
    const byPool = new Map<string, JobState[]>();
    for (const job of this.state.jobs.values()) {
      if (job.wire.state !== 'active' || job.active.size === 0 || job.poolId === undefined) continue;
      const key = job.poolId.toLowerCase();
      byPool.set(key, [...(byPool.get(key) ?? []), job]);
    }
    for (const [poolId, jobs] of byPool) {
      const pool = this.state.pools.get(poolId);
      if (pool === undefined || pool.wire.state !== 'active') continue;
      jobs.sort((one, other) => Number(other.wire.priority ?? 0) - Number(one.wire.priority ?? 0));
      for (const job of jobs) if (!this.#placeJob(pool, job)) break;
    }
  }

  /** False when the machine or the pool is full. A task too large for what is free does not keep others waiting. */
  #placeJob(pool: PoolState, job: JobState): boolean {
    const most = Number(job.wire.maxParallelTasks ?? -1);
    let tooLarge = 0;
    for (const task of job.active) {
      if (this.options.maxProcesses > 0 && this.#running >= this.options.maxProcesses) return false;
      if (most >= 0 && job.counts.running >= most) return true;
      const unmet = this.#unmetDependency(task);
      if (unmet !== undefined) {
        this.state.block(task, unmet);
        continue;
      }
      const slots = Number(task.wire.requiredSlots ?? 1);
      const node = this.#freeNode(pool, slots);
      if (node !== undefined) this.work.track(this.#run(pool, node, task));
      else if (slots === 1) return false;
      else if (++tooLarge >= mostPassedOver) return true;
    }
    return true;
  }

  #freeNode(pool: PoolState, slots: number): NodeState | undefined {
    const per = Number(pool.wire.taskSlotsPerNode ?? 1);
    const pack = /^pack$/i.test(
      String((pool.wire.taskSchedulingPolicy as Wire | undefined)?.nodeFillType ?? ''),
    );
    let best: NodeState | undefined;
    for (const node of pool.nodes.values()) {
      const { state, schedulingState } = node.wire;
      if ((state !== 'idle' && state !== 'running') || schedulingState !== 'enabled' || node.leaving)
        continue;
      if (node.slotsUsed + slots > per) continue;
      if (best === undefined || (pack ? node.slotsUsed > best.slotsUsed : node.slotsUsed < best.slotsUsed))
        best = node;
    }
    return best;
  }

  /** The id of a task that it depends on and that has not succeeded. */
  #unmetDependency(task: TaskState): string | undefined {
    for (const id of dependencies(task)) {
      const other = this.state.task(task.job, id);
      if (other?.wire.state !== 'completed') return id;
      const { result } = other.wire.executionInfo as { result?: string };
      if (result !== 'success' && dependencyAction(other) !== 'satisfy') return id;
    }
    return undefined;
  }

  async #run(pool: PoolState, node: NodeState, task: TaskState): Promise<void> {
    const abort = new AbortController();
    let why: Parameters<NonNullable<TaskState['stop']>>[0] | undefined;
    task.stop = (reason) => {
      why ??= reason;
      abort.abort();
    };
    const slots = Number(task.wire.requiredSlots ?? 1);
    this.#running++;
    node.running.add(task);
    node.slotsUsed += slots;
    const root = this.nodes.root(pool.id, node.id);
    const rootPath = `workitems/${task.job.id}/job-1/${task.id}`;
    this.state.moveTask(task, 'running', () => {
      const info = task.wire.executionInfo as Wire;
      info.startTime = timestamp();
      task.wire.nodeInfo = {
        affinityId: `TVM:${node.id}`,
        nodeUrl: node.wire.url,
        poolId: pool.id,
        nodeId: node.id,
        taskRootDirectory: rootPath,
        taskRootDirectoryUrl: `${node.wire.url}/files/${rootPath}`,
      };
    });
    this.nodes.count(node);
    const taskDir = join(root, ...rootPath.split('/'));
    const settings = [
      ...((task.job.wire.commonEnvironmentSettings as Wire[] | undefined) ?? []),
      ...((task.wire.environmentSettings as Wire[] | undefined) ?? []),
    ];
    const place = {
      poolId: pool.id,
      nodeId: node.id,
      isDedicated: Boolean(node.wire.isDedicated),
      root,
      taskDir,
    };
    const env = environmentOf(this.options, { ...place, jobId: task.job.id, taskId: task.id }, settings);
    await rm(taskDir, { recursive: true, force: true });
    await mkdir(taskDir, { recursive: true });
    const outcome = await runAttempt(
      attemptOf(task.wire, taskDir, env, this.nodes.recordFolder),
      abort.signal,
    );
    this.#running--;
    node.running.delete(task);
    node.slotsUsed -= slots;
    task.stop = undefined;
    if (!this.work.isClosed) this.#ended(task, outcome, why);
    this.nodes.countEnded(node, task);
    if (node.leaving) this.nodes.leaveWhenFree(pool, node);
    this.schedule();
  }

  #ended(task: TaskState, outcome: Outcome, why: 'terminate' | 'requeue' | 'delete' | undefined): void {
    if (why === 'delete') {
      this.state.removeTask(task);
      this.work.track(this.nodes.removeTaskFiles(task));
    } else if (why === 'requeue') {
      this.#requeue(task);
    } else if (why === 'terminate') {
      this.#complete(task, { ...outcome, failureInfo: endedFailure('UserError', 'by user request') });
    } else if (outcome.failureInfo?.code === 'FailureExitCode' && this.#mayRetry(task)) {
      this.state.moveTask(task, 'active', () => {
        const info = task.wire.executionInfo as Wire;
        info.retryCount = Number(info.retryCount ?? 0) + 1;
        info.lastRetryTime = timestamp();
      });
    } else {
      this.#complete(task, outcome);
    }
    this.jobs.check(task.job);
  }

  #mayRetry({ wire }: TaskState): boolean {
    const most = Number((wire.constraints as Wire | undefined)?.maxTaskRetryCount ?? 0);
    return most < 0 || Number((wire.executionInfo as Wire).retryCount ?? 0) < most;
  }

  #requeue(task: TaskState): void {
    this.state.moveTask(task, 'active', () => {
      const info = task.wire.executionInfo as Wire;
      info.requeueCount = Number(info.requeueCount ?? 0) + 1;
      info.lastRequeueTime = timestamp();
      delete info.startTime;
      delete task.wire.nodeInfo;
    });
  }

  #complete(task: TaskState, { exitCode, failureInfo }: Outcome): void {
    const result = failureInfo ? 'failure' : 'success';
    this.state.moveTask(task, 'completed', () => {
      const info = task.wire.executionInfo as Wire;
      Object.assign(info, { endTime: timestamp(), result });
      if (exitCode !== undefined) info.exitCode = exitCode;
      if (failureInfo) info.failureInfo = failureInfo;
    });
    if (failureInfo && task.job.wire.onTaskFailure === 'performexitoptionsjobaction') {
      const action = exitOptions(task)?.jobAction ?? 'terminate';
      if (action === 'terminate' && task.job.wire.state === 'active')
        this.jobs.terminate(task.job, 'TaskFailed');
      if (action === 'disable' && task.job.wire.state === 'active') this.jobs.disable(task.job, 'requeue');
    }
  }

  /** Ends a task by its user's wish. */
  terminateTask(task: TaskState): void {
    if (task.stop) task.stop('terminate');
    else this.#complete(task, { failureInfo: endedFailure('UserError', 'by user request') });
  }

  deleteTask(task: TaskState): void {
    if (task.stop) {
      task.stop('delete');
      return;
    }
    this.state.removeTask(task);
    this.work.track(this.nodes.removeTaskFiles(task));
    this.jobs.check(task.job);
  }

  #sweep(): void {
    const now = Date.now();
    this.jobs.endOverdue(now);
    this.autoscaling.evaluateDue(now);
    this.#retention.sweep(now);
    this.schedule();
  }
}

function* dependencies({ wire }: TaskState): Generator<string> {
  const { taskIds = [], taskIdRanges = [] } = (wire.dependsOn ?? {}) as {
    taskIds?: string[];
    taskIdRanges?: { start: number; end: number }[];
  };
  yield* taskIds;
  for (const { start, end } of taskIdRanges) for (let id = start; id <= end; id++) yield String(id);
}
