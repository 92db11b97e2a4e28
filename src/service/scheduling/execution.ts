import { removeTree } from '../guard/dataFolder';
import type { Concern, Supervisor } from '../guard/supervisor';
import { type Place, taskPath } from '../tasks/environment';
import {
  activeCores,
  coordinationOf,
  endedWithTask,
  instanceSettings,
  makeRemoteShell,
  runMultiInstance,
  settingsOf,
} from '../tasks/multiInstance';
import { endedSubtask, isEnded, newSubtasks, startedSubtask } from '../tasks/subtasks';
import {
  type Attempt,
  attemptOf,
  endedFailure,
  failureOf,
  type Outcome,
  runAttempt,
} from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Jobs } from './jobs';
import { type JobTasks, placeOf } from './jobTasks';
import { endsJob, slotsOf, type TaskTokens, tokenSettings } from './managers';
import type { Nodes } from './nodes';
import { type OwnTaskOptions, userFailure } from './ownTasks';
import {
  isEnding,
  type NodeState,
  type PoolState,
  placesOf,
  type State,
  type StopReason,
  type TaskState,
} from './state';
import { jobAction } from './taskConditions';

/** A later reason counts only if it goes further than the one before. */
const rank: Record<StopReason, number> = { requeue: 0, terminate: 1, delete: 2 };

const byUser = endedFailure('UserError', 'by user request');

/** What the execution of tasks needs. */
export interface ExecutionParts {
  readonly state: State;
  readonly options: OwnTaskOptions;
  readonly nodes: Nodes;
  readonly jobs: Jobs;
  readonly jobTasks: JobTasks;
  readonly tokens: TaskTokens;
  readonly supervisor: Supervisor;
}

/** Runs tasks on nodes, and decides by how they end whether they are completed, retried, requeued or deleted. */
export class Execution {
  /** Called when a slot has become free. */
  onFree: () => void = () => undefined;
  #running = 0;

  constructor(private readonly parts: ExecutionParts) {}

  /** Number of tasks that occupy slots now. */
  get running(): number {
    return this.#running;
  }

  /** Starts an active task on a node that has room for it; a multi-instance task on as many others as it needs. */
  start(pool: PoolState, node: NodeState, task: TaskState, others: readonly NodeState[] = []): void {
    const { controller, release } = this.parts.supervisor.stopping();
    let why: StopReason | undefined;
    let end: () => void = () => undefined;
    task.ended = new Promise((resolve) => {
      end = resolve;
    });
    task.stop = (reason) => {
      if (why === undefined || rank[reason] > rank[why]) {
        why = reason;
        if (why === 'terminate') this.parts.state.setTerminating(task);
      }
      controller.abort();
    };
    const slots = slotsOf(task, pool);
    const nodes = [node, ...others];
    this.#running++;
    for (const one of nodes) {
      one.running.add(task);
      one.slotsUsed += slots;
    }
    this.#assign(pool, nodes, task);
    for (const one of nodes) this.parts.nodes.count(one);
    this.parts.supervisor.run(this.#about(task), async () => {
      const outcome = await this.#attempt(pool, nodes, task, controller.signal);
      release();
      task.hasEnded = true;
      // What a deletion stores has room in the reserve.
      await this.parts.state.whenWritable(() => why !== 'delete');
      this.#running--;
      for (const one of nodes) {
        one.running.delete(task);
        one.slotsUsed -= slots;
      }
      task.stop = undefined;
      task.ended = undefined;
      task.hasEnded = undefined;
      try {
        // What the end of the service has stopped is requeued by its next start.
        if (!this.parts.supervisor.isClosed) this.#ended(task, outcome, why);
      } finally {
        end();
        for (const [instance, one] of nodes.entries()) {
          this.parts.nodes.countEnded(one, task, instance > 0 ? instance : undefined);
          if (one.leaving) this.parts.nodes.leaveWhenFree(pool, one);
        }
        this.onFree();
      }
    });
  }

  /** A task that waits for the preparation of its nodes is `preparing` until then. */
  #assign(pool: PoolState, nodes: readonly NodeState[], task: TaskState): void {
    const path = taskPath(task.job.id, task.id);
    const mustWait = nodes.some((node) => this.parts.jobTasks.mustWait(task.job, node));
    const state = mustWait ? 'preparing' : 'running';
    const [primary, ...others] = nodes.map((node) => ({
      affinityId: `TVM:${node.id}`,
      nodeUrl: node.wire.url,
      poolId: pool.id,
      nodeId: node.id,
      taskRootDirectory: path,
      taskRootDirectoryUrl: `${node.wire.url}/files/${path}`,
    }));
    if (settingsOf(task.wire)) this.parts.state.setSubtasks(task, newSubtasks(others, state));
    this.parts.state.moveTask(task, state, () => {
      if (!mustWait) (task.wire.executionInfo as Wire).startTime = timestamp();
      task.wire.nodeInfo = primary;
    });
  }

  /** Never rejects: an error of the service becomes the failure of the task. */
  async #attempt(
    pool: PoolState,
    nodes: readonly NodeState[],
    task: TaskState,
    signal: AbortSignal,
  ): Promise<Outcome | 'unprepared'> {
    const failureInfo = userFailure(pool, task.wire, this.parts.options);
    if (failureInfo !== undefined) return { failureInfo };
    const token = this.parts.tokens.issue(task);
    try {
      if (task.job.wire.jobPreparationTask !== undefined) {
        const isPrepared = await this.#prepare(pool, nodes, task, signal);
        if (signal.aborted) return { stopped: true };
        if (!isPrepared) return 'unprepared';
      }
      if (task.wire.state === 'preparing') {
        await this.parts.state.whenWritable(() => !signal.aborted);
        if (signal.aborted) return { stopped: true };
        this.#startPrepared(task);
      }
      const attempts = await Promise.all(
        nodes.map((_, instance) => this.#attemptOn(pool, nodes, instance, task, token)),
      );
      const [attempt] = attempts as [Attempt];
      const settings = settingsOf(task.wire);
      if (settings === undefined) return await runAttempt(attempt, signal);
      return await runMultiInstance(
        {
          application: attempt,
          coordinations: attempts.map((one) => coordinationOf(one, settings)),
          onSubtaskEnd: (id, outcome) => this.#subtaskEnded(task, id, outcome),
        },
        signal,
      );
    } catch (error) {
      return signal.aborted ? { stopped: true } : { failureInfo: failureOf(error) };
    } finally {
      this.parts.tokens.revoke(token);
    }
  }

  /** Prepares the nodes of a task for its job. Resolves to whether the task may run there; at once when the signal aborts. */
  async #prepare(
    pool: PoolState,
    nodes: readonly NodeState[],
    { job }: TaskState,
    signal: AbortSignal,
  ): Promise<boolean> {
    const preparing = Promise.all(nodes.map((node) => this.parts.jobTasks.prepare(pool, node, job)));
    return Promise.race([
      preparing.then((prepared) => !prepared.includes(false)),
      aborted(signal).then(() => false),
    ]);
  }

  #startPrepared(task: TaskState): void {
    if (task.subtasks) this.parts.state.setSubtasks(task, task.subtasks.map(startedSubtask));
    this.parts.state.moveTask(task, 'running', () => {
      (task.wire.executionInfo as Wire).startTime = timestamp();
    });
  }

  /** What a task runs on one of its nodes, in a new folder with its packages. */
  async #attemptOn(
    pool: PoolState,
    nodes: readonly NodeState[],
    instance: number,
    task: TaskState,
    token: string | undefined,
  ): Promise<Attempt> {
    const node = nodes[instance] as NodeState;
    node.root ??= this.parts.nodes.root(pool.id, node.id);
    const place = placeOf(pool, node, task.job, task.id, node.root);
    const trash = this.parts.nodes.folder.makeNew(place.taskDir);
    // A failure to remove the old files does not fail the task.
    if (trash) this.parts.supervisor.run({ about: this.#about(task).about }, () => removeTree(trash));
    const settings = [
      ...(await this.parts.nodes.deployPackages(pool, node, task.wire)),
      ...(settingsOf(task.wire) ? await this.#instance(pool, nodes, instance, place) : []),
      ...((task.job.wire.commonEnvironmentSettings as Wire[] | undefined) ?? []),
      ...((task.wire.environmentSettings as Wire[] | undefined) ?? []),
      ...tokenSettings(token),
    ];
    return attemptOf(task.wire, place, settings, this.parts.nodes.recordFolder, this.parts.options);
  }

  async #instance(
    pool: PoolState,
    nodes: readonly NodeState[],
    instance: number,
    { root, taskDir }: Place,
  ): Promise<Wire[]> {
    const hosts = nodes.map(({ wire }) => String(wire.ipAddress));
    return instanceSettings(hosts, instance, taskDir, activeCores(pool.wire), await makeRemoteShell(root));
  }

  /** What the end of the service has stopped starts again with its task. */
  #subtaskEnded(task: TaskState, id: number, outcome: Outcome): void {
    if (this.parts.supervisor.isClosed || task.subtasks === undefined) return;
    const subtasks = task.subtasks.map((one) => (one.id === id ? endedSubtask(one, outcome) : one));
    this.parts.state.setSubtasks(task, subtasks);
  }

  /** Subtasks end with their primary. */
  #endSubtasks(task: TaskState): void {
    if (task.subtasks === undefined || task.subtasks.every(isEnded)) return;
    const end = (one: Wire) => (isEnded(one) ? one : endedSubtask(one, { failureInfo: endedWithTask }));
    this.parts.state.setSubtasks(task, task.subtasks.map(end));
  }

  #ended(task: TaskState, result: Outcome | 'unprepared', why: StopReason | undefined): void {
    const outcome = result === 'unprepared' ? {} : result;
    if (why === 'delete') {
      this.parts.state.removeTask(task);
      this.parts.nodes.removeTaskFiles(task);
    } else if (why === 'requeue') {
      this.requeue(task);
    } else if (why === 'terminate') {
      this.#complete(task, { ...outcome, failureInfo: byUser });
    } else if (result === 'unprepared') {
      // Another node may take it.
      if (task.subtasks) this.parts.state.setSubtasks(task, []);
      this.parts.state.moveTask(task, 'active', () => {
        delete task.wire.nodeInfo;
      });
    } else if (outcome.failureInfo?.code === 'FailureExitCode' && this.#mayRetry(task)) {
      this.#endSubtasks(task);
      this.parts.state.moveTask(task, 'active', () => {
        const info = task.wire.executionInfo as Wire;
        info.retryCount = Number(info.retryCount ?? 0) + 1;
        info.lastRetryTime = timestamp();
      });
    } else {
      this.#complete(task, outcome);
    }
    this.parts.jobs.check(task.job);
  }

  #mayRetry({ wire }: TaskState): boolean {
    const max = Number((wire.constraints as Wire | undefined)?.maxTaskRetryCount ?? 0);
    return max < 0 || Number((wire.executionInfo as Wire).retryCount ?? 0) < max;
  }

  /** Continues with a task that ran when the service ended: it starts again, unless it was being terminated. */
  resume(task: TaskState): void {
    if (task.isTerminating || isTerminated(task, this.#nodesOf(task)))
      this.#complete(task, { failureInfo: byUser });
    else this.requeue(task);
  }

  #nodesOf(task: TaskState): NodeState[] {
    return placesOf(task).flatMap(
      ({ poolId, nodeId }) => this.parts.state.pool(poolId)?.nodes.get(nodeId) ?? [],
    );
  }

  /** Requeues a task that ran, as after the loss of its node. */
  requeue(task: TaskState): void {
    if (task.subtasks) this.parts.state.setSubtasks(task, []);
    this.parts.state.moveTask(task, 'active', () => {
      const info = task.wire.executionInfo as Wire;
      info.requeueCount = Number(info.requeueCount ?? 0) + 1;
      info.lastRequeueTime = timestamp();
      delete info.startTime;
      delete task.wire.nodeInfo;
    });
  }

  #complete(task: TaskState, { exitCode, containerInfo, failureInfo }: Outcome): void {
    const result = failureInfo ? 'failure' : 'success';
    this.#endSubtasks(task);
    this.parts.state.moveTask(task, 'completed', () => {
      const info = task.wire.executionInfo as Wire;
      Object.assign(info, { endTime: timestamp(), result });
      if (exitCode !== undefined) info.exitCode = exitCode;
      if (containerInfo) info.containerInfo = containerInfo;
      if (failureInfo) info.failureInfo = failureInfo;
    });
    const { job } = task;
    if (endsJob(task) && !isEnding(job)) {
      this.parts.jobs.terminate(job, 'JMComplete');
      return;
    }
    if (job.wire.onTaskFailure !== 'performexitoptionsjobaction' || job.wire.state !== 'active') return;
    const action = jobAction(task);
    if (action === 'terminate') this.parts.jobs.terminate(job, 'TaskFailed');
    if (action === 'disable') this.parts.jobs.disable(job, 'requeue');
  }

  /** Terminates a task. Resolves once it has completed. */
  async terminate(task: TaskState): Promise<void> {
    if (task.stop) {
      task.stop('terminate');
      await task.ended;
    } else {
      this.#complete(task, { failureInfo: byUser });
      this.parts.jobs.check(task.job);
    }
  }

  /** Deletes a task with its files. Resolves once it no longer exists. */
  async delete(task: TaskState): Promise<void> {
    if (task.stop) {
      task.stop('delete');
      await task.ended;
    } else {
      this.parts.state.removeTask(task);
      this.parts.nodes.removeTaskFiles(task);
      this.parts.jobs.check(task.job);
    }
  }

  /** An error of the service about a task that still exists completes it, with the reason. */
  #about(task: TaskState): Concern {
    return {
      about: `task ${task.id} of job ${task.job.id}`,
      fail: (error) => {
        const { job, facts } = task;
        const exists = this.parts.state.job(job.id) === job && this.parts.state.task(job, task.id) === task;
        if (exists && facts.state !== 'completed') this.#complete(task, { failureInfo: failureOf(error) });
      },
    };
  }
}

/**
 * Whether a task that ran when the service ended was to be terminated with its job, or with a node that leaves its pool.
 */
function isTerminated({ job }: TaskState, nodes: readonly NodeState[]): boolean {
  const { wire, disableOption } = job;
  const isDisabled = wire.state === 'disabling' || wire.state === 'disabled';
  const isLeaving = nodes.some(({ leaving }) => leaving === 'terminate');
  return isEnding(job) || (isDisabled && disableOption === 'terminate') || isLeaving;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
