import type { AccountRecord } from '../../core/azure/account';
import type { Job, Node, NodeFile, Pool, Task, TaskCounts } from '../../core/azure/batch';
import type { BlobInfo, ContainerInfo } from '../../core/azure/storage';
import type { Problem } from '../../core/errors';

/**
 * A row of the Accounts view as plain data, told apart by `kind`. `ExplorerData` loads it and `renderNode` draws it.
 * Nothing is readonly: VS Code knows a row by its object, so a refresh replaces the contents of the object.
 */
export type ExplorerNode =
  /** `isInUse`: the account of this workspace, where there are several. */
  | { kind: 'account'; account: AccountRecord; isInUse?: boolean }
  | { kind: 'pools'; account: AccountRecord }
  | { kind: 'jobs'; account: AccountRecord }
  | { kind: 'containers'; account: AccountRecord; showsAll: boolean }
  | { kind: 'pool'; account: AccountRecord; pool: Pool }
  | { kind: 'node'; account: AccountRecord; poolId: string; node: Node }
  | { kind: 'job'; account: AccountRecord; job: Job; counts?: TaskCounts }
  | {
      kind: 'taskGroup';
      account: AccountRecord;
      jobId: string;
      group: TaskGroup;
      count: number;
    }
  | { kind: 'task'; account: AccountRecord; jobId: string; task: Task }
  | { kind: 'container'; account: AccountRecord; container: ContainerInfo }
  | { kind: 'blob'; account: AccountRecord; container: string; blob: BlobInfo }
  | {
      kind: 'file';
      account: AccountRecord;
      place: FilePlace;
      file: NodeFile;
    }
  | {
      kind: 'problem';
      owner: string;
      problem: Problem;
      /** When the rows below were loaded. Undefined where the list has no rows. */
      asOf?: Date;
      /** The compute node whose start task failed: its stderr tells why. */
      startTaskOf?: { readonly account: AccountRecord; poolId: string; nodeId: string };
    }
  | {
      kind: 'empty';
      owner: string;
      list: ListName;
      isFiltered: boolean;
      /** Why a task has no files. */
      reason?: 'notStarted' | 'neverStarted' | 'removed';
    }
  | {
      /** The end of a list that shows only a part. */
      kind: 'more';
      parent: ExplorerNode;
      /** Rows shown now. */
      shown: number;
      /** Rows there are, as far as that is known. */
      total?: number;
    }
  | {
      /** The end of a list that was too long to be read in full. */
      kind: 'cut';
      owner: string;
      list: ListName;
      /** Items that were read. */
      read: number;
      /** Jobs created before this time are not listed. */
      before?: Date;
    };

export type NodeOf<Kind extends ExplorerNode['kind']> = Extract<ExplorerNode, { kind: Kind }>;

/** A node that belongs to an account. */
export type AccountNode = Extract<ExplorerNode, { account: AccountRecord }>;

/** Where a file lies: with its task, or on a node of a pool. */
export type FilePlace =
  | { readonly jobId: string; readonly taskId: string }
  | { readonly poolId: string; readonly nodeId: string };

/** Tasks of a job that are in the same state. */
export type TaskGroup = 'failed' | 'running' | 'active' | 'succeeded';

export type ListName = 'pools' | 'jobs' | 'nodes' | 'tasks' | 'files' | 'containers' | 'blobs';

/** Lists that can be filtered by name. */
export type FilteredNode = NodeOf<
  'pools' | 'jobs' | 'containers' | 'pool' | 'job' | 'taskGroup' | 'container'
>;

/** An id that stays the same, so that the view keeps what is expanded and selected. */
export function nodeId(node: ExplorerNode): string {
  switch (node.kind) {
    case 'account':
      return node.account.id;
    case 'pools':
    case 'jobs':
    case 'containers':
      return `${node.account.id}/${node.kind}`;
    case 'pool':
      return `${node.account.id}/pools/${node.pool.id}`;
    case 'node':
      return `${node.account.id}/pools/${node.poolId}/${node.node.id}`;
    case 'job':
      return `${node.account.id}/jobs/${node.job.id}`;
    case 'taskGroup':
      return `${node.account.id}/jobs/${node.jobId}//${node.group}`;
    case 'task':
      return `${node.account.id}/jobs/${node.jobId}/${node.task.id}`;
    case 'container':
      return `${node.account.id}/containers/${node.container.name}`;
    case 'blob':
      return `${node.account.id}/containers/${node.container}/${node.blob.name}`;
    case 'file': {
      const { place } = node;
      const owner =
        'taskId' in place ? `jobs/${place.jobId}/${place.taskId}` : `pools/${place.poolId}/${place.nodeId}`;
      return `${node.account.id}/${owner}/${node.file.name}`;
    }
    case 'problem': {
      const { kind } = node.problem;
      return `${node.owner}/problem/${kind}${'code' in node.problem ? `/${node.problem.code}` : ''}`;
    }
    case 'empty':
    case 'cut':
      return `${node.owner}/${node.kind}`;
    case 'more':
      return `${nodeId(node.parent)}/more`;
  }
}

/** The id of the account that a row belongs to, also of rows about a list. */
export function accountIdOf(node: ExplorerNode): string {
  const [accountId = ''] = nodeId(node).split('/', 1);
  return accountId;
}

/** The name that the service knows a resource by. */
export function resourceName(node: ExplorerNode): string {
  switch (node.kind) {
    case 'account':
      return node.account.batchName;
    case 'pool':
      return node.pool.id ?? '';
    case 'node':
      return node.node.id ?? '';
    case 'job':
      return node.job.id ?? '';
    case 'task':
      return node.task.id ?? '';
    case 'container':
      return node.container.name;
    case 'blob':
      return node.blob.name;
    case 'file':
      return node.file.name ?? '';
    default:
      return nodeId(node);
  }
}

/** States of a compute node that last until a client changes them. All others are transitional. */
const settledNodeStates = new Set([
  'idle',
  'offline',
  'preempted',
  'starttaskfailed',
  'unusable',
  'unknown',
  'deallocated',
]);

/** Whether a resource is in a transitional state, or at work: it will soon look different without anyone's doing. */
export function isChanging(node: ExplorerNode): boolean {
  switch (node.kind) {
    case 'pool':
      return node.pool.state === 'deleting' || node.pool.allocationState !== 'steady';
    case 'node':
      return !settledNodeStates.has(node.node.state ?? 'unknown');
    case 'job': {
      const { state = 'active' } = node.job;
      if (state === 'active') return (node.counts?.active ?? 0) + (node.counts?.running ?? 0) > 0;
      return state !== 'completed' && state !== 'disabled';
    }
    case 'taskGroup':
      return node.group === 'running' || node.group === 'active';
    case 'task':
      return node.task.state !== 'completed';
    default:
      return false;
  }
}
