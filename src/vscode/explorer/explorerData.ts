import type { AccountRecord } from '../../core/azure/account';
import type { Batch } from '../../core/azure/batch';
import { everyItem, type Page, quoted } from '../../core/azure/pages';
import { UserError } from '../../core/errors';
import { newestJobs } from '../../core/jobs/newestJobs';
import { resizeProblem } from '../../core/jobs/poolFailure';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { Connections, type Gateways } from './connections';
import {
  type ExplorerNode,
  type FilePlace,
  type FilteredNode,
  type NodeOf,
  nodeId,
  type TaskGroup,
} from './explorerNode';
import { JobCounts } from './jobCounts';
import { listRows } from './listRows';
import { ListView } from './listView';
import { nodeProblems } from './nodeProblems';
import { noFilesCode, noTaskFiles } from './taskFiles';

/** The OData filter of each task group. */
export const groupFilters: Record<TaskGroup, string> = {
  failed: "state eq 'completed' and executionInfo/result eq 'failure'",
  running: "state eq 'running' or state eq 'preparing'",
  active: "state eq 'active'",
  succeeded: "state eq 'completed' and executionInfo/result eq 'success'",
};

/** What the rows show. **Open as JSON** asks for the whole resource. */
const selects = {
  pools: [
    ...[
      'id',
      'state',
      'allocationState',
      'allocationStateTransitionTime',
      'vmSize',
      'resizeErrors',
      'metadata',
    ],
    ...['currentDedicatedNodes', 'currentLowPriorityNodes', 'targetDedicatedNodes', 'targetLowPriorityNodes'],
    ...['enableAutoScale', 'taskSlotsPerNode', 'creationTime'],
  ].join(),
  jobs: 'displayName,state,metadata,executionInfo,onAllTasksComplete',
  nodes: [
    ...['id', 'state', 'schedulingState', 'isDedicated', 'vmSize', 'ipAddress', 'lastBootTime'],
    ...['runningTasksCount', 'runningTaskSlotsCount', 'errors', 'startTaskInfo'],
  ].join(),
  tasks: 'id,displayName,state,executionInfo,nodeInfo,creationTime',
};

/** Items that one reply of Batch can hold. */
const maxPageSize = 1000;
/** Replies that are read of one list. */
const maxPages = 5;
/** Blobs and containers that are read of one list: Storage returns 5,000 in a reply. */
const maxBlobs = 5000;
/** How a list is shown that the user has not changed. */
const unchangedView: Pick<ListView, 'shown' | 'filter'> = new ListView();

/** Loads the lists of the Accounts view. */
export class ExplorerData {
  readonly #connections: Connections;
  readonly #views = new Map<string, ListView>();
  readonly #counts = new JobCounts(() => this.#requests++);
  /** By account: from when on jobs have to be read to show as many as are shown. */
  readonly #jobsSince = new Map<string, Date>();
  readonly #showsAllContainers = new Set<string>();
  #requests = 0;
  /** Called with the newest jobs of a list, some time after it was loaded, once their tasks have been counted. */
  onCounted: (parent: NodeOf<'jobs'>, rows: readonly ExplorerNode[]) => void = () => undefined;
  /** Whether the tasks of a job are grouped by state. */
  groupsTasks = true;

  constructor(accounts: Accounts) {
    this.#connections = new Connections(accounts);
  }

  /** Requests sent so far for lists and counts. */
  get requests(): number {
    return this.#requests;
  }

  /** How a list is shown: how many rows, and filtered by which text. */
  view(node: ExplorerNode): Pick<ListView, 'shown' | 'filter'> {
    return this.#views.get(nodeId(node)) ?? unchangedView;
  }

  /** The same, to be changed: only lists that the user has changed are kept. */
  #changeableView(node: ExplorerNode): ListView {
    const id = nodeId(node);
    const view = this.#views.get(id) ?? new ListView();
    this.#views.set(id, view);
    return view;
  }

  /** Shows one more page of a list. */
  showMore(parent: ExplorerNode): void {
    this.#changeableView(parent).showMore();
    if (parent.kind === 'jobs') this.#jobsSince.delete(parent.account.id);
  }

  /** Shows only the rows whose name contains this text. An empty text shows all. */
  filter(node: FilteredNode, text: string): void {
    this.#changeableView(node).filterBy(text);
    if (node.kind === 'jobs') this.#jobsSince.delete(node.account.id);
  }

  filterOf(node: ExplorerNode): string {
    return this.#views.get(nodeId(node))?.filter ?? '';
  }

  /** Makes a compute node part of the rows that its pool shows. False when it no longer exists. */
  async showComputeNode({ account, pool }: NodeOf<'pool'>, id: string): Promise<boolean> {
    const { batch } = await this.gateways(account);
    const view = this.#changeableView({ kind: 'pool', account, pool });
    const page = (next?: string) => {
      this.#requests++;
      return batch.nodePage(pool.id ?? '', { pageSize: maxPageSize, select: 'id' }, next);
    };
    let index = 0;
    for await (const node of everyItem(page)) {
      if (node.id === id) {
        if (view.filter !== '' && !id.includes(view.filter)) view.filterBy('');
        view.showIndex(index);
        return true;
      }
      index++;
    }
    return false;
  }

  /** Shows the containers of other programs too, or only those of transcodes. */
  toggleAllContainers({ account }: NodeOf<'containers'>): void {
    if (!this.#showsAllContainers.delete(account.id)) this.#showsAllContainers.add(account.id);
  }

  /** Closes all connections. */
  disconnect(): void {
    this.#connections.close();
  }

  gateways(account: AccountRecord): Promise<Gateways> {
    return this.#connections.to(account);
  }

  /** Loads the rows below a node. A problem becomes a row, where it can be read and acted on. */
  async children(node: ExplorerNode): Promise<ExplorerNode[]> {
    try {
      return await this.#children(node);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if ('account' in node) this.#connections.failed(node.account, error.problem);
      return [{ kind: 'problem', owner: nodeId(node), problem: error.problem }];
    }
  }

  async #children(node: ExplorerNode): Promise<ExplorerNode[]> {
    switch (node.kind) {
      case 'account': {
        const { account } = node;
        const showsAll = this.#showsAllContainers.has(account.id);
        this.#connections.prepare(account);
        return [
          { kind: 'pools', account },
          { kind: 'jobs', account },
          { kind: 'containers', account, showsAll },
        ];
      }
      case 'pools':
        return this.#pools(node);
      case 'jobs':
        return this.#jobs(node);
      case 'containers':
        return this.#containers(node);
      case 'pool':
        return this.#nodes(node);
      case 'job':
        return this.groupsTasks ? this.#groups(node) : this.#tasks(node, node.account, node.job.id ?? '');
      case 'taskGroup':
        return this.#tasks(node, node.account, node.jobId, groupFilters[node.group]);
      case 'node':
        return [
          ...nodeProblems(node),
          ...(await this.#files(node, node.account, { poolId: node.poolId, nodeId: node.node.id ?? '' })),
        ];
      case 'task':
        return this.#taskFiles(node);
      case 'file':
        return this.#files(node, node.account, node.place, node.file.name);
      case 'container':
        return this.#blobs(node);
      default:
        return [];
    }
  }

  async #pools(node: NodeOf<'pools'>): Promise<ExplorerNode[]> {
    const { account } = node;
    const { batch } = await this.gateways(account);
    const { items, isCut } = await this.#read(
      (pageSize, next) => batch.poolPage({ pageSize, select: selects.pools }, next),
      { all: true },
    );
    items.sort((one, other) => Number(other.creationTime ?? 0) - Number(one.creationTime ?? 0));
    return listRows(this.view(node), {
      parent: node,
      list: 'pools',
      all: items.map((pool) => ({ kind: 'pool', account, pool })),
      isCut,
    });
  }

  async #jobs(node: NodeOf<'jobs'>): Promise<ExplorerNode[]> {
    const { account } = node;
    const { batch } = await this.gateways(account);
    const view = this.view(node);
    const since = this.#jobsSince.get(account.id);
    const options = { select: selects.jobs, onRequest: () => this.#requests++ };
    let list = await newestJobs(batch, { ...options, since });
    if (since && list.jobs.length < view.shown) list = await newestJobs(batch, options);
    const { jobs, cutBefore } = list;
    // The next refresh of a long list asks only for the jobs that are shown and newer ones.
    const last = jobs[view.shown - 1]?.creationTime;
    const isLong = jobs.length > maxPageSize || cutBefore !== undefined;
    if (view.filter === '' && isLong && last) this.#jobsSince.set(account.id, last);
    const rows = jobs.map((job): ExplorerNode => ({ kind: 'job', account, job }));
    if (since && list.cutBefore === since) {
      const shown = rows.slice(0, view.shown);
      return this.#counted(node, [...shown, { kind: 'more', parent: node, shown: shown.length }], batch);
    }
    const nodes = listRows(view, { parent: node, list: 'jobs', all: rows, isCut: cutBefore !== undefined });
    const marked = nodes.map((row) => (row.kind === 'cut' ? { ...row, before: cutBefore } : row));
    return this.#counted(node, marked, batch);
  }

  /** The rows with the task counts that are known. Those that may have changed follow by `onCounted`. */
  #counted(node: NodeOf<'jobs'>, rows: ExplorerNode[], batch: Batch): ExplorerNode[] {
    const count = async () => this.onCounted(node, await this.#counts.load(rows, batch));
    background(count());
    return this.#counts.addKnown(rows);
  }

  async #nodes(node: NodeOf<'pool'>): Promise<ExplorerNode[]> {
    const { account, pool } = node;
    const poolId = pool.id ?? '';
    const { batch } = await this.gateways(account);
    const { items, isCut, hasMore } = await this.#read(
      (pageSize, next) => batch.nodePage(poolId, { pageSize, select: selects.nodes }, next),
      this.view(node),
    );
    const total = (pool.currentDedicatedNodes ?? 0) + (pool.currentLowPriorityNodes ?? 0);
    const rows = listRows(this.view(node), {
      parent: node,
      list: 'nodes',
      all: items.map((found) => ({ kind: 'node', account, poolId, node: found })),
      isCut,
      total: hasMore ? Math.max(total, items.length + 1) : undefined,
    });
    const problem = resizeProblem(pool, new Date(0));
    return problem ? [{ kind: 'problem', owner: nodeId(node), problem }, ...rows] : rows;
  }

  /** The groups that have tasks, failed ones first. */
  async #groups(node: NodeOf<'job'>): Promise<ExplorerNode[]> {
    const { account, job } = node;
    const jobId = job.id ?? '';
    const { batch } = await this.gateways(account);
    this.#requests++;
    const counts = await batch.taskCounts(jobId);
    const groups = (['failed', 'running', 'active', 'succeeded'] as const)
      .filter((group) => counts[group] > 0)
      .map((group): ExplorerNode => ({ kind: 'taskGroup', account, jobId, group, count: counts[group] }));
    return groups.length > 0
      ? groups
      : [{ kind: 'empty', owner: nodeId(node), list: 'tasks', isFiltered: false }];
  }

  async #tasks(
    node: NodeOf<'job' | 'taskGroup'>,
    account: AccountRecord,
    jobId: string,
    filter?: string,
  ): Promise<ExplorerNode[]> {
    const { batch } = await this.gateways(account);
    const { items, isCut, hasMore } = await this.#read(
      (pageSize, next) => batch.taskPage(jobId, { pageSize, select: selects.tasks, filter }, next),
      this.view(node),
    );
    const total = node.kind === 'taskGroup' ? node.count : Number.POSITIVE_INFINITY;
    return listRows(this.view(node), {
      parent: node,
      list: 'tasks',
      all: items.map((task) => ({ kind: 'task', account, jobId, task })),
      isCut,
      total: hasMore ? Math.max(total, items.length + 1) : undefined,
    });
  }

  async #taskFiles(node: NodeOf<'task'>): Promise<ExplorerNode[]> {
    const { account, jobId, task } = node;
    if (task.state === 'active') return [noTaskFiles(node)];
    try {
      return await this.#files(node, account, { jobId, taskId: task.id ?? '' });
    } catch (error) {
      const code = noFilesCode(error);
      if (code === undefined) throw error;
      return [noTaskFiles(node, code)];
    }
  }

  async #files(
    node: ExplorerNode,
    account: AccountRecord,
    place: FilePlace,
    folder?: string,
  ): Promise<ExplorerNode[]> {
    const { batch } = await this.gateways(account);
    const filter = folder ? `startswith(name,'${quoted(folder)}/')` : undefined;
    const { items, isCut } = await this.#read(
      (pageSize, next) => batch.filePage(place, { pageSize, filter, recursive: folder !== undefined }, next),
      { all: true },
    );
    const direct = items.filter(({ name = '' }) => !folder || isDirectlyIn(name, folder));
    return listRows(this.view(node), {
      parent: node,
      list: 'files',
      all: direct.map((file) => ({ kind: 'file', account, place, file })),
      isCut,
    });
  }

  async #containers(node: NodeOf<'containers'>): Promise<ExplorerNode[]> {
    const { account } = node;
    const { storage } = await this.gateways(account);
    const prefix = this.#showsAllContainers.has(account.id) ? '' : 'transcode-';
    this.#requests++;
    const { items, isCut } = await firstOf(storage.containers(prefix, AbortSignal.timeout(60_000)), maxBlobs);
    items.sort((one, other) => Number(other.modified) - Number(one.modified));
    return listRows(this.view(node), {
      parent: node,
      list: 'containers',
      all: items.map((container) => ({ kind: 'container', account, container })),
      isCut,
    });
  }

  async #blobs(node: NodeOf<'container'>): Promise<ExplorerNode[]> {
    const { account, container } = node;
    const { storage } = await this.gateways(account);
    this.#requests++;
    const blobs = storage.blobs(container.name, { signal: AbortSignal.timeout(60_000) });
    const { items, isCut } = await firstOf(blobs, maxBlobs);
    return listRows(this.view(node), {
      parent: node,
      list: 'blobs',
      all: items.map((blob) => ({ kind: 'blob', account, container: container.name, blob })),
      isCut,
    });
  }

  /**
   * Reads as many items as the list shows, or all where it is sorted or filtered here: the service can do neither by
   * what the rows show.
   */
  async #read<T>(
    page: (pageSize: number, next?: string) => Promise<Page<T>>,
    view: Pick<ListView, 'shown' | 'filter'> | { readonly all: true },
  ): Promise<{ items: T[]; isCut: boolean; hasMore: boolean }> {
    const wanted = 'shown' in view && view.filter === '' ? view.shown : maxPages * maxPageSize;
    const pageSize = Math.min(wanted, maxPageSize);
    const items: T[] = [];
    let next: string | undefined;
    do {
      this.#requests++;
      const reply = await page(pageSize, next);
      items.push(...reply.items);
      next = reply.next;
    } while (next !== undefined && items.length < wanted);
    const hasMore = next !== undefined;
    return { items, hasMore, isCut: hasMore && wanted >= maxPages * maxPageSize };
  }
}

/** The first items of a list, and whether there are more. */
async function firstOf<T>(list: AsyncIterable<T>, max: number): Promise<{ items: T[]; isCut: boolean }> {
  const items: T[] = [];
  for await (const item of list) {
    if (items.length === max) return { items, isCut: true };
    items.push(item);
  }
  return { items, isCut: false };
}

function isDirectlyIn(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`) && !path.slice(folder.length + 1).includes('/');
}
