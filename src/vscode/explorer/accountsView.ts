import {
  type DataTransfer,
  DataTransferItem,
  EventEmitter,
  type TreeDataProvider,
  type TreeItem,
  type TreeView,
  Uri,
  window,
} from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { Accounts } from '../accounts/accounts';
import { DisposableStore } from '../disposable';
import type { Runs } from '../runs/runs';
import { section } from '../settings';
import type { ExplorerData } from './explorerData';
import { type ExplorerNode, nodeId } from './explorerNode';
import { remoteScheme, remoteUri } from './remoteFiles';
import { renderNode } from './renderNode';

const uriList = 'text/uri-list';

/** While a run is worked on, what is expanded is looked at again this often. */
const liveRefreshMs = 4_000;

/** The Accounts view. Refreshes what is expanded while a run is active and the view can be seen. */
export class AccountsView implements TreeDataProvider<ExplorerNode> {
  readonly #changed = new EventEmitter<ExplorerNode | ExplorerNode[] | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #disposables = new DisposableStore();
  readonly #dropped = new EventEmitter<{ account: AccountRecord | undefined; uris: Uri[] }>();
  /** Fires with files that were dropped on an account, or on something in it. */
  readonly onDropped = this.#dropped.event;
  readonly #nodes = new Map<string, ExplorerNode>();
  /** What was shown below each node when it could be asked for. */
  readonly #lists = new Map<string, { children: ExplorerNode[]; at: Date; facts: readonly string[] }>();
  /** What a look has just brought, for the view to take. */
  readonly #fetched = new Map<string, ExplorerNode[]>();
  readonly #expanded = new Map<string, ExplorerNode>();
  readonly view: TreeView<ExplorerNode>;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly accounts: Accounts,
    private readonly explorer: ExplorerData,
    private readonly runs: Runs,
  ) {
    this.#disposables.add(this.#changed);
    this.#disposables.add(this.#dropped);
    this.view = this.#disposables.add(
      window.createTreeView(`${section}.accounts`, {
        treeDataProvider: this,
        showCollapseAll: true,
        canSelectMany: true,
        dragAndDropController: {
          dropMimeTypes: [uriList],
          dragMimeTypes: [uriList],
          handleDrag: (nodes, data) => this.#drag(nodes, data),
          handleDrop: (node, data) => this.#drop(node, data),
        },
      }),
    );
    this.#disposables.add(accounts.onChanged(() => this.refresh()));
    this.#disposables.add(
      this.view.onDidExpandElement(({ element }) => this.#expanded.set(nodeId(element), element)),
    );
    this.#disposables.add(
      this.view.onDidCollapseElement(({ element }) => {
        this.#expanded.delete(nodeId(element));
        this.#fetched.delete(nodeId(element));
      }),
    );
    this.#disposables.add(this.view.onDidChangeVisibility(() => this.#schedule()));
    this.#disposables.add(window.onDidChangeWindowState(() => this.#schedule()));
    this.#disposables.add(runs.onChanged(() => this.#schedule()));
  }

  getTreeItem(node: ExplorerNode): TreeItem {
    const item = renderNode(node);
    const prefix = this.explorer.prefixOf(node);
    if (prefix) item.description = [item.description, `${prefix}…`].filter(Boolean).join(' · ');
    return item;
  }

  /** Above a node, for whoever wants to show it. */
  getParent(node: ExplorerNode): ExplorerNode | undefined {
    const parent = parentOf(node);
    return parent && (this.#nodes.get(nodeId(parent)) ?? parent);
  }

  async reveal(node: ExplorerNode): Promise<void> {
    await this.view.reveal(this.#same(node), { select: true, focus: true, expand: false });
  }

  async getChildren(node?: ExplorerNode): Promise<ExplorerNode[]> {
    const children: ExplorerNode[] = node
      ? (this.#take(nodeId(node)) ?? (await this.explorer.children(node)))
      : this.accounts.all.map((account) => ({ kind: 'account', account }));
    return this.#orBefore(node, children).map((child) => this.#same(child));
  }

  #take(id: string): ExplorerNode[] | undefined {
    const fetched = this.#fetched.get(id);
    this.#fetched.delete(id);
    return fetched;
  }

  /** What was there before stays, with its age, while a service cannot be reached. */
  #orBefore(node: ExplorerNode | undefined, children: ExplorerNode[]): ExplorerNode[] {
    const id = node ? nodeId(node) : '';
    const [first] = children;
    const isAway =
      first?.kind === 'problem' &&
      (first.problem.kind === 'unreachable' || first.problem.kind === 'throttled');
    const before = this.#lists.get(id);
    if (!isAway) {
      this.#remember(id, children);
      this.#forget(before?.children ?? [], children);
    } else if (before) return [{ ...first, asOf: before.at }, ...before.children];
    return children;
  }

  /** One object for each id: by it the view knows an item again, keeps it expanded and refreshes it in place. */
  #same<Kept extends ExplorerNode>(node: Kept): Kept {
    const id = nodeId(node);
    const known = this.#nodes.get(id);
    if (known === undefined) {
      this.#nodes.set(id, node);
      return node;
    }
    return Object.assign(known, node) as Kept;
  }

  #remember(id: string, children: ExplorerNode[]): readonly string[] {
    const facts = children.map(factsOf);
    this.#lists.set(id, { children, at: new Date(), facts });
    return facts;
  }

  /** What is gone is not kept, with all below it: a window may be open for weeks. */
  #forget(before: readonly ExplorerNode[], children: readonly ExplorerNode[]): void {
    const there = new Set(children.map(nodeId));
    const gone = new Set(before.map(nodeId).filter((id) => !there.has(id)));
    if (gone.size === 0) return;
    for (const map of [this.#nodes, this.#lists, this.#expanded, this.#fetched]) {
      for (const id of map.keys()) if (isBelow(id, gone)) map.delete(id);
    }
  }

  /** Everything, or one node with what is below it. */
  refresh(node?: ExplorerNode): void {
    this.#fetched.clear();
    if (node === undefined) this.explorer.forget();
    this.#changed.fire(node);
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#disposables.dispose();
  }

  /** Blobs and files travel as the URIs that editors open. */
  #drag(nodes: readonly ExplorerNode[], data: DataTransfer): void {
    const uris = nodes.flatMap((node) =>
      node.kind === 'blob' || (node.kind === 'file' && !node.file.isDirectory)
        ? remoteUri(node).toString()
        : [],
    );
    if (uris.length > 0) data.set(uriList, new DataTransferItem(uris.join('\r\n')));
  }

  async #drop(node: ExplorerNode | undefined, data: DataTransfer): Promise<void> {
    const text = (await data.get(uriList)?.asString()) ?? '';
    const uris = text
      .split(/\r?\n/)
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => Uri.parse(line))
      .filter(({ scheme }) => scheme !== remoteScheme);
    if (uris.length > 0)
      this.#dropped.fire({ account: node && 'account' in node ? node.account : undefined, uris });
  }

  #schedule(): void {
    if (this.#timer || !this.#isWatched()) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#isWatched()) return;
      const polled = [...this.#expanded.values()].filter(({ kind }) => polledKinds.has(kind));
      void Promise.allSettled(polled.map((node) => this.#look(node))).then(() => this.#schedule());
    }, liveRefreshMs);
  }

  /** Asks for a list again and refreshes what is different: a row that is made anew costs VS Code memory for good. */
  async #look(node: ExplorerNode): Promise<void> {
    const id = nodeId(node);
    const children = await this.explorer.children(node);
    const before = this.#lists.get(id);
    const ids = children.map(nodeId).join();
    if (before === undefined || before.children.map(nodeId).join() !== ids) {
      this.#fetched.set(id, children);
      this.#changed.fire(node);
      return;
    }
    const facts = this.#remember(id, children);
    const changed = children.filter((_, index) => facts[index] !== before.facts[index]);
    if (changed.length > 0) this.#changed.fire(changed.map((child) => this.#same(child)));
  }

  #isWatched(): boolean {
    return this.view.visible && window.state.focused && this.runs.liveRuns.length > 0;
  }
}

const polledKinds = new Set<ExplorerNode['kind']>(['pools', 'jobs', 'pool', 'job']);

/** All that a row tells, to compare. */
function factsOf(node: ExplorerNode): string {
  return JSON.stringify(node);
}

/** Whether an id, or one that it lies below, is among these. */
function isBelow(id: string, roots: ReadonlySet<string>): boolean {
  for (let end = id.length; end > 0; end = id.lastIndexOf('/', end - 1)) {
    if (roots.has(id.slice(0, end))) return true;
  }
  return false;
}

function parentOf(node: ExplorerNode): ExplorerNode | undefined {
  switch (node.kind) {
    case 'pools':
    case 'jobs':
    case 'containers':
      return { kind: 'account', account: node.account };
    case 'pool':
      return { kind: 'pools', account: node.account };
    case 'node':
      return { kind: 'pool', account: node.account, pool: { id: node.poolId } };
    case 'job':
      return { kind: 'jobs', account: node.account };
    case 'container':
      return { kind: 'containers', account: node.account };
    default:
      return undefined;
  }
}
