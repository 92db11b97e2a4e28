import { type Attempt, BatchClient } from './batchClient';
import type {
  AutoScaleRun,
  Image,
  ListOptions,
  Node,
  NodeAction,
  Pool,
  PoolAdd,
  PoolNodeCounts,
  PoolSize,
} from './batchTypes';
import { type Page, quoted } from './pages';

/** Calls about pools, their nodes and the images that nodes can run. */
export class BatchPools extends BatchClient {
  images(signal?: AbortSignal): Promise<Image[]> {
    const { account } = this.client;
    return this.all(
      { operation: 'list supported images', signal },
      (abortSignal) => account.listSupportedImages({ abortSignal }),
      (link, abortSignal) => account.listSupportedImagesNext(link, { abortSignal }),
    );
  }

  /** Counts the nodes of a pool by state, with one request. Can lag behind. Undefined while the pool is not counted. */
  async nodeCounts(poolId: string, signal?: AbortSignal): Promise<PoolNodeCounts | undefined> {
    const counts = await this.call({ operation: 'count nodes', resource: poolId, signal }, (abortSignal) =>
      this.client.account.listPoolNodeCounts({
        accountListPoolNodeCountsOptions: { filter: `poolId eq '${quoted(poolId)}'` },
        abortSignal,
      }),
    );
    return counts[0];
  }

  /** Undefined if the pool does not exist. */
  pool(id: string, { signal, select }: ListOptions = {}): Promise<Pool | undefined> {
    return this.orUndefined(
      'PoolNotFound',
      this.call({ operation: 'get pool', resource: id, signal }, (abortSignal) =>
        this.client.pool.get(id, { poolGetOptions: { select }, abortSignal }),
      ),
    );
  }

  poolPage(options: ListOptions = {}, next?: string): Promise<Page<Pool>> {
    return this.page(
      'list pools',
      options,
      next,
      (list, abortSignal) => this.client.pool.list({ poolListOptions: list, abortSignal }),
      (link, abortSignal) => this.client.pool.listNext(link, { abortSignal }),
    );
  }

  async addPool(pool: PoolAdd, signal?: AbortSignal): Promise<void> {
    await this.add({ operation: 'add pool', resource: pool.id, signal }, (abortSignal) =>
      this.client.pool.add(pool, { abortSignal }),
    );
  }

  /** Replaces the metadata of a pool. `ifMatch` as for `resizePool`. */
  async patchPool(
    id: string,
    metadata: Pool['metadata'],
    signal?: AbortSignal,
    ifMatch?: string,
  ): Promise<void> {
    await this.call({ operation: 'update pool', resource: id, signal }, (abortSignal) =>
      this.client.pool.patch(id, { metadata }, { poolPatchOptions: { ifMatch }, abortSignal }),
    );
  }

  /** Deletes a pool. One that does not exist or is being deleted is no error. `ifMatch` as for `resizePool`. */
  async deletePool(id: string, signal?: AbortSignal, ifMatch?: string): Promise<void> {
    await this.orUndefined(
      ['PoolNotFound', 'PoolBeingDeleted'],
      this.remove({ operation: 'delete pool', resource: id, signal }, (abortSignal) =>
        this.client.pool.deleteMethod(id, { poolDeleteMethodOptions: { ifMatch }, abortSignal }),
      ),
    );
  }

  /** With `ifMatch`, an ETag, only a pool that no client has changed since it was read; else `ConditionNotMet`. */
  async resizePool(id: string, size: PoolSize, signal?: AbortSignal, ifMatch?: string): Promise<void> {
    await this.call({ operation: 'resize pool', resource: id, signal }, (abortSignal) =>
      this.client.pool.resize(id, size, { poolResizeOptions: { ifMatch }, abortSignal }),
    );
  }

  /** `ifMatch` as for `resizePool`. */
  async stopResize(id: string, signal?: AbortSignal, ifMatch?: string): Promise<void> {
    await this.call({ operation: 'stop resizing pool', resource: id, signal }, (abortSignal) =>
      this.client.pool.stopResize(id, { poolStopResizeOptions: { ifMatch }, abortSignal }),
    );
  }

  /** Evaluates the formula at once, then every `intervalMinutes` (at least 5). `ifMatch` as for `resizePool`. */
  async enableAutoScale(
    id: string,
    formula: string,
    intervalMinutes: number,
    signal?: AbortSignal,
    ifMatch?: string,
  ): Promise<void> {
    await this.call({ operation: 'enable autoscale', resource: id, signal }, (abortSignal) =>
      this.client.pool.enableAutoScale(
        id,
        { autoScaleFormula: formula, autoScaleEvaluationInterval: `PT${intervalMinutes}M` },
        { poolEnableAutoScaleOptions: { ifMatch }, abortSignal },
      ),
    );
  }

  async disableAutoScale(id: string, signal?: AbortSignal): Promise<void> {
    await this.call({ operation: 'disable autoscale', resource: id, signal }, (abortSignal) =>
      this.client.pool.disableAutoScale(id, { abortSignal }),
    );
  }

  evaluateAutoScale(id: string, formula: string, signal?: AbortSignal): Promise<AutoScaleRun> {
    return this.call({ operation: 'evaluate autoscale', resource: id, signal }, (abortSignal) =>
      this.client.pool.evaluateAutoScale(id, formula, { abortSignal }),
    );
  }

  nodePage(poolId: string, options: ListOptions = {}, next?: string): Promise<Page<Node>> {
    return this.page(
      'list nodes',
      { ...options, resource: poolId },
      next,
      (list, abortSignal) =>
        this.client.computeNode.list(poolId, { computeNodeListOptions: list, abortSignal }),
      (link, abortSignal) => this.client.computeNode.listNext(link, { abortSignal }),
    );
  }

  node(poolId: string, nodeId: string, signal?: AbortSignal): Promise<Node | undefined> {
    return this.orUndefined(
      ['NodeNotFound', 'PoolNotFound'],
      this.call({ operation: 'get node', resource: nodeId, signal }, (abortSignal) =>
        this.client.computeNode.get(poolId, nodeId, { abortSignal }),
      ),
    );
  }

  async actOnNode(poolId: string, nodeId: string, action: NodeAction, signal?: AbortSignal): Promise<void> {
    const nodes = this.client.computeNode;
    const calls: Record<NodeAction, Attempt<unknown>> = {
      reboot: (abortSignal) => nodes.reboot(poolId, nodeId, { abortSignal }),
      reimage: (abortSignal) => nodes.reimage(poolId, nodeId, { abortSignal }),
      disableScheduling: (abortSignal) => nodes.disableScheduling(poolId, nodeId, { abortSignal }),
      enableScheduling: (abortSignal) => nodes.enableScheduling(poolId, nodeId, { abortSignal }),
    };
    await this.call({ operation: `${action} node`, resource: nodeId, signal }, calls[action]);
  }

  /** Removes at most 100 nodes. */
  async removeNodes(poolId: string, nodeList: string[], signal?: AbortSignal): Promise<void> {
    await this.call({ operation: 'remove nodes', resource: poolId, signal }, (abortSignal) =>
      this.client.pool.removeNodes(poolId, { nodeList }, { abortSignal }),
    );
  }
}
