import type { AccountRecord } from '../../core/azure/account';
import type { Job, Node, NodeFile, Pool, Task, TaskCounts } from '../../core/azure/batch';
import type { BlobInfo, ContainerInfo } from '../../core/azure/storage';
import type { Problem } from '../../core/errors';

/** Plain data, told apart by `kind`. What is fetched for it and how it looks is decided elsewhere. */
export type ExplorerNode =
  | { readonly kind: 'account'; readonly account: AccountRecord }
  | { readonly kind: 'pools'; readonly account: AccountRecord }
  | { readonly kind: 'jobs'; readonly account: AccountRecord }
  | { readonly kind: 'containers'; readonly account: AccountRecord }
  | { readonly kind: 'pool'; readonly account: AccountRecord; readonly pool: Pool }
  | { readonly kind: 'node'; readonly account: AccountRecord; readonly poolId: string; readonly node: Node }
  | { readonly kind: 'job'; readonly account: AccountRecord; readonly job: Job; readonly counts?: TaskCounts }
  | {
      readonly kind: 'taskGroup';
      readonly account: AccountRecord;
      readonly jobId: string;
      readonly group: TaskGroup;
      readonly count: number;
    }
  | { readonly kind: 'task'; readonly account: AccountRecord; readonly jobId: string; readonly task: Task }
  | { readonly kind: 'container'; readonly account: AccountRecord; readonly container: ContainerInfo }
  | {
      readonly kind: 'blob';
      readonly account: AccountRecord;
      readonly container: string;
      readonly blob: BlobInfo;
    }
  | FileNode
  | {
      readonly kind: 'problem';
      readonly owner: string;
      readonly problem: Problem;
      /** When what stands below it was so; undefined where nothing does. */
      readonly asOf?: Date;
    }
  | {
      readonly kind: 'empty';
      readonly owner: string;
      readonly what: 'pools' | 'jobs' | 'nodes' | 'tasks' | 'files' | 'containers' | 'blobs';
    }
  | MoreNode;

/** Tasks of a job that are in the same state, as a person asks for them. */
export type TaskGroup = 'failed' | 'running' | 'active' | 'succeeded';

/** Lists whose ids can be filtered. */
export type FilteredNode = Extract<ExplorerNode, { kind: 'pools' | 'jobs' | 'job' | 'taskGroup' }>;

export interface FileNode {
  readonly kind: 'file';
  readonly account: AccountRecord;
  readonly place:
    | { readonly jobId: string; readonly taskId: string }
    | { readonly poolId: string; readonly nodeId: string };
  readonly file: NodeFile;
}

/** The rest of a long list. */
export interface MoreNode {
  readonly kind: 'more';
  readonly parent: ExplorerNode;
}

/** Stable, so that the view keeps what is expanded and selected. */
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
    case 'problem':
      return `${node.owner}/problem/${node.problem.kind}`;
    case 'empty':
      return `${node.owner}/${node.kind}`;
    case 'more':
      return `${nodeId(node.parent)}/more`;
  }
}
