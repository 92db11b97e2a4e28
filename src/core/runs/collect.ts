import pLimit from 'p-limit';
import type { Task } from '../azure/batch';
import type { Attempt, FileResult, ManifestFile } from '../plan/manifest';
import { anyOf } from '../wait';
import { fetchOutput } from './fetch';
import { logPrefix } from './job';
import type { Run } from './run';
import type { Submitter } from './submit';
import { readTail, taskProblem } from './taskFailure';
import { TaskProgress } from './taskProgress';
import { type NodeNumbers, type WatchOutcome, watchJob } from './watch';

/** Outputs fetched at a time; how many of their blocks travel at a time is `Transfers`' own limit. */
const fetchesAtOnce = 8;

/** The clocks of the service and of this machine differ a little. */
const clockToleranceMs = 60_000;

/** Watches the job of an attempt and fetches each output as soon as its task is done. */
export class Collector {
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #limit = pLimit(fetchesAtOnce);
  readonly #settling: Promise<void>[] = [];
  readonly #files: ReadonlyMap<string, ManifestFile>;
  #nodesSince: { at: number; total: number } | undefined;

  constructor(
    private readonly run: Run,
    private readonly attempt: Attempt,
    signal: AbortSignal,
  ) {
    this.#signal = anyOf(signal, this.#stop.signal);
    this.#files = new Map(run.manifest.files.map((file) => [file.id, file]));
  }

  stop(error: unknown): void {
    this.#stop.abort(error);
  }

  async collect(submitter: Submitter): Promise<WatchOutcome> {
    await submitter.ready;
    const { batch } = this.run.parts;
    const watchable =
      submitter.tasks !== 0 &&
      (await batch.job(this.attempt.jobId, { select: 'id', signal: this.#signal })) !== undefined;
    this.#fetchUnwatched(watchable);
    const outcome = watchable ? await this.#watch(submitter) : 'completed';
    await Promise.all(this.#settling);
    if (outcome === 'jobEnded') this.#settleLeft();
    return outcome;
  }

  async #watch(submitter: Submitter): Promise<WatchOutcome> {
    const { run, attempt } = this;
    const { monitorMinutes } = run.manifest.limits;
    run.progress.phase = 'pool';
    run.tell({ kind: 'monitoring', job: attempt.jobId, minutes: monitorMinutes });
    const watching = new AbortController();
    const following = this.#followTasks(anyOf(this.#signal, watching.signal));
    following.catch((error) => this.stop(error));
    const outcome = await this.#watchJob(submitter, monitorMinutes).finally(() => watching.abort());
    await following;
    run.progress.running.clear();
    if (outcome !== 'timeLimit') {
      const { completed, failed } = run.progress.tasks;
      run.tell({ kind: 'tasksCompleted', succeeded: completed - failed, failed });
      run.progress.phase = 'fetching';
      run.tellProgress();
    }
    return outcome;
  }

  async #followTasks(signal: AbortSignal): Promise<void> {
    const { run, attempt } = this;
    const following = new TaskProgress(run.parts.batch, attempt.jobId, (id, progress) => {
      run.progress.running.set(id, progress);
      run.tellProgress();
    });
    await following.follow(() => run.progress.tasks.running > 0, signal);
  }

  #watchJob(submitter: Submitter, monitorMinutes: number): Promise<WatchOutcome> {
    const { run, attempt } = this;
    return watchJob(
      run.parts.batch,
      {
        jobId: attempt.jobId,
        poolId: attempt.poolId,
        since: new Date(Date.parse(attempt.created) - clockToleranceMs),
        expected: () => submitter.tasks,
        limitMinutes: monitorMinutes,
        signal: this.#signal,
      },
      {
        counts: ({ active, running, completed, failed }) => {
          Object.assign(run.progress.tasks, { active, running, completed, failed });
          if (running + completed > 0) run.progress.phase = 'tasks';
          run.tellProgress();
        },
        nodes: (nodes) => this.#countNodes(nodes),
        completed: (tasks) => {
          for (const task of tasks) this.#settle(task);
        },
        trouble: (problem) => run.tell({ kind: 'trouble', problem }),
      },
    );
  }

  /** Node-hours are the area under the number of nodes as it is seen. */
  #countNodes(nodes: NodeNumbers): void {
    const now = Date.now();
    if (this.#nodesSince) {
      this.run.nodeHours += (this.#nodesSince.total * (now - this.#nodesSince.at)) / 3_600_000;
    }
    this.#nodesSince = { at: now, total: nodes.total };
    Object.assign(this.run.progress.nodes, nodes);
    this.run.tellProgress();
  }

  /** Outputs whose tasks nobody watches any more: of earlier attempts, or of a job that was deleted since. */
  #fetchUnwatched(liveIsWatched: boolean): void {
    const watched = new Set(liveIsWatched ? this.attempt.fileIds : []);
    for (const file of this.run.manifest.files) {
      if (!watched.has(file.id) && !this.run.results.has(file.id)) this.#keep(() => this.#fetch(file, {}));
    }
  }

  #settle(task: Task): void {
    const file = this.#files.get(task.id ?? '');
    this.run.progress.running.delete(task.id ?? '');
    if (file === undefined || this.run.results.has(file.id)) return;
    this.#keep(() => this.#settleTask(file, task));
  }

  /** Files whose tasks never ran, since their job was ended. */
  #settleLeft(): void {
    const { run, attempt } = this;
    for (const id of attempt.fileIds) {
      const file = this.#files.get(id);
      if (file && !run.results.has(id)) run.settle(file, { problem: { kind: 'ended', file: file.path } });
    }
  }

  #keep(work: () => Promise<void>): void {
    const settling = this.#limit(() => work());
    // Seen at the end; a failure that concerns the whole run ends the watch at once.
    settling.catch((error) => this.stop(error));
    this.#settling.push(settling);
  }

  async #settleTask(file: ManifestFile, task: Task): Promise<void> {
    const { run, attempt } = this;
    const info = task.executionInfo;
    const facts = {
      node: task.nodeInfo?.nodeId,
      retries: (info?.retryCount ?? 0) + (info?.requeueCount ?? 0),
      startTime: info?.startTime?.toISOString(),
      endTime: info?.endTime?.toISOString(),
    };
    const problem = await taskProblem(task, file, attempt, run.manifest.limits.taskMinutes, () =>
      this.#readStderr(file),
    );
    if (problem) run.settle(file, { problem, ...facts });
    else await this.#fetch(file, facts);
  }

  async #fetch(file: ManifestFile, facts: Partial<FileResult>): Promise<void> {
    const { run } = this;
    const result = await fetchOutput(run, file, this.#signal);
    run.settle(file, { ...facts, ...result });
    if (result.problem === undefined) run.progress.fetch.files++;
    run.tellProgress();
  }

  /** From the output container, where it outlives the node; from the node when its upload failed too. */
  async #readStderr(file: ManifestFile): Promise<string> {
    const { run, attempt } = this;
    const blob = await run.parts.storage.readText(
      run.manifest.outputContainer,
      `${logPrefix(attempt, file)}/stderr.txt`,
      this.#signal,
    );
    if (blob) return blob.text;
    return readTail(run.parts.batch, { jobId: attempt.jobId, taskId: file.id }, 'stderr.txt', this.#signal);
  }
}
