import type { TaskAdd } from '../azure/batch';
import type { BlobInfo } from '../azure/storage';
import { UserError } from '../errors';
import { addTasks, type RefusedTask } from '../jobs/addTasks';
import { SignedUrls } from '../jobs/containerUrls';
import { closeJob, ensureJob, nothingUploaded, prolongJob, unfinishedJobMinutes } from '../jobs/jobLife';
import {
  endTasks,
  type FileInParts,
  isSplit,
  joinTaskOf,
  pieceProblem,
  pieceTaskOf,
} from '../jobs/splitTasks';
import { type ContainerUrls, folderMark, taskOf } from '../jobs/taskSpec';
import { renewWaitingTasks } from '../jobs/waitingTasks';
import { type Attempt, type ManifestFile, sasExpiryFor, toUpload, type Until } from '../plan/manifest';
import { encodedBlob, type Piece, pieceOfTask, piecesOf, pieceTaskId, taskCount } from '../plan/pieces';
import { type NodeTargets, nodeTargets } from '../pools/nodeTargets';
import { anyOf, together, withTicks } from '../wait';
import { AttemptNodes } from './attemptNodes';
import { containerMetadata, type RunState } from './runState';
import { type Uploaded, Uploads } from './uploads';

/**
 * Tasks of small files that are uploaded within this time are added with one request. The first tasks of a run, for which
 * nodes wait, are gathered for less: so many milliseconds for each task that was added.
 */
const maxGatherMs = 100;
const gatherMsPerTask = 2;

/** From the request for a node to a node that runs tasks: boot and start task. */
const nodeStartMs = 4 * 60_000;

/** How often the job and the pool are looked after while files are uploaded. */
const tickMs = 60_000;
const prolongEveryMs = (unfinishedJobMinutes / 3) * 60_000;

/** Minutes that a SAS must outlive the longest task, for its output and until tasks are looked after again. */
const sasMarginMinutes = 45;

/** Uploads the files of an attempt and adds their tasks, each file as soon as it has been uploaded. */
export class Submitter {
  /** Resolves when there is a job to watch, or there will be none. Rejects if submitting failed before. */
  readonly ready: Promise<void>;
  #settleReady: () => void = () => undefined;
  #failReady: (error: unknown) => void = () => undefined;
  /** Names of pieces of split files that were encoded before. */
  readonly #encoded = new Set<string>();
  #added = 0;
  /** Ids of the tasks of split files that were added, by the id of their file. */
  readonly #addedOf = new Map<string, string[]>();
  #hasAddedAll = false;
  /** Whether this process created the job: no earlier one has added tasks. */
  #isFirst = false;
  readonly #urls: SignedUrls;
  readonly #nodes: AttemptNodes;
  /** Returns the nodes for all tasks; undefined until all were added. */
  #needed: (() => NodeTargets) | undefined;
  #prolongedAt: number;

  constructor(
    private readonly state: RunState,
    private readonly attempt: Attempt,
  ) {
    this.#prolongedAt = state.clock.now();
    this.#nodes = new AttemptNodes(state, attempt);
    this.#urls = new SignedUrls(state.parts.storage, state.manifest, attempt, state.serviceClock);
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = resolve;
      this.#failReady = reject;
    });
    this.ready.catch(() => undefined);
  }

  /** Whether all tasks were added. The job may not be closed yet, and ends with its tasks as soon as it is. */
  get hasAddedAll(): boolean {
    return this.#hasAddedAll;
  }

  /** Goes on from what is in the account. Does nothing for an attempt that was submitted. */
  async run(until: Exclude<Until, 'fetched'>, signal: AbortSignal): Promise<void> {
    try {
      if (this.attempt.submitted === undefined) await this.#run(until, signal);
      this.#settleReady();
    } catch (error) {
      this.#failReady(error);
      throw error;
    }
  }

  /**
   * Gives the pool the nodes for all tasks that `run` has added, if it was asked for fewer before: Azure refuses to resize
   * a pool while it allocates the first nodes, which can take longer than the upload. Ends when `watched` aborts.
   */
  async growForAll(signal: AbortSignal, watched?: AbortSignal): Promise<void> {
    if (this.#needed === undefined) return;
    const { progress } = this.state;
    // Everything is uploaded: what is waited for now is the pool.
    if (progress.phase === 'uploading') progress.phase = 'pool';
    this.state.tellProgress();
    try {
      await this.#nodes.grow(this.#needed(), watched ? anyOf(signal, watched) : signal);
    } catch (error) {
      signal.throwIfAborted();
      // The job can end with its tasks meanwhile. What a deleted pool means for the run is seen by its watch.
      const isOver = error instanceof UserError && ['poolUnusable', 'jobEnded'].includes(error.problem.kind);
      if (!isOver && !watched?.aborted) throw error;
    }
  }

  async #run(until: Exclude<Until, 'fetched'>, signal: AbortSignal): Promise<void> {
    const { state, attempt } = this;
    const ids = new Set(attempt.fileIds);
    const files = state.manifest.files.filter(
      ({ id }) => ids.has(id) && state.results.get(id)?.problem === undefined,
    );
    if (files.length === 0) {
      attempt.submitted = { at: this.#now(), tasks: 0 };
      await state.save(signal);
      return;
    }
    const existing = new Map<string, BlobInfo>();
    const prepare = (own: AbortSignal) => this.#prepare(files, existing, own);
    // What an earlier process has uploaded must be known first. A new run has uploaded nothing: its pool and its job are asked
    // for while its container is made.
    const isAhead = state.isNew && until === 'submitted';
    if (!isAhead) await prepare(signal);
    const uploads = new Uploads(state, attempt, files, existing, this.#encoded);
    if (until === 'uploaded') return uploads.run(signal);
    const count = files.reduce((sum, file) => sum + taskCount(file), 0);
    await together(
      signal,
      async (own) => {
        if (isAhead) await prepare(own);
        await uploads.run(own);
      },
      (own) => this.#submit(uploads, count, own),
      async (own) => {
        if (isAhead) await state.createJournal(own);
      },
    );
  }

  /** Makes the input container, or finds what an earlier process has uploaded to it. */
  async #prepare(
    files: readonly ManifestFile[],
    existing: Map<string, BlobInfo>,
    signal: AbortSignal,
  ): Promise<void> {
    const { state, attempt } = this;
    const { storage } = state.parts;
    const container = attempt.inputContainer;
    const made = await storage.createContainer(container, containerMetadata(state.manifest, 'input'), signal);
    if (made === 'created') state.tell({ kind: 'containerCreated', container });
    this.#tellAudioOnly(files);
    if (made === 'exists') {
      for await (const blob of storage.blobs(container, { signal })) existing.set(blob.name, blob);
    }
    const split = files.filter(isSplit);
    if (split.length > 0) {
      const prefix = 'parts/';
      for await (const { name } of storage.blobs(state.manifest.outputContainer, { prefix, signal }))
        this.#encoded.add(name);
    }
    // The first attempt has encoded its pieces by tasks of its own job.
    if (attempt === state.manifest.attempts[0]) return;
    const pieces = split.flatMap((file) => piecesOf(file.split).map((piece) => ({ file, piece })));
    const done = pieces.filter(({ file, piece }) => this.#isEncoded(file, piece)).length;
    state.totals.expectFewer(attempt.jobId, done);
  }

  #tellAudioOnly(files: readonly ManifestFile[]): void {
    const { manifest } = this.state;
    const reduced = files.filter((file) => toUpload(manifest, file, this.attempt).audioOnly);
    if (reduced.length === 0) return;
    const bytes = reduced.reduce((sum, file) => sum + toUpload(manifest, file, this.attempt).bytes, 0);
    const of = reduced.reduce((sum, { size }) => sum + size, 0);
    this.state.tell({ kind: 'picturesLeft', files: reduced.length, bytes, of });
  }

  /** Asks for nodes when the first file is nearly uploaded, so that they do not wait for it. */
  async #submit(uploads: Uploads, count: number, signal: AbortSignal): Promise<void> {
    await uploads.near(nodeStartMs, signal);
    if (!uploads.isEmpty) await this.#addTasks(uploads, count, signal);
    await this.#close(signal);
    if (this.#added > 0) this.#needed = () => this.#targets(uploads, count);
  }

  async #addTasks(uploads: Uploads, count: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.state;
    await this.#ensureJob(uploads, count, signal);
    const ticks = { ms: tickMs, clock, signal };
    await together(
      signal,
      (all) => this.#noteJob(all),
      // Apart from each other: a pool can refuse changes for longer than a job lives.
      (all) =>
        withTicks(
          (own) =>
            withTicks(
              (inner) => this.#addAll(uploads, inner),
              (inner) => this.#nodes.grow(this.#targets(uploads, count), inner),
              { ...ticks, firstMs: this.#nodes.isRefused ? 0 : tickMs, signal: own },
            ),
          (own) => this.#keepJob(own),
          { ...ticks, signal: all },
        ),
    );
  }

  /** Saves that the job exists, and its pool, while tasks are added. */
  async #noteJob(signal: AbortSignal): Promise<void> {
    const { state, attempt } = this;
    if (attempt.hasJob) return;
    attempt.hasJob = true;
    if (state.aheadMs !== 0)
      attempt.created = new Date(Date.parse(attempt.created) + state.aheadMs).toISOString();
    await state.save(signal);
  }

  async #addAll(uploads: Uploads, signal: AbortSignal): Promise<void> {
    const { state, attempt } = this;
    const { batch, storage } = state.parts;
    let needsMark = state.manifest.files.some(({ output }) => output.isFolder);
    for (;;) {
      const taken = await uploads.take(signal);
      if (taken === undefined) return;
      const uploaded = taken.filter(({ file }) => !hasFailed(state, file));
      if (uploaded.length === 0) continue;
      if (needsMark) await storage.writeText(attempt.inputContainer, folderMark, '\n', { signal });
      needsMark = false;
      const urls = await this.#containerUrls(signal);
      const tasks = uploaded.map((each) => this.#taskOf(each, urls));
      const refused = await addTasks(batch, attempt.jobId, tasks, signal, state.clock);
      this.#noteAdded(uploaded, refused);
      await this.#settleRefused(refused, uploads, signal);
      await state.saveResultsInTime(signal);
      this.#added += tasks.length - refused.length;
      if (this.#added > 0) {
        state.poolsGiven.delete(attempt);
        this.#settleReady();
      }
      await uploads.gather(Math.min(this.#added * gatherMsPerTask, maxGatherMs), signal);
    }
  }

  #noteAdded(uploaded: readonly Uploaded[], refused: readonly RefusedTask[]): void {
    const isRefused = new Set(refused.map(({ id }) => id));
    const added = uploaded
      .map(({ file, piece }) => ({ file, id: piece ? pieceTaskId(file.id, piece) : file.id }))
      .filter(({ id }) => !isRefused.has(id));
    for (const { file, id } of added.filter(({ file }) => isSplit(file)))
      this.#addedOf.set(file.id, [...(this.#addedOf.get(file.id) ?? []), id]);
    const { addedTasks } = this.state;
    addedTasks.noteAdded(
      this.attempt.jobId,
      added.map(({ id }) => id),
    );
  }

  /** Gives files whose tasks Batch refuses their results. The other tasks of a split file would serve nothing: they end. */
  async #settleRefused(
    refused: readonly RefusedTask[],
    uploads: Uploads,
    signal: AbortSignal,
  ): Promise<void> {
    const { state, attempt } = this;
    for (const { id, problem } of refused) {
      const { fileId, piece } = pieceOfTask(id) ?? { fileId: id };
      const file = state.manifest.files.find((each) => each.id === fileId);
      if (file === undefined) throw new UserError(problem);
      if (hasFailed(state, file)) continue;
      uploads.drop(file);
      const added = [...(this.#addedOf.get(fileId) ?? [])];
      state.totals.expectFewer(attempt.jobId, taskCount(file) - added.length);
      const own = isSplit(file) && piece ? pieceProblem(file, piece, problem) : problem;
      state.settle(file, { problem: own, failedAt: 'task' });
      await endTasks(state.parts.batch, attempt.jobId, added, signal);
    }
  }

  /** The job is closed before the account holds that all tasks were added. */
  async #close(signal: AbortSignal): Promise<void> {
    const { state, attempt } = this;
    const { batch } = state.parts;
    const minutes = this.#minutesLeft();
    // Tasks that get a new SAS do not exist for a moment.
    if (this.#added > 0) await this.#renewWaiting(minutes + sasMarginMinutes / 2, signal);
    this.#hasAddedAll = true;
    if (this.#added > 0) await closeJob(batch, attempt.jobId, minutes, state.serviceClock, signal);
    else await batch.terminateJob(attempt.jobId, nothingUploaded, signal);
    const submitted = { at: this.#now(), tasks: this.#added };
    state.addedTasks.skipUnsaved(attempt.jobId);
    await state.saveResults(signal);
    attempt.submitted = submitted;
    await state.save(signal);
    if (this.#added > 0) state.tell({ kind: 'tasksAdded', count: this.#added, job: attempt.jobId });
  }

  /** Minutes for the tasks that are left: nodes that ran during the upload count, so that the bound shown before holds. */
  #minutesLeft(): number {
    const { limits, pool } = this.state.manifest;
    const nodes = Math.max(pool.dedicatedNodes + pool.spotNodes, 1);
    const used = (this.state.totals.nodeHours * 60) / nodes;
    return Math.max(limits.jobMinutes - Math.floor(used), Math.min(limits.taskMinutes, limits.jobMinutes));
  }

  async #keepJob(signal: AbortSignal): Promise<void> {
    const { state, attempt } = this;
    const { clock, manifest } = state;
    if (clock.now() - this.#prolongedAt < prolongEveryMs) return;
    await prolongJob(state.parts.batch, attempt.jobId, state.serviceClock, signal);
    this.#prolongedAt = clock.now();
    await this.#renewWaiting(manifest.limits.taskMinutes + sasMarginMinutes, signal);
  }

  /** Gives tasks that still wait a new SAS if theirs expires within `minutes`. */
  async #renewWaiting(minutes: number, signal: AbortSignal): Promise<void> {
    const { state, attempt } = this;
    const { clock, manifest } = state;
    const needed = new Date(state.now() + minutes * 60_000);
    if (this.#added === 0 || Date.parse(attempt.sasExpiry) >= needed.getTime()) return;
    const files = new Map(manifest.files.map((file) => [file.id, file]));
    this.#urls.forget();
    const urls = await this.#containerUrls(signal);
    const renewed = await renewWaitingTasks(state.parts.batch, attempt.jobId, needed, {
      clock,
      signal,
      taskOf: (id) => {
        const found = pieceOfTask(id);
        const file = files.get(found?.fileId ?? id);
        return file && this.#taskOf({ file, piece: found?.piece }, urls);
      },
      onReplacing: async (ids) => {
        state.addedTasks.noteReplaced(attempt.jobId, ids);
        await state.saveResults(signal);
      },
      onReplaced: (ids) => state.addedTasks.noteAdded(attempt.jobId, ids),
    });
    attempt.sasExpiry = sasExpiryFor(manifest.limits, new Date(state.now()));
    if (renewed > 0) state.tell({ kind: 'tasksRenewed', count: renewed, job: attempt.jobId });
  }

  async #containerUrls(signal: AbortSignal): Promise<ContainerUrls> {
    const { urls, expiry } = await this.#urls.get(signal);
    // Until tasks were added, by an earlier process or this one, the expiry from the creation of the attempt means nothing.
    if (this.#added === 0 && this.#isFirst) this.attempt.sasExpiry = expiry;
    return urls;
  }

  /** As many nodes as the tasks need that are there, or soon will be. */
  #targets(uploads: Uploads, count: number): NodeTargets {
    const soon = Math.min(Math.max(uploads.expected(nodeStartMs), 1), count);
    const done = this.attempt.fileIds.filter((id) => this.state.results.has(id)).length;
    const { dedicated, spot } = nodeTargets(this.state.manifest.pool, Math.max(soon - done, 1));
    return this.state.usesDedicatedNodes ? { dedicated: dedicated + spot, spot: 0 } : { dedicated, spot };
  }

  async #ensureJob(uploads: Uploads, count: number, signal: AbortSignal): Promise<void> {
    const { state, attempt } = this;
    const { batch } = state.parts;
    const { isNew, manifest } = state;
    const nodes = this.#targets(uploads, count);
    const autoPool = manifest.pool.lifetime === 'run';
    const makesPool = !autoPool && attempt.poolId === undefined;
    if (makesPool) await this.#nodes.ensurePool(nodes, signal);
    const { poolId } = attempt;
    state.jobsAsked.add(attempt.jobId);
    const { created } = await ensureJob(batch, manifest, attempt, { nodes, poolId, isNew, signal });
    state.jobsAsked.delete(attempt.jobId);
    if (created) state.tell({ kind: 'jobCreated', job: attempt.jobId, autoPool });
    this.#isFirst = created;
    if (autoPool && created) this.#nodes.noteAsked(nodes);
    this.#prolongedAt = state.clock.now();
  }

  #now(): string {
    return new Date(this.state.now()).toISOString();
  }

  #taskOf({ file, piece }: Uploaded, urls: ContainerUrls): TaskAdd {
    const { manifest } = this.state;
    const { attempt } = this;
    if (!isSplit(file)) return taskOf(manifest, attempt, file, urls);
    if (piece) return pieceTaskOf(manifest, attempt, file, piece, urls);
    return joinTaskOf(manifest, attempt, file, urls, (each) => this.#isEncoded(file, each));
  }

  #isEncoded({ id, split }: FileInParts, piece: Piece): boolean {
    return this.#encoded.has(encodedBlob(id, split, piece));
  }
}

function hasFailed({ results }: RunState, { id }: ManifestFile): boolean {
  return results.get(id)?.problem !== undefined;
}
