import {
  type CancellationToken,
  type Disposable,
  EventEmitter,
  type ProviderResult,
  type TreeDataProvider,
  type TreeItem,
} from 'vscode';
import type { Lazy } from './lazy';

type Changed<Row> = Row | Row[] | undefined;

/** What a lazy tree view asks for its rows. */
interface Rows<Row> {
  readonly onDidChangeTreeData: (listener: (rows: Changed<Row>) => unknown) => Disposable;
  getChildren(row?: Row): ProviderResult<Row[]>;
  getTreeItem(row: Row): TreeItem | Thenable<TreeItem>;
  getParent(row: Row): ProviderResult<Row>;
  resolveTreeItem?(item: TreeItem, row: Row, token: CancellationToken): ProviderResult<TreeItem>;
}

/** The rows of a tree view. They are loaded when VS Code first asks for them: when the view is first shown. */
export class LazyRows<Row> implements TreeDataProvider<Row>, Disposable {
  readonly #changed = new EventEmitter<Changed<Row>>();
  readonly onDidChangeTreeData = this.#changed.event;
  #listening: Disposable | undefined;

  /** Undefined where the rows come with their tooltips: otherwise VS Code shows each tooltip as loading first. */
  readonly resolveTreeItem?: NonNullable<TreeDataProvider<Row>['resolveTreeItem']>;

  constructor(
    private readonly rows: Lazy<Rows<Row>>,
    { hasLateTooltips = false }: { readonly hasLateTooltips?: boolean } = {},
  ) {
    if (!hasLateTooltips) return;
    this.resolveTreeItem = async (item, row, token) =>
      (await (await this.#get()).resolveTreeItem?.(item, row, token)) ?? item;
  }

  async getChildren(row?: Row): Promise<Row[] | null | undefined> {
    return (await this.#get()).getChildren(row);
  }

  async getTreeItem(row: Row): Promise<TreeItem> {
    return (await this.#get()).getTreeItem(row);
  }

  async getParent(row: Row): Promise<Row | null | undefined> {
    return (await this.#get()).getParent(row);
  }

  dispose(): void {
    this.#listening?.dispose();
    this.#changed.dispose();
  }

  async #get(): Promise<Rows<Row>> {
    const rows = await this.rows.get();
    this.#listening ??= rows.onDidChangeTreeData((changed) => this.#changed.fire(changed));
    return rows;
  }
}
