import pLimit from 'p-limit';
import { l10n } from 'vscode';
import type { Batch } from '../../../core/azure/batch';
import { quoted } from '../../../core/azure/pages';
import { tasksOf } from '../../words/numbers';
import type { ExplorerData } from '../explorerData';
import { type NodeOf, resourceName } from '../explorerNode';
import { rowLabel } from '../rowLabels';

/** Jobs of a pool that are asked for their running tasks. Where there are more, the nodes are asked how many tasks run. */
const maxJobs = 20;

const requestsAtOnce = 8;

type NodeRow = NodeOf<'node'>;

/** What runs on nodes now, a line for each task: `tvm…_d: job-one / clip.mp4`. Empty when nothing runs. */
export async function runningOn(data: ExplorerData, rows: readonly NodeRow[]): Promise<string[]> {
  const pools = new Map<string, NodeRow[]>();
  for (const row of rows) {
    const key = `${row.account.id}/${row.poolId}`;
    pools.set(key, [...(pools.get(key) ?? []), row]);
  }
  const lines = await Promise.all([...pools.values()].map((ofPool) => runningInPool(data, ofPool)));
  return lines.flat();
}

async function runningInPool(data: ExplorerData, rows: readonly NodeRow[]): Promise<string[]> {
  const [first] = rows;
  if (first === undefined) return [];
  const { batch } = await data.gateways(first.account);
  const { tasks, isComplete } = await runningTasks(batch, first.poolId);
  const limit = pLimit(requestsAtOnce);
  const lines = rows.map(async (row) => {
    const id = resourceName(row);
    const named = tasks.get(id) ?? [];
    const running = isComplete ? named.length : await limit(() => runningCount(batch, first.poolId, id));
    return [
      ...named.map((task) => `${rowLabel(row)}: ${task}`),
      ...(running > named.length ? [l10n.t('{0}: {1} running', rowLabel(row), tasksOf(running))] : []),
    ];
  });
  return (await Promise.all(lines)).flat();
}

/** How many tasks run on a node now. */
async function runningCount(batch: Batch, poolId: string, nodeId: string): Promise<number> {
  return (await batch.node(poolId, nodeId))?.runningTasksCount ?? 0;
}

/** The names of running tasks by the id of their node, and whether they are all that run in the pool. */
async function runningTasks(
  batch: Batch,
  poolId: string,
): Promise<{ tasks: Map<string, string[]>; isComplete: boolean }> {
  const { items: jobs, next: nextJobs } = await batch.jobPage({
    filter: `executionInfo/poolId eq '${quoted(poolId)}' and state ne 'completed'`,
    select: 'id',
    pageSize: maxJobs,
  });
  const tasks = new Map<string, string[]>();
  let isComplete = nextJobs === undefined;
  await Promise.all(
    jobs.map(async ({ id: jobId = '' }) => {
      const filter = "state eq 'running' or state eq 'preparing'";
      const { items, next } = await batch.taskPage(jobId, { filter, select: 'id,displayName,nodeInfo' });
      if (next !== undefined) isComplete = false;
      for (const { id = '', displayName, nodeInfo } of items) {
        const node = nodeInfo?.nodeId ?? '';
        tasks.set(node, [...(tasks.get(node) ?? []), `${jobId} / ${displayName ?? id}`]);
      }
    }),
  );
  return { tasks, isComplete };
}
