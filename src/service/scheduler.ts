import { randomBytes } from 'node:crypto';
import { appendFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { evaluateFormula, type Sample } from './autoscale/evaluate';
import type { Faults } from './faults';
import type { Log } from './log';
import type { Wire } from './odata';
import { killLeftovers } from './processes';
import { type JobState, type NodeState, type PoolState, type State, setState, type TaskState } from './state';
import {
  attemptOf,
  endedFailure,
  environmentOf,
  makeNodeFolders,
  nodeRoot,
  type Outcome,
  removeNodeFolders,
  runAttempt,
  type Surroundings,
} from './taskRunner';
import { durationMs, timestamp } from './time';

export interface SchedulerOptions extends Surroundings {
  /** Processes at a time over all nodes; 0 for as many as there are slots. */
  readonly maxProcesses: number;
  /** Milliseconds that a node takes from one state to the next. */
  readonly nodeStepMs: number;
  readonly allowElevated: boolean;
}

const sampleMs = 30_000;
const samplesKept = 240;
const sweepMs = 1_000;

/** Moves everything on: pools to their targets, nodes through their states, tasks onto nodes, jobs to their end. */
export class Scheduler {
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #samples = new Map<string, { at: number; values: Record<string, number> }[]>();
  readonly #work = new Set<Promise<void>>();
  #running = 0;
  #scheduled = false;
  #closed = false;

  constructor(
    private readonly state: State,
    private readonly options: SchedulerOptions,
    private readonly faults: Faults,
    private readonly log: Log,
  ) {}

  /** What ran when the service was killed starts again, as after a reboot of its node. */
  async start(): Promise<void> {
    await killLeftovers(this.#recordFolder);
    for (const pool of this.state.pools.values()) {
      for (const node of pool.nodes.values()) this.#boot(pool, node, 'rebooting');
    }
    for (const job of this.state.jobs.values()) {
      for (const task of job.tasks.values()) {
        if (task.wire.state === 'running' || task.wire.state === 'preparing') this.#requeue(task);
      }
      this.#checkJob(job);
    }
    for (const pool of this.state.pools.values()) this.reconcile(pool);
    this.#every(sweepMs, () => this.#sweep());
    this.#every(sampleMs, () => this.#sample());
    this.schedule();
  }

  /** Ends all processes; what ran is requeued by the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const job of this.state.jobs.values()) for (const task of job.tasks.values()) task.stop?.('requeue');
    await Promise.allSettled(this.#work);
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

  /** Samples of a metric of a pool, with the present as the last. */
  #samplesAt(pool: PoolState, metric: string, at: number): readonly Sample[] | undefined {
    const now = this.#metrics(pool);
    if (!(metric in now)) return undefined;
    const kept = (this.#samples.get(pool.id) ?? []).map(({ at, values }) => ({
      at,
      value: values[metric] ?? 0,
    }));
    return [...kept, { at, value: now[metric] ?? 0 }];
  }

  /** Asks for a look at what can be placed, once for all changes of this moment. */
  schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#closed) this.#place();
    });
  }

  /** Brings the nodes of a pool towards their targets. */
  reconcile(pool: PoolState): void {
    const { wire } = pool;
    const deleting = wire.state === 'deleting';
    if (wire.allocationState === 'stopping') {
      this.#steady(pool);
      return;
    }
    let changed = false;
    for (const kind of ['Dedicated', 'LowPriority'] as const) {
      const target = deleting ? 0 : Number(wire[`target${kind}Nodes`] ?? 0);
      const own = [...pool.nodes.values()].filter((node) => node.wire.isDedicated === (kind === 'Dedicated'));
      const staying = own.filter((node) => !node.leaving);
      const refused = this.faults.allocationFailure(pool.id);
      if (staying.length < target && !refused) {
        for (let count = staying.length; count < target; count++) this.#addNode(pool, kind === 'Dedicated');
        changed = true;
      } else if (staying.length > target) {
        const surplus = staying
          .sort((one, other) => one.running.size - other.running.size)
          .slice(0, staying.length - target);
        for (const node of surplus) this.removeNode(pool, node, pool.deallocation ?? 'requeue');
        changed = true;
      }
    }
    if (changed || wire.allocationState === 'resizing')
      this.#after(this.options.nodeStepMs, () => this.#settle(pool));
  }

  /** Takes a node out of its pool, with what runs on it ended, requeued or waited for. */
  removeNode(pool: PoolState, node: NodeState, option: string): void {
    if (node.leaving) return;
    node.leaving = true;
    if (option !== 'taskcompletion') {
      for (const task of node.running) task.stop?.(option === 'terminate' ? 'terminate' : 'requeue');
    }
    this.#leaveWhenFree(pool, node);
  }

  /** Azure takes a Spot node away: its tasks start again elsewhere, and the pool looks for another. */
  preempt(pool: PoolState, node: NodeState): void {
    this.#setNode(node, 'preempted');
    for (const task of node.running) task.stop?.('requeue');
    this.log(`Node ${node.id} of pool ${pool.id} is preempted.`);
    this.#after(this.options.nodeStepMs * 2, () => {
      if (!pool.nodes.has(node.id)) return;
      this.state.removeNode(pool, node);
      this.#addNode(pool, false);
    });
  }

  /** Reboots or reimages a node; its tasks start again. */
  restartNode(pool: PoolState, node: NodeState, state: 'rebooting' | 'reimaging'): void {
    for (const task of node.running) task.stop?.('requeue');
    this.#boot(pool, node, state);
  }

  setScheduling(node: NodeState, enabled: boolean, option = 'requeue'): void {
    node.wire.schedulingState = enabled ? 'enabled' : 'disabled';
    if (!enabled && option !== 'taskcompletion') {
      for (const task of node.running) task.stop?.(option === 'terminate' ? 'terminate' : 'requeue');
    }
    if (enabled && node.wire.state === 'offline') this.#setNode(node, 'idle');
    if (!enabled && node.running.size === 0 && node.wire.state === 'idle') this.#setNode(node, 'offline');
    this.state.saveNode(node);
    this.schedule();
  }

  /** Makes the pool of a job that brings its own. */
  addAutoPool(job: JobState, specification: Wire): void {
    const {
      pool: template = {},
      autoPoolIdPrefix = '',
      poolLifetimeOption,
      keepAlive,
    } = specification as {
      pool?: Wire;
      autoPoolIdPrefix?: string;
      poolLifetimeOption?: string;
      keepAlive?: boolean;
    };
    const id = `${autoPoolIdPrefix}_${randomBytes(16).toString('hex').toUpperCase()}`.replace(/^_/, 'auto_');
    job.poolId = id;
    this.onAutoPool?.(id, template, job, poolLifetimeOption === 'job' && keepAlive !== true);
  }

  /** Set by the pools' routes, which know what a new pool looks like. */
  onAutoPool: ((id: string, template: Wire, job: JobState, deleteWithJob: boolean) => void) | undefined;

  /** Ends a job: running tasks are ended, active ones stay as they are. */
  terminateJob(job: JobState, reason: string): void {
    const info = job.wire.executionInfo as Wire;
    info.terminateReason = reason;
    setState(job.wire, 'terminating');
    for (const task of job.tasks.values()) task.stop?.('terminate');
    this.state.saveJob(job);
    this.#checkJob(job);
  }

  deleteJob(job: JobState): void {
    setState(job.wire, 'deleting');
    for (const task of job.tasks.values()) task.stop?.('delete');
    this.state.saveJob(job);
    this.#checkJob(job);
  }

  disableJob(job: JobState, option: string): void {
    job.disableOption = option;
    setState(job.wire, 'disabling');
    if (option !== 'wait') {
      for (const task of job.tasks.values()) task.stop?.(option === 'terminate' ? 'terminate' : 'requeue');
    }
    this.state.saveJob(job);
    this.#checkJob(job);
  }

  enableJob(job: JobState): void {
    setState(job.wire, 'active');
    this.state.saveJob(job);
    this.#checkJob(job);
    this.schedule();
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
    void this.#removeFiles(task);
    this.#checkJob(task.job);
  }

  /** Looks whether a job has come to its end. */
  checkJob(job: JobState): void {
    this.#checkJob(job);
  }

  taskDirOf(task: TaskState): string | undefined {
    const { poolId, nodeId } = (task.wire.nodeInfo ?? {}) as { poolId?: string; nodeId?: string };
    if (poolId === undefined || nodeId === undefined) return undefined;
    return join(this.nodeRoot(poolId, nodeId), 'workitems', task.job.id, 'job-1', task.id);
  }

  nodeRoot(poolId: string, nodeId: string): string {
    return nodeRoot(this.options, poolId, nodeId);
  }

  get #recordFolder(): string {
    return join(this.options.dataDir, 'processes');
  }

  #addNode(pool: PoolState, isDedicated: boolean): void {
    const id = `tvmps_${randomBytes(32).toString('hex')}_${isDedicated ? 'd' : 'p'}`;
    const now = timestamp();
    const wire: Wire = {
      id,
      url: `${this.options.accountUrl()}/pools/${pool.id}/nodes/${id}`,
      state: 'creating',
      schedulingState: 'enabled',
      stateTransitionTime: now,
      allocationTime: now,
      ipAddress: '127.0.0.1',
      affinityId: `TVM:${id}`,
      vmSize: pool.wire.vmSize,
      totalTasksRun: 0,
      totalTasksSucceeded: 0,
      runningTasksCount: 0,
      runningTaskSlotsCount: 0,
      isDedicated,
      endpointConfiguration: { inboundEndpoints: [] },
    };
    const node: NodeState = { id, poolId: pool.id, wire, running: new Set(), slotsUsed: 0 };
    pool.nodes.set(id, node);
    this.state.saveNode(node);
    this.#after(this.options.nodeStepMs, () => this.#boot(pool, node, 'starting'));
  }

  #boot(pool: PoolState, node: NodeState, state: string): void {
    if (!pool.nodes.has(node.id)) return;
    this.#setNode(node, state);
    this.#after(this.options.nodeStepMs, () => this.#track(this.#startUp(pool, node)));
  }

  async #startUp(pool: PoolState, node: NodeState): Promise<void> {
    if (!pool.nodes.has(node.id) || this.#closed) return;
    await makeNodeFolders(this.nodeRoot(pool.id, node.id));
    const now = timestamp();
    Object.assign(node.wire, {
      lastBootTime: now,
      nodeAgentInfo: { version: '1.0.0', lastUpdateTime: now },
      virtualMachineInfo: {
        imageReference: (pool.wire.virtualMachineConfiguration as Wire | undefined)?.imageReference,
      },
    });
    const startTask = pool.wire.startTask as Wire | undefined;
    if (startTask) {
      node.wire.startTask = startTask;
      const mustWait = startTask.waitForSuccess !== false;
      if (mustWait) this.#setNode(node, 'waitingforstarttask');
      else this.#ready(node);
      const ok = await this.#runStartTask(pool, node, startTask);
      if (!pool.nodes.has(node.id)) return;
      if (!ok && mustWait) {
        this.#setNode(node, 'starttaskfailed');
        return;
      }
      if (!mustWait) return;
    }
    this.#ready(node);
  }

  #ready(node: NodeState): void {
    if (node.wire.state === 'preempted') return;
    this.#setNode(node, node.wire.schedulingState === 'disabled' ? 'offline' : 'idle');
    this.schedule();
  }

  async #runStartTask(pool: PoolState, node: NodeState, startTask: Wire): Promise<boolean> {
    const root = this.nodeRoot(pool.id, node.id);
    const taskDir = join(root, 'startup');
    const info: Wire = { state: 'running', startTime: timestamp(), retryCount: 0 };
    node.wire.startTaskInfo = info;
    this.state.saveNode(node);
    const env = environmentOf(
      this.options,
      { poolId: pool.id, nodeId: node.id, isDedicated: Boolean(node.wire.isDedicated), root, taskDir },
      (startTask.environmentSettings as Wire[] | undefined) ?? [],
    );
    const fault = this.faults.startTaskFailure(pool.id);
    const elevated =
      ((startTask.userIdentity as Wire | undefined)?.autoUser as Wire | undefined)?.elevationLevel ===
      'admin';
    let outcome: Outcome;
    if (fault) {
      await appendFile(join(taskDir, 'stderr.txt'), `${fault.stderr}\n`);
      outcome = {
        exitCode: fault.exitCode,
        failureInfo: endedFailure('UserError', 'by a fault made for a test'),
      };
    } else if (elevated && !this.options.allowElevated) {
      await appendFile(
        join(taskDir, 'stdout.txt'),
        'Skipped: this start task asks for administrator rights, which the local Batch service does not give.\n',
      );
      outcome = { exitCode: 0 };
    } else {
      outcome = await this.#startTaskAttempts(startTask, taskDir, env, info);
    }
    const failed = outcome.failureInfo !== undefined;
    Object.assign(info, {
      state: 'completed',
      endTime: timestamp(),
      exitCode: outcome.exitCode,
      result: failed ? 'failure' : 'success',
      ...(failed ? { failureInfo: outcome.failureInfo } : {}),
    });
    this.state.saveNode(node);
    return !failed;
  }

  async #startTaskAttempts(
    startTask: Wire,
    taskDir: string,
    env: NodeJS.ProcessEnv,
    info: Wire,
  ): Promise<Outcome> {
    const retries = Number(startTask.maxTaskRetryCount ?? 0);
    for (let attempt = 0; ; attempt++) {
      const outcome = await runAttempt(
        attemptOf(startTask, taskDir, env, this.#recordFolder),
        new AbortController().signal,
      );
      const exhausted = retries >= 0 && attempt >= retries;
      if (outcome.failureInfo?.code !== 'FailureExitCode' || exhausted || this.#closed) return outcome;
      info.retryCount = attempt + 1;
      info.lastRetryTime = timestamp();
    }
  }

  #setNode(node: NodeState, state: string): void {
    node.wire.state = state;
    node.wire.stateTransitionTime = timestamp();
    this.state.saveNode(node);
  }

  #leaveWhenFree(pool: PoolState, node: NodeState): void {
    if (node.running.size > 0) return;
    this.#setNode(node, 'leavingpool');
    this.#after(this.options.nodeStepMs, () => {
      if (!pool.nodes.has(node.id)) return;
      this.state.removeNode(pool, node);
      this.#track(removeNodeFolders(this.nodeRoot(pool.id, node.id)));
      this.#settle(pool);
    });
  }

  #settle(pool: PoolState): void {
    if (!this.state.pools.has(pool.id.toLowerCase())) return;
    const leaving = [...pool.nodes.values()].some((node) => node.leaving);
    if (pool.wire.state === 'deleting') {
      if (pool.nodes.size === 0) this.#poolGone(pool);
      return;
    }
    if (leaving || pool.wire.allocationState === 'steady') return;
    this.#steady(pool);
  }

  #poolGone(pool: PoolState): void {
    this.state.removePool(pool);
    this.#samples.delete(pool.id);
    this.#track(
      rm(join(this.options.dataDir, 'nodes', pool.id), { recursive: true, force: true, maxRetries: 3 }),
    );
  }

  #steady(pool: PoolState): void {
    const { wire } = pool;
    const refused = this.faults.allocationFailure(pool.id);
    const stopped = wire.allocationState === 'stopping';
    const missing = (kind: 'Dedicated' | 'LowPriority') =>
      [...pool.nodes.values()].filter((node) => node.wire.isDedicated === (kind === 'Dedicated')).length <
      Number(wire[`target${kind}Nodes`] ?? 0);
    const errors: Wire[] = [];
    for (const kind of ['Dedicated', 'LowPriority'] as const) {
      if (!missing(kind)) continue;
      const words = kind === 'Dedicated' ? 'dedicated' : 'low priority';
      if (stopped) {
        errors.push({
          code: 'ResizeStopped',
          message: `Desired number of ${words} nodes could not be allocated due to a stop resize operation`,
        });
      } else if (refused) {
        errors.push({ code: refused, message: `Desired number of ${words} nodes could not be allocated` });
      }
    }
    if (errors.length > 0) wire.resizeErrors = errors;
    else delete wire.resizeErrors;
    wire.allocationState = 'steady';
    wire.allocationStateTransitionTime = timestamp();
    this.state.savePool(pool);
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

  /** False when the machine or the pool is full. */
  #placeJob(pool: PoolState, job: JobState): boolean {
    const most = Number(job.wire.maxParallelTasks ?? -1);
    for (const task of job.active) {
      if (this.options.maxProcesses > 0 && this.#running >= this.options.maxProcesses) return false;
      if (most >= 0 && job.counts.running >= most) return true;
      if (!this.#mayRun(task)) continue;
      const node = this.#freeNode(pool, Number(task.wire.requiredSlots ?? 1));
      if (node === undefined) return false;
      this.#track(this.#run(pool, node, task));
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

  /** Tasks that it depends on must have succeeded. */
  #mayRun(task: TaskState): boolean {
    const dependsOn = task.wire.dependsOn as
      | { taskIds?: string[]; taskIdRanges?: { start: number; end: number }[] }
      | undefined;
    if (dependsOn === undefined) return true;
    const ids = [...(dependsOn.taskIds ?? [])];
    for (const { start, end } of dependsOn.taskIdRanges ?? []) {
      for (let id = start; id <= end; id++) ids.push(String(id));
    }
    return ids.every((id) => {
      const other = this.state.task(task.job, id);
      if (other?.wire.state !== 'completed') return false;
      if ((other.wire.executionInfo as Wire | undefined)?.result === 'success') return true;
      return dependencyAction(other) === 'satisfy';
    });
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
    const root = this.nodeRoot(pool.id, node.id);
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
    this.#countNode(node);
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
    const outcome = await runAttempt(attemptOf(task.wire, taskDir, env, this.#recordFolder), abort.signal);
    this.#running--;
    node.running.delete(task);
    node.slotsUsed -= slots;
    task.stop = undefined;
    node.wire.totalTasksRun = Number(node.wire.totalTasksRun) + 1;
    if (!this.#closed) this.#ended(task, outcome, why);
    this.#countNode(node);
    if (node.leaving) this.#leaveWhenFree(pool, node);
    this.schedule();
  }

  #ended(task: TaskState, outcome: Outcome, why: 'terminate' | 'requeue' | 'delete' | undefined): void {
    if (why === 'delete') {
      this.state.removeTask(task);
      this.#track(this.#removeFiles(task));
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
    this.#checkJob(task.job);
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
        this.terminateJob(task.job, 'TaskFailed');
      if (action === 'disable' && task.job.wire.state === 'active') this.disableJob(task.job, 'requeue');
    }
  }

  #countNode(node: NodeState): void {
    Object.assign(node.wire, { runningTasksCount: node.running.size, runningTaskSlotsCount: node.slotsUsed });
    const { state, schedulingState } = node.wire;
    if (state === 'idle' || state === 'running') {
      const next = node.running.size > 0 ? 'running' : schedulingState === 'disabled' ? 'offline' : 'idle';
      if (next !== state) this.#setNode(node, next);
    }
  }

  #checkJob(job: JobState): void {
    const { wire, counts } = job;
    if (
      wire.state === 'active' &&
      wire.onAllTasksComplete === 'terminatejob' &&
      counts.active + counts.running === 0
    ) {
      this.terminateJob(job, 'AllTasksComplete');
      return;
    }
    if (counts.running > 0) return;
    if (wire.state === 'disabling') {
      setState(wire, 'disabled');
      this.state.saveJob(job);
    } else if (wire.state === 'terminating') {
      (wire.executionInfo as Wire).endTime = timestamp();
      setState(wire, 'completed');
      this.state.saveJob(job);
      this.#releaseAutoPool(job);
    } else if (wire.state === 'deleting') {
      this.#releaseAutoPool(job);
      for (const task of job.tasks.values()) this.#track(this.#removeFiles(task));
      this.state.removeJob(job);
    }
  }

  #releaseAutoPool(job: JobState): void {
    const pool = job.poolId === undefined ? undefined : this.state.pool(job.poolId);
    if (pool?.deleteWithJob && pool.autoPoolOf === job.id && pool.wire.state === 'active')
      this.deletePool(pool);
  }

  deletePool(pool: PoolState): void {
    setState(pool.wire, 'deleting');
    pool.wire.allocationState = 'resizing';
    this.state.savePool(pool);
    for (const node of pool.nodes.values()) this.removeNode(pool, node, 'requeue');
    this.#after(this.options.nodeStepMs, () => this.#settle(pool));
  }

  async #removeFiles(task: TaskState): Promise<void> {
    const folder = this.taskDirOf(task);
    if (folder) await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Time limits of jobs, retention of files, formulas that are due. */
  #sweep(): void {
    const now = Date.now();
    for (const job of this.state.jobs.values()) {
      const limit = durationMs(
        (job.wire.constraints as Wire | undefined)?.maxWallClockTime as string | undefined,
      );
      const age = now - Date.parse(String(job.wire.creationTime));
      if (limit !== undefined && age > limit && job.wire.state === 'active') {
        this.terminateJob(job, 'MaxWallClockTimeExpiry');
      }
    }
    for (const pool of this.state.pools.values()) {
      if (pool.wire.enableAutoScale && pool.wire.state === 'active' && now >= (pool.evaluateAt ?? 0))
        this.evaluate(pool);
    }
    this.schedule();
  }

  /** Evaluates a pool's formula and resizes it by the result. */
  evaluate(pool: PoolState): void {
    const { wire } = pool;
    pool.evaluateAt = Date.now() + (durationMs(String(wire.autoScaleEvaluationInterval)) ?? 900_000);
    const run = this.evaluateFormula(pool, String(wire.autoScaleFormula));
    wire.autoScaleRun = run.wire;
    const { targets } = run;
    if (targets) {
      const changed =
        targets.dedicated !== wire.targetDedicatedNodes ||
        targets.lowPriority !== wire.targetLowPriorityNodes;
      if (changed) {
        Object.assign(wire, {
          targetDedicatedNodes: targets.dedicated,
          targetLowPriorityNodes: targets.lowPriority,
        });
        pool.deallocation = targets.deallocation;
        wire.allocationState = 'resizing';
        wire.allocationStateTransitionTime = timestamp();
      }
    }
    this.state.savePool(pool);
    this.reconcile(pool);
  }

  evaluateFormula(pool: PoolState, formula: string) {
    const nodes = [...pool.nodes.values()];
    const now = Date.now();
    const run = evaluateFormula(formula, {
      now,
      samples: (metric) => this.#samplesAt(pool, metric, now),
      current: {
        dedicated: Number(pool.wire.targetDedicatedNodes ?? nodes.length),
        lowPriority: Number(pool.wire.targetLowPriorityNodes ?? 0),
      },
    });
    const wire: Wire = {
      timestamp: timestamp(),
      results: run.results,
      ...('error' in run ? { error: run.error } : {}),
    };
    return { wire, targets: 'targets' in run ? run.targets : undefined };
  }

  #metrics(pool: PoolState): Record<string, number> {
    const jobs = [...this.state.jobs.values()].filter(
      (job) => job.poolId?.toLowerCase() === pool.id.toLowerCase(),
    );
    const sum = (of: (job: JobState) => number) => jobs.reduce((total, job) => total + of(job), 0);
    const live = jobs.filter(({ wire }) => wire.state === 'active');
    const active = live.reduce((total, { counts }) => total + counts.active, 0);
    const running = sum(({ counts }) => counts.running);
    const nodes = [...pool.nodes.values()];
    return {
      $ActiveTasks: active,
      $RunningTasks: running,
      $PendingTasks: active + running,
      $SucceededTasks: sum(({ counts }) => counts.succeeded),
      $FailedTasks: sum(({ counts }) => counts.failed),
      $TaskSlotsPerNode: Number(pool.wire.taskSlotsPerNode ?? 1),
      $CurrentDedicatedNodes: nodes.filter(({ wire }) => wire.isDedicated).length,
      $CurrentLowPriorityNodes: nodes.filter(({ wire }) => !wire.isDedicated).length,
      $PreemptedNodeCount: nodes.filter(({ wire }) => wire.state === 'preempted').length,
      $UsableNodeCount: nodes.filter(({ wire }) => wire.state === 'idle' || wire.state === 'running').length,
      $CPUPercent: running > 0 ? 100 : 0,
    };
  }

  #sample(): void {
    for (const pool of this.state.pools.values()) {
      const kept = this.#samples.get(pool.id) ?? [];
      kept.push({ at: Date.now(), values: this.#metrics(pool) });
      this.#samples.set(pool.id, kept.slice(-samplesKept));
    }
  }

  #after(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#closed) work();
    }, ms);
    this.#timers.add(timer);
  }

  #every(ms: number, work: () => void): void {
    const timer = setInterval(work, ms);
    this.#timers.add(timer);
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error) => this.log(`Unexpected: ${error instanceof Error ? error.stack : error}`))
      .finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }
}

function exitOptions({ wire }: TaskState): { jobAction?: string; dependencyAction?: string } | undefined {
  const conditions = wire.exitConditions as
    | {
        exitCodes?: { code: number; exitOptions: Wire }[];
        exitCodeRanges?: { start: number; end: number; exitOptions: Wire }[];
        preProcessingError?: Wire;
        fileUploadError?: Wire;
        default?: Wire;
      }
    | undefined;
  const info = wire.executionInfo as { exitCode?: number; failureInfo?: { code: string } };
  const { exitCode, failureInfo } = info;
  const byCode = conditions?.exitCodes?.find(({ code }) => code === exitCode)?.exitOptions;
  const byRange = conditions?.exitCodeRanges?.find(
    ({ start, end }) => exitCode !== undefined && exitCode >= start && exitCode <= end,
  )?.exitOptions;
  const upload = failureInfo?.code.startsWith('FileUpload') ? conditions?.fileUploadError : undefined;
  const before = exitCode === undefined ? conditions?.preProcessingError : undefined;
  return byCode ?? byRange ?? upload ?? before ?? conditions?.default;
}

function dependencyAction(task: TaskState): string {
  return exitOptions(task)?.dependencyAction ?? 'block';
}
