import { EventEmitter, type TreeDataProvider, type TreeItem, type TreeView, window } from 'vscode';
import type { Accounts } from './accounts';
import { DisposableStore } from './disposable';
import { type Explorer, type ExplorerNode, nodeId } from './explorer';
import { treeItem } from './explorerItems';
import type { Runs } from './runs';
import { section } from './settings';

/** While a run is worked on, what is expanded is looked at again this often. */
const liveRefreshMs = 4_000;

/** The Accounts view. Refreshes what is expanded while a run is active and the view can be seen. */
export class Tree implements TreeDataProvider<ExplorerNode> {
  readonly #changed = new EventEmitter<ExplorerNode | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #disposables = new DisposableStore();
  readonly #expanded = new Map<string, ExplorerNode>();
  readonly view: TreeView<ExplorerNode>;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly accounts: Accounts,
    private readonly explorer: Explorer,
    private readonly runs: Runs,
  ) {
    this.#disposables.add(this.#changed);
    this.view = this.#disposables.add(
      window.createTreeView(`${section}.accounts`, {
        treeDataProvider: this,
        showCollapseAll: true,
        canSelectMany: true,
      }),
    );
    this.#disposables.add(accounts.onChanged(() => this.refresh()));
    this.#disposables.add(
      this.view.onDidExpandElement(({ element }) => this.#expanded.set(nodeId(element), element)),
    );
    this.#disposables.add(
      this.view.onDidCollapseElement(({ element }) => this.#expanded.delete(nodeId(element))),
    );
    this.#disposables.add(this.view.onDidChangeVisibility(() => this.#schedule()));
    this.#disposables.add(window.onDidChangeWindowState(() => this.#schedule()));
    this.#disposables.add(runs.onChanged(() => this.#schedule()));
  }

  getTreeItem(node: ExplorerNode): TreeItem {
    return treeItem(node);
  }

  async getChildren(node?: ExplorerNode): Promise<ExplorerNode[]> {
    if (node) return this.explorer.children(node);
    return this.accounts.all.map((account) => ({ kind: 'account', account }));
  }

  /** Everything, or one node with what is below it. */
  refresh(node?: ExplorerNode): void {
    if (node === undefined) this.explorer.forget();
    this.#changed.fire(node);
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#disposables.dispose();
  }

  #schedule(): void {
    if (this.#timer || !this.#isWatched()) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#isWatched()) return;
      for (const node of this.#expanded.values()) {
        if (node.kind === 'pools' || node.kind === 'jobs' || node.kind === 'pool' || node.kind === 'job') {
          this.#changed.fire(node);
        }
      }
      this.#schedule();
    }, liveRefreshMs);
  }

  #isWatched(): boolean {
    return this.view.visible && window.state.focused && this.runs.liveRuns.length > 0;
  }
}
