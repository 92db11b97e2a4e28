import { BatchServiceClient, type BatchServiceModels, BatchSharedKeyCredentials } from '@azure/batch';
import { type AbortSignalLike, AzureIdentityCredentialAdapter } from '@azure/ms-rest-js';
import type { Connection } from './account';
import { type CallOptions, callBatch, isBatchCode } from './batchCall';
import { cloudOf } from './clouds';
import { type Agent, agentFor, closeIdle } from './httpAgents';
import { type Page, quoted } from './pages';
import type { RetryPolicy } from './retry';

export type Pool = BatchServiceModels.CloudPool;
export type PoolSpec = BatchServiceModels.PoolSpecification;
export type PoolAdd = BatchServiceModels.PoolAddParameter;
export type Node = BatchServiceModels.ComputeNode;
export type Job = BatchServiceModels.CloudJob;
export type JobAdd = BatchServiceModels.JobAddParameter;
export type Task = BatchServiceModels.CloudTask;
export type TaskAdd = BatchServiceModels.TaskAddParameter;
export type TaskAddResult = BatchServiceModels.TaskAddResult;
export type TaskCounts = BatchServiceModels.TaskCounts;
export type NodeCounts = BatchServiceModels.NodeCounts;
export type NodeFile = BatchServiceModels.NodeFile;
export type Image = BatchServiceModels.ImageInformation;
export type AutoScaleRun = BatchServiceModels.AutoScaleRun;
export type NodeAction = 'reboot' | 'reimage' | 'disableScheduling' | 'enableScheduling';

/**
 * The wire version, in this one place. Versions before 2025-06-01 are announced for retirement
 * (https://github.com/Azure/Batch/issues/140); for the calls made here setting the property is enough, as long as a
 * pool is changed with `patch` (its `updateproperties` wants a certificate list that 2025-06-01 refuses).
 */
const apiVersion = '2025-06-01';

/** A connection on which nothing moves for so long is given up. */
const silenceMs = 60_000;

export interface ListOptions {
  /** An OData filter, evaluated by the service. */
  readonly filter?: string;
  readonly select?: string;
  readonly expand?: string;
  /** 1 to 1000 items a page. */
  readonly pageSize?: number;
  readonly signal?: AbortSignal;
}

type Reply<T> = T[] & { odatanextLink?: string };

/** With a signal that ends with the call. */
type Call<T> = (abortSignal: AbortSignalLike | undefined) => Promise<T>;

/** Where a file lies: with its task, or on a node of a pool. Paths use slashes, relative to the task's or node's root. */
export type FilePlace =
  | { readonly jobId: string; readonly taskId: string }
  | { readonly poolId: string; readonly nodeId: string };

/** The Batch calls we make, and only those. Everything that names `@azure/batch` is here and in `batchCall.ts`. */
export class Batch {
  readonly #client: BatchServiceClient;
  readonly #host: string;
  readonly #policy: RetryPolicy;
  readonly #agent: Agent;

  /** `patienceMs` is how long a call is retried while the service throttles or cannot be reached: 20 s unless said. */
  constructor({ account, batch }: Connection, policy: Partial<RetryPolicy> = {}) {
    const credentials =
      batch.kind === 'sharedKey'
        ? new BatchSharedKeyCredentials(batch.name, batch.key)
        : new AzureIdentityCredentialAdapter(
            batch.credential,
            `${cloudOf(account.batchUrl).batchAudience}/.default`,
          );
    this.#agent = agentFor(account.batchUrl, silenceMs);
    // Left to itself the package makes an agent, and a connection, for every request.
    const agentSettings = this.#agent && { http: this.#agent, https: this.#agent };
    this.#client = new BatchServiceClient(credentials, account.batchUrl, {
      noRetryPolicy: true,
      agentSettings,
    });
    this.#client.apiVersion = apiVersion;
    this.#host = new URL(account.batchUrl).host;
    this.#policy = { patienceMs: 20_000, ...policy };
  }

  /** Gives up connections that nobody uses. */
  close(): void {
    closeIdle(this.#agent);
  }

  // Account

  images(signal?: AbortSignal): Promise<Image[]> {
    const { account } = this.#client;
    return this.#all(
      { operation: 'list supported images', signal },
      (abortSignal) => account.listSupportedImages({ abortSignal }),
      (link, abortSignal) => account.listSupportedImagesNext(link, { abortSignal }),
    );
  }

  /** Nodes of a pool by state: one request whatever the number of nodes. Undefined while the pool is not listed. */
  async nodeCounts(
    poolId: string,
    signal?: AbortSignal,
  ): Promise<BatchServiceModels.PoolNodeCounts | undefined> {
    const counts = await this.#call({ operation: 'count nodes', resource: poolId, signal }, (abortSignal) =>
      this.#client.account.listPoolNodeCounts({
        accountListPoolNodeCountsOptions: { filter: `poolId eq '${quoted(poolId)}'` },
        abortSignal,
      }),
    );
    return counts[0];
  }

  // Pools

  /** Undefined when there is no pool of that id. */
  pool(id: string, { signal, select }: ListOptions = {}): Promise<Pool | undefined> {
    return this.#orUndefined(
      'PoolNotFound',
      this.#call({ operation: 'get pool', resource: id, signal }, (abortSignal) =>
        this.#client.pool.get(id, { poolGetOptions: { select }, abortSignal }),
      ),
    );
  }

  poolPage(options: ListOptions = {}, next?: string): Promise<Page<Pool>> {
    return this.#page(
      'list pools',
      options,
      next,
      (list, abortSignal) => this.#client.pool.list({ poolListOptions: list, abortSignal }),
      (link, abortSignal) => this.#client.pool.listNext(link, { abortSignal }),
    );
  }

  async addPool(pool: PoolAdd, signal?: AbortSignal): Promise<void> {
    await this.#call({ operation: 'add pool', resource: pool.id, signal }, (abortSignal) =>
      this.#client.pool.add(pool, { abortSignal }),
    );
  }

  /** Deleting what is gone, or going, is no error. */
  async deletePool(id: string, signal?: AbortSignal): Promise<void> {
    await this.#orUndefined(
      ['PoolNotFound', 'PoolBeingDeleted'],
      this.#call({ operation: 'delete pool', resource: id, signal }, (abortSignal) =>
        this.#client.pool.deleteMethod(id, { abortSignal }),
      ),
    );
  }

  async resizePool(
    id: string,
    size: BatchServiceModels.PoolResizeParameter,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#call({ operation: 'resize pool', resource: id, signal }, (abortSignal) =>
      this.#client.pool.resize(id, size, { abortSignal }),
    );
  }

  async stopResize(id: string, signal?: AbortSignal): Promise<void> {
    await this.#call({ operation: 'stop resizing pool', resource: id, signal }, (abortSignal) =>
      this.#client.pool.stopResize(id, { abortSignal }),
    );
  }

  /** The formula is evaluated at once, then every `intervalMinutes` (at least 5). */
  async enableAutoScale(
    id: string,
    formula: string,
    intervalMinutes: number,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#call({ operation: 'enable autoscale', resource: id, signal }, (abortSignal) =>
      this.#client.pool.enableAutoScale(
        id,
        { autoScaleFormula: formula, autoScaleEvaluationInterval: `PT${intervalMinutes}M` },
        { abortSignal },
      ),
    );
  }

  async disableAutoScale(id: string, signal?: AbortSignal): Promise<void> {
    await this.#call({ operation: 'disable autoscale', resource: id, signal }, (abortSignal) =>
      this.#client.pool.disableAutoScale(id, { abortSignal }),
    );
  }

  evaluateAutoScale(id: string, formula: string, signal?: AbortSignal): Promise<AutoScaleRun> {
    return this.#call({ operation: 'evaluate autoscale', resource: id, signal }, (abortSignal) =>
      this.#client.pool.evaluateAutoScale(id, formula, { abortSignal }),
    );
  }

  // Nodes

  nodePage(poolId: string, options: ListOptions = {}, next?: string): Promise<Page<Node>> {
    return this.#page(
      'list nodes',
      { ...options, resource: poolId },
      next,
      (list, abortSignal) =>
        this.#client.computeNode.list(poolId, { computeNodeListOptions: list, abortSignal }),
      (link, abortSignal) => this.#client.computeNode.listNext(link, { abortSignal }),
    );
  }

  node(poolId: string, nodeId: string, signal?: AbortSignal): Promise<Node | undefined> {
    return this.#orUndefined(
      ['NodeNotFound', 'PoolNotFound'],
      this.#call({ operation: 'get node', resource: nodeId, signal }, (abortSignal) =>
        this.#client.computeNode.get(poolId, nodeId, { abortSignal }),
      ),
    );
  }

  async actOnNode(poolId: string, nodeId: string, action: NodeAction, signal?: AbortSignal): Promise<void> {
    const nodes = this.#client.computeNode;
    const calls: Record<NodeAction, Call<unknown>> = {
      reboot: (abortSignal) => nodes.reboot(poolId, nodeId, { abortSignal }),
      reimage: (abortSignal) => nodes.reimage(poolId, nodeId, { abortSignal }),
      disableScheduling: (abortSignal) => nodes.disableScheduling(poolId, nodeId, { abortSignal }),
      enableScheduling: (abortSignal) => nodes.enableScheduling(poolId, nodeId, { abortSignal }),
    };
    await this.#call({ operation: `${action} node`, resource: nodeId, signal }, calls[action]);
  }

  /** At most 100 nodes. */
  async removeNodes(poolId: string, nodeList: string[], signal?: AbortSignal): Promise<void> {
    await this.#call({ operation: 'remove nodes', resource: poolId, signal }, (abortSignal) =>
      this.#client.pool.removeNodes(poolId, { nodeList }, { abortSignal }),
    );
  }

  // Jobs

  job(id: string, { signal, select }: ListOptions = {}): Promise<Job | undefined> {
    return this.#orUndefined(
      'JobNotFound',
      this.#call({ operation: 'get job', resource: id, signal }, (abortSignal) =>
        this.#client.job.get(id, { jobGetOptions: { select }, abortSignal }),
      ),
    );
  }

  jobPage(options: ListOptions = {}, next?: string): Promise<Page<Job>> {
    return this.#page(
      'list jobs',
      options,
      next,
      (list, abortSignal) => this.#client.job.list({ jobListOptions: list, abortSignal }),
      (link, abortSignal) => this.#client.job.listNext(link, { abortSignal }),
    );
  }

  async addJob(job: JobAdd, signal?: AbortSignal): Promise<void> {
    await this.#call({ operation: 'add job', resource: job.id, signal }, (abortSignal) =>
      this.#client.job.add(job, { abortSignal }),
    );
  }

  async patchJob(
    id: string,
    patch: BatchServiceModels.JobPatchParameter,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#call({ operation: 'patch job', resource: id, signal }, (abortSignal) =>
      this.#client.job.patch(id, patch, { abortSignal }),
    );
  }

  /** Ending what has ended, or is ending, is no error. */
  async terminateJob(id: string, terminateReason?: string, signal?: AbortSignal): Promise<void> {
    await this.#orUndefined(
      ['JobNotFound', 'JobCompleted', 'JobBeingTerminated', 'JobBeingDeleted'],
      this.#call({ operation: 'terminate job', resource: id, signal }, (abortSignal) =>
        this.#client.job.terminate(id, { terminateReason, abortSignal }),
      ),
    );
  }

  async disableJob(
    id: string,
    disableTasks: BatchServiceModels.DisableJobOption,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#call({ operation: 'disable job', resource: id, signal }, (abortSignal) =>
      this.#client.job.disable(id, disableTasks, { abortSignal }),
    );
  }

  async enableJob(id: string, signal?: AbortSignal): Promise<void> {
    await this.#call({ operation: 'enable job', resource: id, signal }, (abortSignal) =>
      this.#client.job.enable(id, { abortSignal }),
    );
  }

  /** Deleting what is gone, or going, is no error. */
  async deleteJob(id: string, signal?: AbortSignal): Promise<void> {
    await this.#orUndefined(
      ['JobNotFound', 'JobBeingDeleted'],
      this.#call({ operation: 'delete job', resource: id, signal }, (abortSignal) =>
        this.#client.job.deleteMethod(id, { abortSignal }),
      ),
    );
  }

  /** Tasks of a job by state: one request whatever their number. May lag behind the lists for a while. */
  async taskCounts(jobId: string, signal?: AbortSignal): Promise<TaskCounts> {
    const { taskCounts } = await this.#call(
      { operation: 'count tasks', resource: jobId, signal },
      (abortSignal) => this.#client.job.getTaskCounts(jobId, { abortSignal }),
    );
    return taskCounts;
  }

  // Tasks

  task(jobId: string, taskId: string, signal?: AbortSignal): Promise<Task | undefined> {
    return this.#orUndefined(
      ['TaskNotFound', 'JobNotFound'],
      this.#call({ operation: 'get task', resource: taskId, signal }, (abortSignal) =>
        this.#client.task.get(jobId, taskId, { abortSignal }),
      ),
    );
  }

  taskPage(jobId: string, options: ListOptions = {}, next?: string): Promise<Page<Task>> {
    return this.#page(
      'list tasks',
      { ...options, resource: jobId },
      next,
      (list, abortSignal) => this.#client.task.list(jobId, { taskListOptions: list, abortSignal }),
      (link, abortSignal) => this.#client.task.listNext(link, { abortSignal }),
    );
  }

  /** At most 100 tasks; each has a result of its own, in any order. */
  async addTasks(jobId: string, tasks: TaskAdd[], signal?: AbortSignal): Promise<TaskAddResult[]> {
    const { value } = await this.#call({ operation: 'add tasks', resource: jobId, signal }, (abortSignal) =>
      this.#client.task.addCollection(jobId, tasks, { abortSignal }),
    );
    return value ?? [];
  }

  async terminateTask(jobId: string, taskId: string, signal?: AbortSignal): Promise<void> {
    await this.#call({ operation: 'terminate task', resource: taskId, signal }, (abortSignal) =>
      this.#client.task.terminate(jobId, taskId, { abortSignal }),
    );
  }

  async reactivateTask(jobId: string, taskId: string, signal?: AbortSignal): Promise<void> {
    await this.#call({ operation: 'reactivate task', resource: taskId, signal }, (abortSignal) =>
      this.#client.task.reactivate(jobId, taskId, { abortSignal }),
    );
  }

  async deleteTask(jobId: string, taskId: string, signal?: AbortSignal): Promise<void> {
    await this.#orUndefined(
      'TaskNotFound',
      this.#call({ operation: 'delete task', resource: taskId, signal }, (abortSignal) =>
        this.#client.task.deleteMethod(jobId, taskId, { abortSignal }),
      ),
    );
  }

  // Files

  filePage(
    place: FilePlace,
    options: ListOptions & { recursive?: boolean } = {},
    next?: string,
  ): Promise<Page<NodeFile>> {
    const { file } = this.#client;
    const { recursive } = options;
    return this.#page(
      'list files',
      { ...options, resource: 'taskId' in place ? place.taskId : place.nodeId },
      next,
      (list, abortSignal) =>
        'taskId' in place
          ? file.listFromTask(place.jobId, place.taskId, {
              recursive,
              fileListFromTaskOptions: list,
              abortSignal,
            })
          : file.listFromComputeNode(place.poolId, place.nodeId, {
              recursive,
              fileListFromComputeNodeOptions: list,
              abortSignal,
            }),
      (link, abortSignal) =>
        'taskId' in place
          ? file.listFromTaskNext(link, { abortSignal })
          : file.listFromComputeNodeNext(link, { abortSignal }),
    );
  }

  /** Size in bytes and time of change; undefined when there is no such file. */
  async fileProperties(
    place: FilePlace,
    path: string,
    signal?: AbortSignal,
  ): Promise<{ size: number; modified: Date } | undefined> {
    const { file } = this.#client;
    const properties = await this.#orUndefined(
      ['HTTP 404', 'FileNotFound'],
      this.#call({ operation: 'get file properties', resource: path, signal }, (abortSignal) =>
        'taskId' in place
          ? file.getPropertiesFromTask(place.jobId, place.taskId, path, { abortSignal })
          : file.getPropertiesFromComputeNode(place.poolId, place.nodeId, path, { abortSignal }),
      ),
    );
    return (
      properties && {
        size: Number(properties.contentLength ?? 0),
        modified: properties.lastModified ?? new Date(0),
      }
    );
  }

  /**
   * At most `length` bytes from `position`; none where the file ends before it. Batch answers a range with 200, so a
   * service that ignored it is noticed by the length alone.
   */
  async readFile(
    place: FilePlace,
    path: string,
    position: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const { file } = this.#client;
    const ocpRange = `bytes=${position}-${position + length - 1}`;
    const read = async (abortSignal: AbortSignalLike | undefined) => {
      const { readableStreamBody } =
        'taskId' in place
          ? await file.getFromTask(place.jobId, place.taskId, path, {
              fileGetFromTaskOptions: { ocpRange },
              abortSignal,
            })
          : await file.getFromComputeNode(place.poolId, place.nodeId, path, {
              fileGetFromComputeNodeOptions: { ocpRange },
              abortSignal,
            });
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of readableStreamBody ?? []) {
        chunks.push(Buffer.from(chunk));
        bytes += chunk.length;
        if (bytes >= length) break;
      }
      return Buffer.concat(chunks).subarray(0, length);
    };
    const empty: Uint8Array = new Uint8Array();
    return (
      (await this.#orUndefined(
        ['InvalidRange', 'HTTP 416'],
        this.#call<Uint8Array>({ operation: 'read file', resource: path, signal }, read),
      )) ?? empty
    );
  }

  #call<T>(options: CallOptions, call: Call<T>): Promise<T> {
    return callBatch(this.#host, options, this.#policy, (signal) => call(like(signal)));
  }

  async #page<T>(
    operation: string,
    { filter, select, expand, pageSize: maxResults, signal, resource }: ListOptions & { resource?: string },
    next: string | undefined,
    first: (
      options: { filter?: string; select?: string; expand?: string; maxResults?: number },
      abortSignal: AbortSignalLike | undefined,
    ) => Promise<Reply<T>>,
    more: (link: string, abortSignal: AbortSignalLike | undefined) => Promise<Reply<T>>,
  ): Promise<Page<T>> {
    const reply = await this.#call({ operation, resource, signal }, (abortSignal) =>
      next === undefined
        ? first({ filter, select, expand, maxResults }, abortSignal)
        : more(next, abortSignal),
    );
    return { items: [...reply], next: reply.odatanextLink };
  }

  async #all<T>(
    options: CallOptions,
    first: Call<Reply<T>>,
    more: (link: string, abortSignal: AbortSignalLike | undefined) => Promise<Reply<T>>,
  ): Promise<T[]> {
    const items: T[] = [];
    let reply = await this.#call(options, first);
    for (;;) {
      items.push(...reply);
      const link = reply.odatanextLink;
      if (link === undefined) return items;
      reply = await this.#call(options, (abortSignal) => more(link, abortSignal));
    }
  }

  async #orUndefined<T>(codes: string | string[], call: Promise<T>): Promise<T | undefined> {
    try {
      return await call;
    } catch (error) {
      if (isBatchCode(error, ...[codes].flat())) return undefined;
      throw error;
    }
  }
}

/** The package's idea of an AbortSignal differs from the platform's in the `this` of a property it never uses. */
function like(signal: AbortSignal | undefined): AbortSignalLike | undefined {
  return signal as AbortSignalLike | undefined;
}
