import type { Problem } from '../../core/errors';
import { type ExplorerNode, type NodeOf, nodeId } from './explorerNode';

/** The errors of a compute node. A failed start task comes first. */
export function nodeProblems(node: NodeOf<'node'>): ExplorerNode[] {
  const { id = '', errors = [], startTaskInfo: info } = node.node;
  const { account, poolId } = node;
  const owner = nodeId(node);
  const failed: ExplorerNode[] =
    info?.result?.toLowerCase() === 'failure'
      ? [
          {
            kind: 'problem',
            owner,
            problem: { kind: 'startTaskFailed', pool: poolId, node: id, exitCode: info.exitCode },
            startTaskOf: { account, poolId, nodeId: id },
          },
        ]
      : [];
  const others = errors.map(({ code = '', message }): ExplorerNode => {
    const problem: Problem = { kind: 'nodeFailed', node: id, code, detail: message };
    return { kind: 'problem', owner, problem };
  });
  return [...failed, ...others];
}
