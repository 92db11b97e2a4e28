import { rmdir } from 'node:fs/promises';
import type { Concern, Supervisor } from '../guard/supervisor';
import { failureOf } from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Faults } from './faults';
import type { Nodes } from './nodes';
import { type NodeState, type PoolState, type State, setState } from './state';

export interface PoolOptions {
  /** Milliseconds that a node takes from one state to the next. */
  readonly nodeStepMs: number;
  /** Node quota of the account, over all pools. */
  readonly maxNodes: number;
}

/** Brings pools to their targets: adds and removes nodes, within the quota of the account. */
export class Pools {
  constructor(
    private readonly state: State,
    private readonly options: PoolOptions,
    private readonly nodes: Nodes,
    private readonly faults: Faults,
    private readonly supervisor: Supervisor,
  ) {
    nodes.onLeft = (pool, node) => this.#nodeLeft(pool, node);
  }

  /** Continues with all pools after the service was started again. */
  start(): void {
    for (const pool of this.state.pools.values()) {
      this.supervisor.run(this.#about(pool), () => {
        for (const node of pool.nodes.values()) this.nodes.resume(pool, node);
        this.reconcile(pool);
      });
    }
  }

  /** Brings the nodes of a pool towards their targets. At most `arrivals` nodes are added now. */
  reconcile(
    pool: PoolState,
    arrivals = this.faults.nodeArrivalMs === 0 ? Number.POSITIVE_INFINITY : 0,
  ): void {
    const { wire } = pool;
    const deleting = wire.state === 'deleting';
    if (wire.allocationState === 'stopping') {
      pool.isWaitingForNode = false;
      this.#steady(pool);
      return;
    }
    let left = arrivals;
    let changed = false;
    for (const kind of ['Dedicated', 'LowPriority'] as const) {
      const target = deleting ? 0 : Number(wire[`target${kind}Nodes`] ?? 0);
      const own = [...pool.nodes.values()].filter((node) => node.wire.isDedicated === (kind === 'Dedicated'));
      const staying = own.filter((node) => !node.leaving);
      const missing = Math.min(target - staying.length, this.#freeQuota());
      if (missing > 0 && !this.faults.allocationFailure) {
        const added = Math.min(missing, left);
        for (let count = 0; count < added; count++)
          this.nodes.add(pool, { isDedicated: kind === 'Dedicated' });
        left -= added;
        if (added < missing) this.#addNodeLater(pool);
        changed = true;
      } else if (staying.length > target) {
        const surplus = staying
          .sort((one, other) => one.running.size - other.running.size)
          .slice(0, staying.length - target);
        for (const node of surplus) this.nodes.remove(pool, node, pool.deallocation ?? 'requeue');
        changed = true;
      }
    }
    // With no node to come or go, there is nothing to wait for.
    if (changed) this.#settleLater(pool);
    else if (wire.allocationState === 'resizing') this.#settleLater(pool, 0);
  }

  /** Nodes that the quota of the account still allows. */
  #freeQuota(): number {
    let nodes = 0;
    for (const pool of this.state.pools.values()) nodes += pool.nodes.size;
    return this.options.maxNodes - nodes;
  }

  #settleLater(pool: PoolState, ms = this.options.nodeStepMs): void {
    this.supervisor.after(ms, this.#about(pool), () => this.#settle(pool));
  }

  /** With slow arrivals a node is added after each pause, until none is missing. */
  #addNodeLater(pool: PoolState): void {
    if (pool.isWaitingForNode) return;
    pool.isWaitingForNode = true;
    this.supervisor.after(this.faults.nodeArrivalMs, this.#about(pool), () => {
      if (!pool.isWaitingForNode) return;
      pool.isWaitingForNode = false;
      this.reconcile(pool, this.faults.nodeArrivalMs === 0 ? Number.POSITIVE_INFINITY : 1);
    });
  }

  /** Deletes a pool: first its nodes, then the pool itself. */
  deletePool(pool: PoolState): void {
    setState(pool.wire, 'deleting');
    pool.wire.allocationState = 'resizing';
    this.state.savePool(pool);
    for (const node of pool.nodes.values()) this.nodes.remove(pool, node, 'requeue');
    this.#settleLater(pool);
  }

  /**
   * Replaces a node that the pool has lost. A node that was to leave brings the pool nearer to its target or its
   * deletion.
   */
  #nodeLeft(pool: PoolState, node: NodeState): void {
    if (pool.wire.state === 'deleting' || node.leaving) this.#settle(pool);
    else this.reconcile(pool);
  }

  #settle(pool: PoolState): void {
    if (this.state.pool(pool.id) !== pool) return;
    const leaving = [...pool.nodes.values()].some((node) => node.leaving);
    if (pool.wire.state === 'deleting') {
      if (pool.nodes.size === 0) this.#poolGone(pool);
      return;
    }
    if (leaving || pool.isWaitingForNode || pool.wire.allocationState === 'steady') return;
    const resizedForMs = Date.now() - Date.parse(String(pool.wire.allocationStateTransitionTime));
    const left = pool.wire.allocationState === 'stopping' ? 0 : this.faults.resizingMs - resizedForMs;
    // The fault may be taken back meanwhile.
    if (left > 0) this.#settleLater(pool, Math.min(left, 100));
    else this.#steady(pool);
  }

  #poolGone(pool: PoolState): void {
    this.state.removePool(pool);
    this.supervisor.run({ about: `folder of pool ${pool.id}` }, async () => {
      // A pool of the same id may have been added meanwhile: its folder is not empty.
      await rmdir(this.nodes.folder.pool(pool.id)).catch(() => undefined);
    });
  }

  #about(pool: PoolState): Concern {
    return {
      about: `pool ${pool.id}`,
      fail: (error) => {
        const { code, message, details } = failureOf(error);
        pool.wire.resizeErrors = [{ code, message, values: details }];
        this.state.savePool(pool);
      },
    };
  }

  #isMissingNodes(pool: PoolState, kind: 'Dedicated' | 'LowPriority'): boolean {
    const nodes = [...pool.nodes.values()].filter(({ wire }) => wire.isDedicated === (kind === 'Dedicated'));
    return nodes.length < Number(pool.wire[`target${kind}Nodes`] ?? 0);
  }

  #steady(pool: PoolState): void {
    const { wire } = pool;
    const refused = this.faults.allocationFailure;
    const stopped = wire.allocationState === 'stopping';
    const errors: Wire[] = [];
    for (const kind of ['Dedicated', 'LowPriority'] as const) {
      if (!this.#isMissingNodes(pool, kind)) continue;
      const words = kind === 'Dedicated' ? 'dedicated' : 'low priority';
      if (stopped) {
        errors.push({
          code: 'ResizeStopped',
          message: `Desired number of ${words} nodes could not be allocated due to a stop resize operation`,
        });
      } else if (refused) {
        errors.push({ code: refused, message: `Desired number of ${words} nodes could not be allocated` });
      } else if (this.#freeQuota() <= 0) {
        errors.push({
          code: kind === 'Dedicated' ? 'AccountCoreQuotaReached' : 'AccountLowPriorityCoreQuotaReached',
          message: 'The specified account has reached core quota',
          values: [{ name: 'Limit', value: String(this.options.maxNodes) }],
        });
      }
    }
    if (errors.length > 0) wire.resizeErrors = errors;
    else delete wire.resizeErrors;
    wire.allocationState = 'steady';
    wire.allocationStateTransitionTime = timestamp();
    this.state.savePool(pool);
  }
}
