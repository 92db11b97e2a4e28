import { setTimeout as pause } from 'node:timers/promises';
import type { Batch, TaskCounts } from '../../core/azure/batch';
import { type ExplorerNode, type NodeOf, nodeId } from './explorerNode';

/** Jobs whose tasks are counted, the newest ones: a request for each that has not ended. */
const maxCountedJobs = 20;
/** Task counts lag behind the end of a job for some seconds. After this long they are final. */
const countsFinalMs = 60_000;

/** Milliseconds after which the rows of a list have usually been drawn: requests for counts would delay that. */
const defaultDrawnMs = 100;

/** Counts the tasks of the newest jobs of a list. The rows do not wait for that. */
export class JobCounts {
  /** The last counts of the newest jobs of each account, by node id. */
  readonly #known = new Map<string, { readonly counts: TaskCounts; readonly isFinal: boolean }>();

  constructor(
    private readonly onRequest: () => void,
    private readonly drawnMs = defaultDrawnMs,
  ) {}

  /** Adds the counts that are known to the newest jobs. */
  addKnown(nodes: readonly ExplorerNode[]): ExplorerNode[] {
    const counted = new Set<ExplorerNode>(newest(nodes));
    return nodes.map((node) =>
      counted.has(node) && node.kind === 'job'
        ? { ...node, counts: this.#known.get(nodeId(node))?.counts }
        : node,
    );
  }

  /** Asks for the counts of the newest jobs, of those that ended a while ago once. Resolves to the rows with them. */
  async load(nodes: readonly ExplorerNode[], batch: Pick<Batch, 'taskCounts'>): Promise<ExplorerNode[]> {
    const counted = newest(nodes);
    this.#forgetOthers(nodes, counted);
    const drawn = pause(this.drawnMs);
    await Promise.all(
      counted.map(async (node) => {
        const id = nodeId(node);
        if (this.#known.get(id)?.isFinal) return;
        this.onRequest();
        await drawn;
        const counts = await batch.taskCounts(node.job.id ?? '').catch(() => undefined);
        const end = node.job.state === 'completed' ? node.job.executionInfo?.endTime : undefined;
        const isFinal = end !== undefined && Date.now() - end.getTime() > countsFinalMs;
        if (counts) this.#known.set(id, { counts, isFinal });
      }),
    );
    return this.addKnown(counted);
  }

  /** Removes the counts of jobs that are no longer among the newest. */
  #forgetOthers(nodes: readonly ExplorerNode[], counted: readonly ExplorerNode[]): void {
    const kept = new Set(counted.map(nodeId));
    const accounts = new Set(nodes.map((node) => nodeId(node).split('/jobs/')[0]));
    for (const id of this.#known.keys()) {
      if (!kept.has(id) && accounts.has(id.split('/jobs/')[0])) this.#known.delete(id);
    }
  }
}

function newest(nodes: readonly ExplorerNode[]): NodeOf<'job'>[] {
  return nodes.filter((node) => node.kind === 'job').slice(0, maxCountedJobs);
}
