import {
  type Disposable,
  type Event,
  EventEmitter,
  type TreeDataProvider,
  type TreeView,
  type TreeViewExpansionEvent,
  type TreeViewOptions,
  type TreeViewVisibilityChangeEvent,
  type ViewBadge,
  version,
  window,
} from 'vscode';
import { DisposableStore } from './disposable';

/** Rows that one tree view of VS Code renders before another takes its place: they take about 1.3 MB. */
const defaultMaxRendered = 5_000;

/**
 * The first minor version of VS Code 1 in which a view can be registered again before the tree view that it had is disposed:
 * https://github.com/microsoft/vscode/pull/295996, or a few versions later.
 */
const minMinorVersion = 112;

/**
 * A tree view that may be open for weeks. VS Code keeps an object for each row that a tree view ever rendered, until the tree
 * view is disposed (`_createTreeNode` in `extHostTreeViews.ts`). After many rows, this answers a change of the rows with
 * another tree view in place of the first: by the ids of rows, which they need, VS Code keeps what is expanded and the place
 * in the list. Extensions would no longer learn what is selected, so a view is replaced only while nothing is.
 */
export class LastingTreeView<Row> implements Disposable {
  readonly #expanded = new EventEmitter<TreeViewExpansionEvent<Row>>();
  readonly onDidExpandElement = this.#expanded.event;
  readonly #collapsed = new EventEmitter<TreeViewExpansionEvent<Row>>();
  readonly onDidCollapseElement = this.#collapsed.event;
  readonly #visibilityChanged = new EventEmitter<TreeViewVisibilityChangeEvent>();
  readonly onDidChangeVisibility = this.#visibilityChanged.event;
  readonly #disposables = new DisposableStore();
  #view: Created<Row>;
  #rendered = 0;
  #badge: ViewBadge | undefined;

  constructor(
    private readonly id: string,
    private readonly options: TreeViewOptions<Row>,
    private readonly maxRendered = defaultMaxRendered,
  ) {
    for (const emitter of [this.#expanded, this.#collapsed, this.#visibilityChanged])
      this.#disposables.add(emitter);
    const onChanged = options.treeDataProvider.onDidChangeTreeData?.((rows) => {
      if (this.#mayReplace()) this.#replace();
      else this.#view.changed.fire(rows);
    });
    if (onChanged) this.#disposables.add(onChanged);
    this.#view = this.#create();
  }

  get visible(): boolean {
    return this.#view.tree.visible;
  }

  /** The number on the icon of the view, and what it means. */
  set badge(badge: ViewBadge | undefined) {
    this.#badge = badge;
    this.#view.tree.badge = badge;
  }

  get selection(): readonly Row[] {
    return this.#view.tree.selection;
  }

  reveal(...args: Parameters<TreeView<Row>['reveal']>): Thenable<void> {
    return this.#view.tree.reveal(...args);
  }

  dispose(): void {
    this.#view.disposables.dispose();
    this.#disposables.dispose();
  }

  #mayReplace(): boolean {
    return this.#rendered >= this.maxRendered && this.selection.length === 0 && canReplaceViews();
  }

  #replace(): void {
    const { disposables } = this.#view;
    this.#rendered = 0;
    this.#view = this.#create();
    disposables.dispose();
    this.#view.tree.badge = this.#badge;
  }

  #create(): Created<Row> {
    const disposables = new DisposableStore();
    const changed = disposables.add(new EventEmitter<Changed<Row>>());
    const treeDataProvider = this.#counted(changed.event);
    const tree = disposables.add(window.createTreeView(this.id, { ...this.options, treeDataProvider }));
    disposables.add(tree.onDidExpandElement((event) => this.#expanded.fire(event)));
    disposables.add(tree.onDidCollapseElement((event) => this.#collapsed.fire(event)));
    disposables.add(tree.onDidChangeVisibility((event) => this.#visibilityChanged.fire(event)));
    return { tree, changed, disposables };
  }

  /** The rows of the options, with their number. */
  #counted(onDidChangeTreeData: Event<Changed<Row>>): TreeDataProvider<Row> {
    const { treeDataProvider: rows } = this.options;
    return {
      onDidChangeTreeData,
      getChildren: (row) => rows.getChildren(row),
      getTreeItem: (row) => {
        this.#rendered++;
        return rows.getTreeItem(row);
      },
      getParent: rows.getParent && ((row) => rows.getParent?.(row)),
      resolveTreeItem:
        rows.resolveTreeItem && ((item, row, token) => rows.resolveTreeItem?.(item, row, token)),
    };
  }
}

type Changed<Row> =
  NonNullable<TreeDataProvider<Row>['onDidChangeTreeData']> extends Event<infer Rows> ? Rows : never;

interface Created<Row> {
  readonly tree: TreeView<Row>;
  /** Fires when rows of this tree have changed. */
  readonly changed: EventEmitter<Changed<Row>>;
  readonly disposables: DisposableStore;
}

function canReplaceViews(): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 1 || minor >= minMinorVersion;
}
