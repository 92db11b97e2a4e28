import { UserError } from '../../core/errors';
import { type ExplorerNode, type NodeOf, nodeId } from './explorerNode';

/** https://learn.microsoft.com/rest/api/batchservice/batch-status-and-error-codes */
const goneCodes = new Set(['TaskFilesUnavailable', 'TaskFilesCleanedup', 'NodeNotFound', 'PoolNotFound']);

/** Whether Batch answered that the node of a task has no files of it. */
export function saysFilesAreGone(error: unknown): boolean {
  return error instanceof UserError && error.problem.kind === 'service' && goneCodes.has(error.problem.code);
}

/** The row that says why a task has no files: it has not started, or its node or its files were removed. */
export function noTaskFiles(node: NodeOf<'task'>): ExplorerNode {
  const reason = node.task.state === 'completed' ? 'removed' : 'notStarted';
  return { kind: 'empty', owner: nodeId(node), list: 'files', isFiltered: false, reason };
}
