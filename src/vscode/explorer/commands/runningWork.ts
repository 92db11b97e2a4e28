import { l10n } from 'vscode';
import type { Batch } from '../../../core/azure/batch';
import { quoted } from '../../../core/azure/pages';
import { tasksOf } from '../../words/numbers';
import type { ExplorerData } from '../explorerData';
import { type NodeOf, resourceName } from '../explorerNode';
import { rowLabel } from '../rowLabels';

/** Jobs of a pool that are asked for their running tasks. */
const maxJobs = 20;

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
  const tasks = await runningTasks(batch, first.poolId);
  return rows.flatMap((row) => {
    const named = tasks.get(resourceName(row)) ?? [];
    if (named.length > 0) return named.map((task) => `${rowLabel(row)}: ${task}`);
    // The tasks of a job beyond those that were asked are known by their number.
    const { runningTasksCount = 0 } = row.node;
    return tasks.size > 0 || runningTasksCount === 0
      ? []
      : [l10n.t('{0}: {1} running', rowLabel(row), tasksOf(runningTasksCount))];
  });
}

/** The names of running tasks by the id of their node. */
async function runningTasks(batch: Batch, poolId: string): Promise<Map<string, string[]>> {
  const { items: jobs } = await batch.jobPage({
    filter: `executionInfo/poolId eq '${quoted(poolId)}' and state ne 'completed'`,
    select: 'id',
    pageSize: maxJobs,
  });
  const found = new Map<string, string[]>();
  await Promise.all(
    jobs.map(async ({ id: jobId = '' }) => {
      const filter = "state eq 'running' or state eq 'preparing'";
      const { items } = await batch.taskPage(jobId, { filter, select: 'id,displayName,nodeInfo' });
      for (const { id = '', displayName, nodeInfo } of items) {
        const node = nodeInfo?.nodeId ?? '';
        found.set(node, [...(found.get(node) ?? []), `${jobId} / ${displayName ?? id}`]);
      }
    }),
  );
  return found;
}
