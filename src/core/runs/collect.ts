import pLimit from 'p-limit';
import type { Task } from '../azure/batch';
import { hasEnded } from '../azure/batchCall';
import { everyItem } from '../azure/pages';
import { type Problem, UserError } from '../errors';
import { outOfTime } from '../jobs/jobLife';
import { type FileInParts, isSplit, pieceProblem } from '../jobs/splitTasks';
import { readTail, taskProblem } from '../jobs/taskFailure';
import { readLogOf } from '../jobs/taskLogs';
import { TaskProgress } from '../jobs/taskProgress';
import { sasExpiryOf } from '../jobs/taskSpec';
import { type WatchOutcome, watchJob } from '../jobs/watch';
import type { Attempt, FileResult, ManifestFile, TaskRun } from '../plan/manifest';
import { pieceOfTask } from '../plan/pieces';
import { anyOf } from '../wait';
import { fetchesAtOnce, fetchOfDeleted, fetchOfUnfinished, fetchOutput } from './fetch';
import { outputIds } from './outputs';
import type { RunState } from './runState';
import { notePieceEnd, notePieceProgress } from './splitProgress';
import type { Submitter } from './submit';

/** Watches the job of an attempt and downloads each output as soon as its task has completed. */
export class Collector {
  /** Aborts with the first failure that concerns the whole run. */
  readonly #stop = new AbortController();
  readonly #limit = pLimit(fetchesAtOnce);
  readonly #files: ReadonlyMap<string, ManifestFile>;
  readonly #isOpen: ReadonlySet<string>;
  readonly #settling = new Map<string, Promise<void>>();
  /** Why the job has ended; undefined while it is not known to have ended. */
  #end: { readonly reason: string | undefined } | undefined;

  /** `open`: ids of the files to wait for, those of the attempt that have no result and no later attempt. */
  constructor(
    private readonly state: RunState,
    private readonly attempt: Attempt,
    private readonly open: readonly string[],
  ) {
    this.#files = new Map(state.manifest.files.map((file) => [file.id, file]));
    this.#isOpen = new Set(open);
  }

  /**
   * Resolves when each file has a result, or with `timeLimit`; by then all downloads have ended. Without a submitter, for an
   * attempt to which nothing will be added.
   */
  async run(submitter: Submitter | undefined, signal: AbortSignal): Promise<WatchOutcome> {
    const own = anyOf(signal, this.#stop.signal);
    try {
      await submitter?.ready;
      const outcome = await this.#watch(submitter, own);
      await Promise.all(this.#settling.values());
      if (outcome === 'jobEnded') await this.#settleLeft(own);
      await Promise.all(this.#settling.values());
      return outcome;
    } catch (error) {
      this.#stop.abort(error);
      await Promise.allSettled(this.#settling.values());
      throw own.reason;
    }
  }

  async #watch(submitter: Submitter | undefined, signal: AbortSignal): Promise<WatchOutcome> {
    const { state, attempt } = this;
    const { monitorMinutes } = state.manifest.limits;
    const waitingFor = () =>
      submitter === undefined || submitter.hasAddedAll || attempt.submitted
        ? new Set(this.open.filter((id) => !state.results.has(id)))
        : undefined;
    if (waitingFor()?.size === 0) return 'completed';
    if (state.progress.phase === 'uploading') state.progress.phase = 'pool';
    state.tell({ kind: 'monitoring', job: attempt.jobId, minutes: monitorMinutes });
    const watching = new AbortController();
    const following = this.#followTasks(anyOf(signal, watching.signal));
    following.catch((error) => this.#stop.abort(error));
    const outcome = await this.#watchJob(waitingFor, monitorMinutes, signal).finally(() => watching.abort());
    await following;
    for (const id of this.open) state.progress.running.delete(id);
    if (outcome !== 'timeLimit') {
      const { completed, failed } = state.progress.tasks;
      state.tell({ kind: 'tasksCompleted', succeeded: completed - failed, failed });
      state.progress.phase = 'fetching';
      state.tellProgress();
    }
    return outcome;
  }

  async #followTasks(signal: AbortSignal): Promise<void> {
    const { state, attempt } = this;
    const following = new TaskProgress(
      state.parts.batch,
      attempt.jobId,
      (id, progress) => {
        if (!notePieceProgress(state.progress, id, progress)) state.progress.running.set(id, progress);
        state.tellProgress();
      },
      state.clock,
    );
    await following.follow(() => state.progress.tasks.running > 0, signal);
  }

  #watchJob(
    waitingFor: () => ReadonlySet<string> | undefined,
    limitMinutes: number,
    signal: AbortSignal,
  ): Promise<WatchOutcome> {
    const { state, attempt } = this;
    const { jobId, poolId } = attempt;
    return watchJob(
      state.parts.batch,
      {
        jobId,
        poolId,
        waitingFor,
        hasDependencies: state.manifest.files.some(isSplit),
        limitMinutes,
        signal,
        clock: state.clock,
      },
      {
        counts: (counts) => {
          state.totals.countTasks(jobId, counts);
          state.tellProgress();
        },
        nodes: (nodes) => {
          state.totals.countNodes(poolId ?? jobId, nodes);
          state.tellProgress();
        },
        completed: (tasks) => {
          for (const task of tasks) {
            const piece = notePieceEnd(state.progress, task);
            // The file has failed already if Batch has refused another of its tasks.
            if (piece && state.results.has(piece.fileId)) state.progress.running.delete(piece.fileId);
            if (piece) continue;
            this.#settle(task.id, signal, (file) => this.#settleTask(file, task, signal));
          }
          state.tellProgress();
        },
        deleted: (ids) => {
          for (const id of ids) {
            // Not all tasks were added if the run was canceled, or its job ended by somebody, during the upload.
            const wasAdded = attempt.submitted?.tasks || state.addedTasks.has(jobId, id);
            this.#settle(id, signal, (file) =>
              this.#settleDeleted(file, wasAdded ? 'taskDeleted' : 'ended', signal),
            );
          }
        },
        trouble: (problem) => state.tell({ kind: 'trouble', problem }),
        resizeRetried: (pool, nextTryMinutes) => state.tell({ kind: 'resizeRetried', pool, nextTryMinutes }),
      },
    );
  }

  /** Begins to settle a file, once, and saves the results from time to time. */
  #settle(id: string | undefined, signal: AbortSignal, work: (file: ManifestFile) => Promise<void>): void {
    const file = this.#files.get(id ?? '');
    if (file === undefined || !this.#isOpen.has(file.id) || this.#settling.has(file.id)) return;
    this.state.progress.running.delete(file.id);
    if (this.state.results.has(file.id)) return;
    this.state.progress.settling.add(file.id);
    const settling = this.#limit(async () => {
      await work(file);
      await this.state.saveResultsInTime(signal);
    });
    settling.catch((error) => this.#stop.abort(error));
    this.#settling.set(file.id, settling);
  }

  /** The job has ended: files whose tasks have not completed have an output from before, or none. */
  async #settleLeft(signal: AbortSignal): Promise<void> {
    const { state } = this;
    const left = this.open.filter((id) => !state.results.has(id));
    if (left.length === 0) return;
    const outputs = await outputIds(state, signal);
    for (const id of left) {
      this.#settle(id, signal, async (file) => {
        const started = state.clock.now();
        const fetched = outputs.has(id) ? await fetchOfUnfinished(state, file, signal) : undefined;
        if (fetched) this.#settleFetched(file, {}, started, fetched);
        else state.settle(file, { failedAt: 'task', problem: await this.#ended(file, signal) });
      });
    }
  }

  /** A file without a task. The task may have completed before it was deleted. */
  async #settleDeleted(
    file: ManifestFile,
    kind: 'taskDeleted' | 'ended',
    signal: AbortSignal,
  ): Promise<void> {
    const { state } = this;
    const fetching = kind === 'taskDeleted' ? fetchOfDeleted(state, file, this.attempt, signal) : undefined;
    const problem: Problem = { kind, file: file.path };
    this.#settleFetched(file, {}, state.clock.now(), (await fetching) ?? { problem, failedAt: 'task' });
  }

  async #settleTask(file: ManifestFile, task: Task, signal: AbortSignal): Promise<void> {
    const { state } = this;
    const pieces = isSplit(file) ? await this.#pieceTasks(file, signal) : [];
    const facts = { ...taskRun(task), ...(pieces.length > 0 && { pieces: pieces.map(taskRun) }) };
    const found = await this.#problemOf(task, file, signal);
    const own = found?.kind === 'ended' ? await this.#ended(file, signal) : found;
    const problem = own && isSplit(file) ? ((await this.#pieceProblem(file, pieces, signal)) ?? own) : own;
    if (problem) state.settle(file, { problem, failedAt: 'task', ...facts });
    else await this.#fetch(file, facts, signal);
  }

  /** The problem of a file whose task was ended before it completed. */
  async #ended({ path: file }: ManifestFile, signal: AbortSignal): Promise<Problem> {
    if (this.#end === undefined) {
      const { jobId } = this.attempt;
      const job = await this.state.parts.batch.job(jobId, { select: 'id,state,executionInfo', signal });
      const reason = job?.executionInfo?.terminateReason;
      if (job === undefined || hasEnded(job)) this.#end = { reason };
    }
    return { kind: 'ended', file, ...(this.#end?.reason === outOfTime && { isOutOfTime: true }) };
  }

  async #fetch(file: ManifestFile, facts: Partial<FileResult>, signal: AbortSignal): Promise<void> {
    const started = this.state.clock.now();
    this.#settleFetched(file, facts, started, await fetchOutput(this.state, file, signal));
  }

  /** `started`: when the download began, by the clock of the run. */
  #settleFetched(
    file: ManifestFile,
    facts: Partial<FileResult>,
    started: number,
    result: Omit<FileResult, 'id'>,
  ): void {
    const { state } = this;
    if (result.problem) state.settle(file, { ...facts, failedAt: 'download', ...result });
    else state.settle(file, { ...facts, ...result, fetched: state.spanSince(started) });
    state.tellProgress();
  }

  #problemOf(task: Task, file: ManifestFile, signal: AbortSignal): Promise<Problem | undefined> {
    const id = task.id ?? file.id;
    return taskProblem(task, file, this.state.manifest.limits.taskMinutes, {
      stderr: () => this.#readStderr(id, signal),
      sasExpiry: () => this.#sasExpiry(id, signal),
    });
  }

  async #pieceTasks(file: FileInParts, signal: AbortSignal): Promise<Task[]> {
    const { batch } = this.state.parts;
    const options = {
      filter: `state eq 'completed' and startswith(id,'${file.id}-')`,
      select: 'id,executionInfo,nodeInfo',
      signal,
    };
    const tasks: Task[] = [];
    for await (const task of everyItem((next) => batch.taskPage(this.attempt.jobId, options, next))) {
      if (pieceOfTask(task.id ?? '')?.fileId === file.id) tasks.push(task);
    }
    return tasks;
  }

  /** If a join fails because a piece is missing, the task of that piece has the reason. */
  async #pieceProblem(
    file: FileInParts,
    pieces: readonly Task[],
    signal: AbortSignal,
  ): Promise<Problem | undefined> {
    for (const task of pieces) {
      const problem = await this.#problemOf(task, file, signal);
      const piece = pieceOfTask(task.id ?? '')?.piece;
      if (problem) return piece ? pieceProblem(file, piece, problem) : problem;
    }
    return undefined;
  }

  /** The end of a task's log in the output container, where it outlives the node, else on the node. */
  async #readStderr(id: string, signal: AbortSignal): Promise<string> {
    const { state, attempt } = this;
    try {
      const log = await readLogOf(state.parts.storage, state.manifest.outputContainer, attempt, id, signal);
      if (log !== undefined) return log;
      const task = { jobId: attempt.jobId, taskId: id };
      return await readTail(state.parts.batch, task, 'stderr.txt', signal);
    } catch (error) {
      // Without a log, the exit code is the only reason that is known.
      if (error instanceof UserError && !signal.aborted) return '';
      throw error;
    }
  }

  async #sasExpiry(id: string, signal: AbortSignal): Promise<Date | undefined> {
    const task = await this.state.parts.batch.task(this.attempt.jobId, id, signal);
    return (task && sasExpiryOf(task)) ?? new Date(this.attempt.sasExpiry);
  }
}

function taskRun({ executionInfo: info, nodeInfo }: Task): TaskRun {
  return {
    node: nodeInfo?.nodeId,
    retries: (info?.retryCount ?? 0) + (info?.requeueCount ?? 0),
    startTime: info?.startTime?.toISOString(),
    endTime: info?.endTime?.toISOString(),
  };
}
