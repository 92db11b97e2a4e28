import type { Batch, TaskCounts } from '../../core/azure/batch';
import { type ExplorerNode, nodeId } from './explorerNode';

/** Jobs whose tasks are counted, the newest ones: a request for each that has not ended. */
const maxCountedJobs = 20;
/** Task counts lag behind the end of a job for some seconds. After this long they are final. */
const countsFinalMs = 60_000;

/** Counts the tasks of the newest jobs of a list. */
export class JobCounts {
  /** The counts of completed jobs, by node id. */
  readonly #finalCounts = new Map<string, TaskCounts>();

  constructor(private readonly onRequest: () => void) {}

  /** Adds task counts to the newest jobs. Those of jobs that ended a while ago are asked for once. */
  async addTo(nodes: ExplorerNode[], batch: Batch): Promise<ExplorerNode[]> {
    const counted = nodes.filter((node) => node.kind === 'job').slice(0, maxCountedJobs);
    const counts = new Map(
      await Promise.all(
        counted.map(async (node) => {
          const id = nodeId(node);
          const known = this.#finalCounts.get(id);
          if (known) return [id, known] as const;
          this.onRequest();
          const found = await batch.taskCounts(node.job.id ?? '').catch(() => undefined);
          const end = node.job.state === 'completed' ? node.job.executionInfo?.endTime : undefined;
          if (found && end && Date.now() - end.getTime() > countsFinalMs) this.#finalCounts.set(id, found);
          return [id, found] as const;
        }),
      ),
    );
    this.#forgetCounts(nodes);
    return nodes.map((node) => (node.kind === 'job' ? { ...node, counts: counts.get(nodeId(node)) } : node));
  }

  /** Removes the counts of jobs that are no longer listed. */
  #forgetCounts(nodes: readonly ExplorerNode[]): void {
    const listed = new Set(nodes.map(nodeId));
    const accounts = new Set(nodes.map((node) => nodeId(node).split('/jobs/')[0]));
    for (const id of this.#finalCounts.keys()) {
      if (!listed.has(id) && accounts.has(id.split('/jobs/')[0])) this.#finalCounts.delete(id);
    }
  }
}
