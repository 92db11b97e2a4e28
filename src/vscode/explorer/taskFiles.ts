import type { Task } from '../../core/azure/batch';
import { UserError } from '../../core/errors';
import { type ExplorerNode, type NodeOf, nodeId } from './explorerNode';

/** https://learn.microsoft.com/rest/api/batchservice/batch-status-and-error-codes */
const noFilesCodes = new Set(['TaskFilesUnavailable', 'TaskFilesCleanedup', 'NodeNotFound', 'PoolNotFound']);

/** The code by which Batch answered that the node of a task has no files of it; undefined for any other error. */
export function noFilesCode(error: unknown): string | undefined {
  if (!(error instanceof UserError) || error.problem.kind !== 'service') return undefined;
  return noFilesCodes.has(error.problem.code) ? error.problem.code : undefined;
}

/**
 * The row that says why a task has no files. `code` is what Batch answered; undefined if it was not asked. A running task
 * may not have made its folder yet, but if its node or pool no longer exists, neither do its files.
 */
export function noTaskFiles(node: NodeOf<'task'>, code?: string): ExplorerNode {
  const reason = reasonOf(node.task, code);
  return { kind: 'empty', owner: nodeId(node), list: 'files', isFiltered: false, reason };
}

function reasonOf({ state, executionInfo }: Task, code?: string): NodeOf<'empty'>['reason'] {
  if (state === 'completed') return executionInfo?.startTime ? 'removed' : 'neverStarted';
  if (state !== 'running' || code === undefined || code === 'TaskFilesUnavailable') return 'notStarted';
  return 'removed';
}
