import { l10n } from 'vscode';
import type { Batch, Node } from '../../../core/azure/batch';
import { tasksOf } from '../../words/numbers';
import type { ExplorerData } from '../explorerData';
import { type NodeOf, resourceName } from '../explorerNode';
import { rowLabel } from '../rowLabels';

/** Nodes that are asked one by one what they run. For more, the rows tell how many tasks run. */
const maxAsked = 20;

/** What runs on nodes, a line for each task where that is known: `tvm…_d: job-one / task-1`. Empty when nothing runs. */
export async function runningOn(data: ExplorerData, rows: readonly NodeOf<'node'>[]): Promise<string[]> {
  const isAsked = rows.length <= maxAsked;
  const lines = await Promise.all(
    rows.map(async (row) => {
      const { batch } = await data.gateways(row.account);
      return isAsked ? tasksOfNode(batch, row) : countLine(row, row.node);
    }),
  );
  return lines.flat();
}

async function tasksOfNode(batch: Batch, row: NodeOf<'node'>): Promise<string[]> {
  const id = resourceName(row);
  const node = await batch.node(row.poolId, id);
  const running = (node?.recentTasks ?? []).filter(({ taskState }) => taskState === 'running');
  if (running.length > 0) return running.map(({ jobId, taskId }) => `${rowLabel(row)}: ${jobId} / ${taskId}`);
  return node ? countLine(row, node) : [];
}

function countLine(row: NodeOf<'node'>, { runningTasksCount = 0 }: Node): string[] {
  return runningTasksCount > 0 ? [l10n.t('{0}: {1} running', rowLabel(row), tasksOf(runningTasksCount))] : [];
}
