import type { Supervisor } from '../guard/supervisor';
import type { FaultOrder, Faults } from '../scheduling/faults';
import type { Nodes } from '../scheduling/nodes';
import type { NodeState, PoolState, State } from '../scheduling/state';
import { invalidProperty } from '../wire/errors';

/** Carries out the faults that happen to nodes at the moment they are ordered, or again and again. */
export class Disturbances {
  #preempting = false;

  constructor(
    private readonly state: State,
    private readonly nodes: Nodes,
    private readonly faults: Faults,
    private readonly supervisor: Supervisor,
  ) {}

  apply({ preempt, setNodes, preemptEveryMs }: FaultOrder): void {
    if (preempt) {
      const pool = this.state.pool(preempt);
      const node = pool && busiestFirst(upNodes(pool).filter(isSpot))[0];
      if (!pool || !node) throw invalidProperty('preempt', preempt, 'The pool has no Spot node.');
      this.nodes.preempt(pool, node);
    }
    if (setNodes) {
      const { pool: id, state, nodes: count = Number.POSITIVE_INFINITY } = setNodes;
      const pool = this.state.pool(id);
      if (!pool) throw invalidProperty('setNodes.pool', id, 'The pool does not exist.');
      for (const node of busiestFirst(upNodes(pool)).slice(0, count)) {
        if (state === 'offline') this.nodes.setScheduling(node, 'disabled');
        else this.nodes.breakNode(node, state);
      }
    }
    if (preemptEveryMs && !this.#preempting) this.#preemptLater();
  }

  #preemptLater(): void {
    const pause = this.faults.preemptEveryMs;
    this.#preempting = pause > 0;
    if (!this.#preempting) return;
    this.supervisor.after(pause, { about: 'preemptions' }, () => {
      const all = [...this.state.pools.values()].flatMap((pool) =>
        upNodes(pool)
          .filter(isSpot)
          .map((node) => ({ pool, node })),
      );
      const chosen = all[Math.floor(this.faults.random() * all.length)];
      if (chosen && this.faults.preemptEveryMs > 0) this.nodes.preempt(chosen.pool, chosen.node);
      this.#preemptLater();
    });
  }
}

function upNodes(pool: PoolState): NodeState[] {
  return [...pool.nodes.values()].filter(({ wire }) => wire.state === 'idle' || wire.state === 'running');
}

function isSpot({ wire }: NodeState): boolean {
  return !wire.isDedicated;
}

function busiestFirst(nodes: NodeState[]): NodeState[] {
  return nodes.sort((one, other) => other.running.size - one.running.size);
}
