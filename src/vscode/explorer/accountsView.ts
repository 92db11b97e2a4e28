import { EventEmitter, type TreeItem, window } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { DisposableStore } from '../disposable';
import type { LastingTreeView } from '../lastingTreeView';
import type { Runs } from '../runs/runs';
import type { ExplorerData } from './explorerData';
import { type ExplorerNode, type NodeOf, nodeId } from './explorerNode';
import { LoadedLists } from './loadedLists';
import { dueAt, nextRequestsAt, type Watch } from './refreshPace';
import { renderNode } from './renderNode';

/** Runs that begin or end come in quick succession: the view follows after this pause. */
const afterRunMs = 300;

/**
 * The Accounts view. What is expanded is kept current while the view can be seen: at once after an action and when a
 * run begins or ends, otherwise at the pace of `refreshPace.ts`.
 */
export class AccountsView {
  readonly #changed = new EventEmitter<ExplorerNode | ExplorerNode[] | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #disposables = new DisposableStore();
  readonly #lists: LoadedLists;
  #timer: NodeJS.Timeout | undefined;
  #runTimer: NodeJS.Timeout | undefined;
  /** No request before this time, in milliseconds since 1970. */
  #notBefore = 0;
  #isPolling = false;

  constructor(
    private readonly accounts: Accounts,
    private readonly data: ExplorerData,
    private readonly runs: Runs,
    readonly view: LastingTreeView<ExplorerNode>,
  ) {
    this.#lists = new LoadedLists(
      (node) => data.children(node),
      (node) => this.#isAtWork(node),
    );
    data.onCounted = (parent, rows) => {
      const changed = this.#lists.amend(parent, rows);
      if (changed.length > 0) this.#changed.fire(changed);
      this.#schedule();
    };
    this.#disposables.add(this.#changed);
    this.#disposables.add(accounts.onChanged(() => this.refresh()));
    this.#disposables.add(
      this.view.onDidExpandElement(({ element }) => {
        this.#lists.expand(element);
        this.#schedule();
      }),
    );
    this.#disposables.add(this.view.onDidCollapseElement(({ element }) => this.#lists.collapse(element)));
    this.#disposables.add(this.view.onDidChangeVisibility(() => this.#refreshAgain()));
    this.#disposables.add(window.onDidChangeWindowState(() => this.#refreshAgain()));
    this.#disposables.add(
      runs.onChanged((runId) => {
        if (runId === undefined) this.#runsChanged();
      }),
    );
  }

  getTreeItem(node: ExplorerNode): TreeItem {
    return renderNode(node, this.data.filterOf(node));
  }

  getParent(node: ExplorerNode): ExplorerNode | undefined {
    return this.#lists.parentOf(node);
  }

  /** Returns the rows as they were loaded last. VS Code may ask for them again without a request to the service. */
  async getChildren(node?: ExplorerNode): Promise<ExplorerNode[]> {
    if (node === undefined) {
      const { all, current } = this.accounts;
      const isInUse = ({ id }: AccountRecord) => all.length > 1 && id === current?.id;
      return this.#lists.roots(
        all.map((account) => ({ kind: 'account', account, isInUse: isInUse(account) })),
      );
    }
    const children = await this.#lists.children(node);
    this.#schedule();
    return children;
  }

  /** Selects a compute node, wherever it is in its list. False when it no longer exists. */
  async revealComputeNode(pool: NodeOf<'pool'>, id: string): Promise<boolean> {
    if (!(await this.data.showComputeNode(pool, id))) return false;
    const shownPool = await this.#showPool(pool);
    if (shownPool === undefined) return true;
    this.#lists.markStale(shownPool);
    const { row, children } = await this.#lists.reload(shownPool);
    this.#changed.fire(row);
    const found = children.find((child) => child.kind === 'node' && child.node.id === id);
    if (found) await this.view.reveal(found, { select: true, focus: true, expand: false });
    return true;
  }

  /**
   * The row of a pool, with which its list is changed to show it: it may be filtered, or end before the pool. Undefined if
   * the pool was deleted meanwhile. Throws `noAccount` if the account was removed.
   */
  async #showPool(pool: NodeOf<'pool'>): Promise<ExplorerNode | undefined> {
    const poolId = nodeId(pool);
    const findIn = (rows: readonly ExplorerNode[]) => rows.find((row) => nodeId(row) === poolId);
    const { id } = this.accounts.accountOf({ accountId: pool.account.id });
    // From the top: the account may have been removed and added again since, with new rows.
    const account = (await this.getChildren()).find((row) => nodeId(row) === id);
    const groups = account ? await this.#lists.children(account) : [];
    const pools = groups.find((row) => row.kind === 'pools');
    if (pools === undefined) return undefined;
    const shown = findIn(await this.#lists.children(pools));
    if (shown) return shown;
    this.data.filter(pools, '');
    for (;;) {
      this.#lists.markStale(pools);
      const { row, children } = await this.#lists.reload(pools);
      this.#changed.fire(row);
      const found = findIn(children);
      // A problem has the rows of the former list below it.
      const isComplete = children[0]?.kind === 'problem' || children.at(-1)?.kind !== 'more';
      if (found || isComplete) return found;
      this.data.showMore(pools);
    }
  }

  /** Loads everything again, or what is below a node. Accounts are connected anew when everything is. */
  refresh(node?: ExplorerNode): void {
    if (node === undefined) this.data.disconnect();
    this.#lists.markStale(node);
    this.#changed.fire(node);
    this.#schedule();
  }

  /** Refreshes an account after an action on it, and follows the effects of the action for a while. */
  update(account: AccountRecord): void {
    this.#lists.follow(account.id);
    this.#notBefore = 0;
    this.#schedule();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#runTimer);
    this.#disposables.dispose();
  }

  #runsChanged(): void {
    clearTimeout(this.#runTimer);
    this.#runTimer = setTimeout(() => {
      for (const account of this.accounts.all) this.update(account);
    }, afterRunMs);
  }

  /** Whether a run of this window changes the list below this node. */
  #isAtWork(node: ExplorerNode): boolean {
    if (node.kind === 'task') return node.task.state === 'running' || node.task.state === 'preparing';
    if (node.kind !== 'container') return false;
    const { name } = node.container;
    return this.runs.liveRuns.some(({ manifest }) => name.startsWith(`transcode-${manifest.runId}`));
  }

  get #watch(): Watch {
    if (!this.view.visible) return 'hidden';
    return window.state.focused ? 'focused' : 'unfocused';
  }

  /** Refreshes what is out of date when the view is shown again. */
  #refreshAgain(): void {
    if (this.#watch === 'focused') this.#lists.markOlderStale();
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#isPolling) return;
    const due = Math.min(...this.#lists.shown().map((list) => dueAt(list, this.#watch)));
    if (!Number.isFinite(due)) return;
    const at = Math.max(due, this.#notBefore);
    this.#timer = setTimeout(() => background(this.#poll()), Math.max(0, at - Date.now()));
  }

  async #poll(): Promise<void> {
    this.#isPolling = true;
    const sentAt = Date.now();
    const before = this.data.requests;
    try {
      const due = this.#lists.shown().filter((list) => dueAt(list, this.#watch) <= sentAt);
      await Promise.all(due.map(({ row }) => this.#refreshList(row)));
    } finally {
      this.#isPolling = false;
      this.#notBefore = nextRequestsAt(sentAt, this.data.requests - before);
      this.#schedule();
    }
  }

  /**
   * Fires only for rows that are different: each new row takes memory of VS Code for as long as the window is open.
   */
  async #refreshList(node: ExplorerNode): Promise<void> {
    const { row, isReordered, changed, takenOverBy } = await this.#lists.reload(node);
    if (isReordered) this.#changed.fire([row, ...takenOverBy]);
    else if (changed.length > 0) this.#changed.fire(changed);
  }
}
