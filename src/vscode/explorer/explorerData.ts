import type { AccountRecord } from '../../core/azure/account';
import type { Batch, NodeFile, TaskCounts } from '../../core/azure/batch';
import { type Page, quoted } from '../../core/azure/pages';
import type { Storage } from '../../core/azure/storage';
import { type Problem, UserError } from '../../core/errors';
import { resizeProblem } from '../../core/jobs/taskFailure';
import type { Accounts } from '../accounts/accounts';
import { type ExplorerNode, type FileNode, type FilteredNode, nodeId, type TaskGroup } from './explorerNode';

/** What each group is to the service. */
export const groupFilters: Record<TaskGroup, string> = {
  failed: "state eq 'completed' and executionInfo/result eq 'failure'",
  running: "state eq 'running' or state eq 'preparing'",
  active: "state eq 'active'",
  succeeded: "state eq 'completed' and executionInfo/result eq 'success'",
};

/** Items of the first page; long lists go on when asked for. */
const pageSize = 100;
const blobsShown = 500;
/** Jobs whose tasks are counted, the newest ones: a request each. */
const jobsCounted = 20;

/** Calls of the tree are retried briefly: a person is waiting. */
const patienceMs = 8_000;

interface Gateways {
  readonly batch: Batch;
  readonly storage: Storage;
}

/** After these an account is connected anew: it may have moved, or have got another key. */
const staleAfter = new Set<Problem['kind']>(['unreachable', 'unauthorized', 'signedOut']);

/** Fetches what the tree shows. Remembers the pages that were loaded, nothing else. */
export class ExplorerData {
  readonly #gateways = new Map<string, Promise<Gateways>>();
  readonly #loaded = new Map<string, { pages: number }>();
  /** What ids of a list begin with, by the list's id. */
  readonly #prefixes = new Map<string, string>();
  /** Counts of jobs that are over, which do not change. */
  readonly #finalCounts = new Map<string, TaskCounts>();
  /** Tasks below a job by state, or all in a row. */
  groupsTasks = true;

  constructor(private readonly accounts: Accounts) {}

  /** Asks for one more page of a list. */
  more(parent: ExplorerNode): void {
    const id = nodeId(parent);
    this.#loaded.set(id, { pages: (this.#loaded.get(id)?.pages ?? 1) + 1 });
  }

  /** Shows only ids that begin so; all of them for an empty text. */
  filter(node: FilteredNode, prefix: string): void {
    if (prefix === '') this.#prefixes.delete(nodeId(node));
    else this.#prefixes.set(nodeId(node), prefix);
    this.#loaded.delete(nodeId(node));
  }

  prefixOf(node: ExplorerNode): string | undefined {
    return this.#prefixes.get(nodeId(node));
  }

  /** Forgets connections, which may have ended or been replaced. */
  forget(): void {
    for (const known of this.#gateways.values()) {
      void known.then(
        ({ batch, storage }) => {
          batch.close();
          storage.close();
        },
        () => undefined,
      );
    }
    this.#gateways.clear();
  }

  async gateways(account: AccountRecord): Promise<Gateways> {
    const known = this.#gateways.get(account.id) ?? this.#connect(account);
    this.#gateways.set(account.id, known);
    try {
      return await known;
    } catch (error) {
      this.#gateways.delete(account.id);
      throw error;
    }
  }

  /** Problems become children, where they can be read and acted on. */
  async children(node: ExplorerNode): Promise<ExplorerNode[]> {
    try {
      return await this.#children(node);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (staleAfter.has(error.problem.kind) && 'account' in node) this.#gateways.delete(node.account.id);
      return [{ kind: 'problem', owner: nodeId(node), problem: error.problem }];
    }
  }

  async #connect(account: AccountRecord): Promise<Gateways> {
    const [{ Batch }, { Storage }, connection] = await Promise.all([
      import('../../core/azure/batch'),
      import('../../core/azure/storage'),
      this.accounts.connect(account),
    ]);
    return { batch: new Batch(connection, { patienceMs }), storage: new Storage(connection) };
  }

  async #children(node: ExplorerNode): Promise<ExplorerNode[]> {
    switch (node.kind) {
      case 'account': {
        const { account } = node;
        return [
          { kind: 'pools', account },
          { kind: 'jobs', account },
          { kind: 'containers', account },
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
        return this.groupsTasks ? this.#groups(node) : this.#tasks(node);
      case 'taskGroup':
        return this.#tasksOf(node, node.account, node.jobId, groupFilters[node.group]);
      case 'node':
        return [
          ...nodeProblems(node),
          ...(await this.#files(node, node.account, { poolId: node.poolId, nodeId: node.node.id ?? '' })),
        ];
      case 'task':
        return this.#files(node, node.account, { jobId: node.jobId, taskId: node.task.id ?? '' });
      case 'file':
        return this.#files(node, node.account, node.place, node.file.name);
      case 'container':
        return this.#blobs(node);
      default:
        return [];
    }
  }

  async #pools(node: Extract<ExplorerNode, { kind: 'pools' }>): Promise<ExplorerNode[]> {
    const { account } = node;
    const { batch } = await this.gateways(account);
    return this.#list(
      node,
      'pools',
      (next) => batch.poolPage({ pageSize, filter: this.#idFilter(node) }, next),
      (pool) => ({ kind: 'pool', account, pool }),
    );
  }

  async #jobs(node: Extract<ExplorerNode, { kind: 'jobs' }>): Promise<ExplorerNode[]> {
    const { account } = node;
    const { batch } = await this.gateways(account);
    const nodes = await this.#list(
      node,
      'jobs',
      (next) => batch.jobPage({ pageSize, filter: this.#idFilter(node) }, next),
      (job) => ({ kind: 'job', account, job }),
    );
    nodes.sort((one, other) => createdOf(other) - createdOf(one));
    return this.#withCounts(nodes, batch);
  }

  async #nodes(node: Extract<ExplorerNode, { kind: 'pool' }>): Promise<ExplorerNode[]> {
    const { account, pool } = node;
    const poolId = pool.id ?? '';
    const { batch } = await this.gateways(account);
    const nodes = await this.#list(
      node,
      'nodes',
      (next) => batch.nodePage(poolId, { pageSize }, next),
      (found) => ({ kind: 'node', account, poolId, node: found }),
    );
    const problem = resizeProblem(pool, new Date(0));
    return problem ? [{ kind: 'problem', owner: nodeId(node), problem }, ...nodes] : nodes;
  }

  async #tasks(node: Extract<ExplorerNode, { kind: 'job' }>): Promise<ExplorerNode[]> {
    return this.#tasksOf(node, node.account, node.job.id ?? '');
  }

  /** Groups that have tasks, the ones to worry about first. */
  async #groups(node: Extract<ExplorerNode, { kind: 'job' }>): Promise<ExplorerNode[]> {
    const { account, job } = node;
    const jobId = job.id ?? '';
    const { batch } = await this.gateways(account);
    const { failed, running, active, succeeded } = await batch.taskCounts(jobId);
    const counts: [TaskGroup, number][] = Object.entries({ failed, running, active, succeeded }) as never;
    const groups = counts
      .filter(([, count]) => count > 0)
      .map(([group, count]): ExplorerNode => ({ kind: 'taskGroup', account, jobId, group, count }));
    return groups.length > 0 ? groups : [{ kind: 'empty', owner: nodeId(node), what: 'tasks' }];
  }

  /** Counts of the jobs on top; of those that are over they are asked for once. */
  async #withCounts(nodes: ExplorerNode[], batch: Batch): Promise<ExplorerNode[]> {
    const counted = nodes.filter((node) => node.kind === 'job').slice(0, jobsCounted);
    const counts = await Promise.all(
      counted.map(async (node) => {
        const id = nodeId(node);
        const known = this.#finalCounts.get(id);
        if (known) return [id, known] as const;
        const found = await batch.taskCounts(node.job.id ?? '').catch(() => undefined);
        if (found && node.job.state === 'completed') this.#finalCounts.set(id, found);
        return [id, found] as const;
      }),
    );
    const byId = new Map(counts);
    this.#forgetCounts(nodes);
    return nodes.map((node) => (node.kind === 'job' ? { ...node, counts: byId.get(nodeId(node)) } : node));
  }

  /** Of jobs that are not shown any more. */
  #forgetCounts(nodes: readonly ExplorerNode[]): void {
    const shown = new Set(nodes.map(nodeId));
    const owners = new Set(nodes.map((node) => nodeId(node).split('/jobs/')[0]));
    for (const id of this.#finalCounts.keys()) {
      if (!shown.has(id) && owners.has(id.split('/jobs/')[0])) this.#finalCounts.delete(id);
    }
  }

  #idFilter(node: ExplorerNode): string | undefined {
    const prefix = this.prefixOf(node);
    return prefix && `startswith(id,'${quoted(prefix)}')`;
  }

  async #tasksOf(
    node: ExplorerNode,
    account: AccountRecord,
    jobId: string,
    filter?: string,
  ): Promise<ExplorerNode[]> {
    const { batch } = await this.gateways(account);
    const ids = this.#idFilter(node);
    const both = filter && ids ? `(${filter}) and ${ids}` : (filter ?? ids);
    const select = 'id,displayName,state,executionInfo,nodeInfo,creationTime,commandLine';
    return this.#list(
      node,
      'tasks',
      (next) => batch.taskPage(jobId, { pageSize, select, filter: both }, next),
      (task) => ({ kind: 'task', account, jobId, task }),
    );
  }

  async #files(
    node: ExplorerNode,
    account: AccountRecord,
    place: FileNode['place'],
    folder?: string,
  ): Promise<ExplorerNode[]> {
    const { batch } = await this.gateways(account);
    const filter = folder ? `startswith(name,'${quoted(folder)}/')` : undefined;
    const nodes = await this.#list<NodeFile>(
      node,
      'files',
      (next) => batch.filePage(place, { pageSize, filter, recursive: folder !== undefined }, next),
      (file) => ({ kind: 'file', account, place, file }),
    );
    return nodes.filter(
      (child) => child.kind !== 'file' || !folder || isDirectlyIn(child.file.name ?? '', folder),
    );
  }

  async #containers(node: Extract<ExplorerNode, { kind: 'containers' }>): Promise<ExplorerNode[]> {
    const { account } = node;
    const { storage } = await this.gateways(account);
    const nodes: ExplorerNode[] = [];
    for await (const container of storage.containers('transcode-', AbortSignal.timeout(60_000))) {
      nodes.push({ kind: 'container', account, container });
    }
    return nodes.length > 0 ? nodes.reverse() : [{ kind: 'empty', owner: nodeId(node), what: 'containers' }];
  }

  async #blobs(node: Extract<ExplorerNode, { kind: 'container' }>): Promise<ExplorerNode[]> {
    const { account, container } = node;
    const { storage } = await this.gateways(account);
    const shown = blobsShown * (this.#loaded.get(nodeId(node))?.pages ?? 1);
    const nodes: ExplorerNode[] = [];
    for await (const blob of storage.blobs(container.name, { signal: AbortSignal.timeout(60_000) })) {
      if (nodes.length === shown) return [...nodes, { kind: 'more', parent: node }];
      nodes.push({ kind: 'blob', account, container: container.name, blob });
    }
    return nodes.length > 0 ? nodes : [{ kind: 'empty', owner: nodeId(node), what: 'blobs' }];
  }

  async #list<T>(
    parent: ExplorerNode,
    what: Extract<ExplorerNode, { kind: 'empty' }>['what'],
    page: (next?: string) => Promise<Page<T>>,
    toNode: (item: T) => ExplorerNode,
  ): Promise<ExplorerNode[]> {
    const nodes: ExplorerNode[] = [];
    let next: string | undefined;
    for (let pages = this.#loaded.get(nodeId(parent))?.pages ?? 1; pages > 0; pages--) {
      const reply = await page(next);
      nodes.push(...reply.items.map(toNode));
      next = reply.next;
      if (next === undefined) break;
    }
    if (nodes.length === 0) return [{ kind: 'empty', owner: nodeId(parent), what }];
    return next === undefined ? nodes : [...nodes, { kind: 'more', parent }];
  }
}

/** What is wrong with a node, where it can be read and acted on. */
function nodeProblems(node: Extract<ExplorerNode, { kind: 'node' }>): ExplorerNode[] {
  const { id = '', errors = [], startTaskInfo: info } = node.node;
  const owner = nodeId(node);
  const startTask: Problem[] =
    info?.result?.toLowerCase() === 'failure'
      ? [{ kind: 'startTaskFailed', pool: node.poolId, node: id, exitCode: info.exitCode }]
      : [];
  const others = errors.map(
    ({ code = '', message }): Problem => ({ kind: 'nodeFailed', node: id, code, detail: message }),
  );
  return [...startTask, ...others].map((problem) => ({ kind: 'problem', owner, problem }));
}

function createdOf(node: ExplorerNode): number {
  return node.kind === 'job' ? (node.job.creationTime?.getTime() ?? 0) : -1;
}

function isDirectlyIn(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`) && !path.slice(folder.length + 1).includes('/');
}
