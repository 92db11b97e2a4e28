import { waitReasonOf } from '../../core/accounts/waitReason';
import { type ExplorerNode, isChanging, nodeId } from './explorerNode';
import { changingMs, followedMs, type ListAge } from './refreshPace';

/** A list of the view as it was loaded last. */
interface LoadedList extends ListAge {
  /** The row that the list is below. */
  readonly row: ExplorerNode;
  readonly children: ExplorerNode[];
  /** Each child as text by its id, to find those that are different. */
  readonly contents: ReadonlyMap<string, string>;
  /** When the service last answered, in milliseconds since 1970. */
  readonly answeredAt: number;
}

/** What a reload brought. */
export interface Reloaded {
  readonly row: ExplorerNode;
  readonly children: ExplorerNode[];
  /** Rows came, went or changed places. */
  readonly isReordered: boolean;
  /** Rows that look different. */
  readonly changed: ExplorerNode[];
  /** Rows whose lists took over rows of this list. VS Code removes those rows with this list, and must request them again. */
  readonly takenOverBy: ExplorerNode[];
}

/** The lists that the Accounts view has loaded, and which of them can be seen. */
export class LoadedLists {
  readonly #lists = new Map<string, LoadedList>();
  readonly #rows = new Map<string, ExplorerNode>();
  /** The row above each row. */
  readonly #parents = new Map<string, ExplorerNode>();
  readonly #collapsed = new Set<string>();
  /** Loads under way, with when they began. */
  readonly #loading = new Map<string, { since: number; reloaded: Promise<Reloaded> }>();
  /** When each list was last marked stale: a load that began earlier does not make it fresh. */
  readonly #markedAt = new Map<string, number>();
  readonly #failed = new Set<string>();
  /** Rows that were removed. VS Code may still ask for what is below them. */
  readonly #removed = new WeakSet<ExplorerNode>();
  /** Orders loads and marks. */
  #sequence = 0;

  constructor(
    private readonly load: (node: ExplorerNode) => Promise<ExplorerNode[]>,
    /** Whether something is at work on the list below a node, though no row of it says so. */
    private readonly isAtWork: (node: ExplorerNode) => boolean,
  ) {}

  /** The rows of the top level. Removes what belonged to rows that are no longer among them. */
  roots(nodes: readonly ExplorerNode[]): ExplorerNode[] {
    const kept = new Set(nodes.map(nodeId));
    const gone = [...this.#rows.keys()].filter((id) => !this.#parents.has(id) && !kept.has(id));
    this.#remove(gone);
    return nodes.map((node) => this.#rowOf(node));
  }

  /** The rows below a node, from the service only when they are not known or stale. */
  async children(node: ExplorerNode): Promise<ExplorerNode[]> {
    const list = this.#lists.get(nodeId(node));
    if (list && !list.isStale) return list.children;
    return (await this.reload(node)).children;
  }

  /** Asks the service for the rows below a node, which has none once it was removed. */
  reload(node: ExplorerNode): Promise<Reloaded> {
    const id = nodeId(node);
    const there = this.#loading.get(id);
    if (there && there.since > (this.#markedAt.get(id) ?? 0)) return there.reloaded;
    const row = this.#rows.get(id) ?? node;
    if (this.#removed.has(row)) return Promise.resolve(nothingBelow(row));
    const since = ++this.#sequence;
    const reloaded = this.#reload(this.#rowOf(row), since).finally(() => {
      if (this.#loading.get(id)?.since === since) this.#loading.delete(id);
    });
    this.#loading.set(id, { since, reloaded });
    return reloaded;
  }

  parentOf(node: ExplorerNode): ExplorerNode | undefined {
    const parent = this.#parents.get(nodeId(node)) ?? naturalParent(node);
    return parent && (this.#rows.get(nodeId(parent)) ?? parent);
  }

  /** Replaces rows of a list with the same rows that say more. Returns those that look different. */
  amend(parent: ExplorerNode, rows: readonly ExplorerNode[]): ExplorerNode[] {
    const list = this.#lists.get(nodeId(parent));
    if (list === undefined) return [];
    const contents = new Map(list.contents);
    const changed: ExplorerNode[] = [];
    for (const row of rows) {
      const id = nodeId(row);
      const content = JSON.stringify(row);
      if (!contents.has(id) || contents.get(id) === content) continue;
      contents.set(id, content);
      changed.push(this.#rowOf(row));
      this.#mark(id);
    }
    if (changed.length > 0) {
      const isChangingNow = list.children.some(isChanging) || this.isAtWork(list.row);
      this.#lists.set(nodeId(parent), { ...list, contents, isChanging: isChangingNow });
    }
    return changed;
  }

  /** VS Code shows a list that it has shown before without asking for it: an old one is refreshed. */
  expand(node: ExplorerNode): void {
    const id = nodeId(node);
    this.#collapsed.delete(id);
    const list = this.#lists.get(id);
    if (list && Date.now() - list.loadedAt > changingMs) this.#mark(id);
  }

  collapse(node: ExplorerNode): void {
    this.#collapsed.add(nodeId(node));
  }

  /** The lists whose rows are expanded, all the way up. */
  shown(): LoadedList[] {
    return [...this.#lists.values()].filter(
      ({ row }) => !this.#isHidden(row) && !this.#failed.has(nodeId(row)),
    );
  }

  /** Has all lists loaded again, or those below a node. */
  markStale(node?: ExplorerNode): void {
    const roots = node && new Set([nodeId(node)]);
    for (const id of [...this.#lists.keys(), ...this.#loading.keys()])
      if (roots === undefined || isBelow(id, roots)) this.#mark(id);
    this.#failed.clear();
  }

  /** Has lists loaded again that are older than the pace of changing ones. */
  markOlderStale(): void {
    const now = Date.now();
    for (const [id, { loadedAt }] of this.#lists) if (now - loadedAt > changingMs) this.#mark(id);
  }

  /** Has the lists of an account loaded again now, and often for a while. */
  follow(accountId: string): void {
    const roots = new Set([accountId]);
    const followedUntil = Date.now() + followedMs;
    for (const [id, list] of this.#lists) {
      if (!isBelow(id, roots)) continue;
      this.#lists.set(id, { ...list, followedUntil });
      this.#mark(id);
    }
  }

  async #reload(row: ExplorerNode, since: number): Promise<Reloaded> {
    const id = nodeId(row);
    let loaded: ExplorerNode[];
    try {
      loaded = await this.load(row);
    } catch (error) {
      // An unexpected error is reported once, not every few seconds.
      this.#failed.add(id);
      throw error;
    }
    // The row was removed while its list was loaded: a stored list would be reloaded forever.
    if (this.#removed.has(row)) return nothingBelow(row);
    const before = this.#lists.get(id);
    const children = withRowsBefore(loaded, before).map((child) => this.#rowOf(child));
    const contents = new Map(children.map((child) => [nodeId(child), JSON.stringify(child)]));
    const isAnswer = children[0]?.kind !== 'problem' || children[0].asOf === undefined;
    for (const child of children) this.#parents.set(nodeId(child), row);
    this.#lists.set(id, {
      row,
      children,
      contents,
      answeredAt: isAnswer ? Date.now() : (before?.answeredAt ?? 0),
      loadedAt: Date.now(),
      isChanging: children.some(isChanging) || this.isAtWork(row),
      isStale: (this.#markedAt.get(id) ?? 0) > since,
      followedUntil: before?.followedUntil ?? 0,
    });
    const ids = [...contents.keys()];
    const idsBefore = [...(before?.contents.keys() ?? [])];
    const lost = idsBefore.filter((childId) => !contents.has(childId));
    const takers = new Map(lost.map((childId) => [childId, this.#takeOver(childId, id)]));
    this.#remove(lost.filter((childId) => takers.get(childId) === undefined));
    const changed = children.filter((child) => {
      const childId = nodeId(child);
      return contents.get(childId) !== before?.contents.get(childId);
    });
    // What is below a row that changed is likely to have changed with it.
    for (const child of changed) this.#mark(nodeId(child));
    const isReordered = ids.join('\n') !== idsBefore.join('\n');
    const takenOverBy = [...new Set(takers.values())].filter((taker) => taker !== undefined);
    return { row, children, changed, isReordered, takenOverBy };
  }

  #mark(id: string): void {
    const list = this.#lists.get(id);
    if (list === undefined && !this.#loading.has(id)) return;
    this.#markedAt.set(id, ++this.#sequence);
    if (list && !list.isStale) this.#lists.set(id, { ...list, isStale: true });
  }

  /** One object for each id, with the newest contents: by the object VS Code knows a row again and keeps it expanded. */
  #rowOf<Kept extends ExplorerNode>(node: Kept): Kept {
    const id = nodeId(node);
    const known = this.#rows.get(id) as Kept | undefined;
    if (known === undefined) {
      this.#rows.set(id, node);
      return node;
    }
    if (known === node) return node;
    for (const name of Object.keys(known)) if (!(name in node)) Reflect.deleteProperty(known, name);
    return Object.assign(known, node);
  }

  #isHidden(row: ExplorerNode): boolean {
    for (let above: ExplorerNode | undefined = row; above; above = this.#parents.get(nodeId(above))) {
      if (this.#collapsed.has(nodeId(above))) return true;
    }
    return false;
  }

  /**
   * Puts a row that a list lost below another list that has it, as when a task moves from one group of its job to another,
   * in whatever order the groups are loaded. Returns the row above; undefined if no other list has the row, or only lists that
   * are removed (`gone`) have it.
   */
  #takeOver(
    id: string,
    formerListId: string,
    gone: ReadonlySet<string> = new Set(),
  ): ExplorerNode | undefined {
    for (const [listId, { row, contents }] of this.#lists) {
      if (listId === formerListId || !contents.has(id) || isBelow(listId, gone)) continue;
      this.#parents.set(id, row);
      return row;
    }
    return undefined;
  }

  /** Removes rows that no longer exist, and their descendants: a window may be open for weeks. */
  #remove(ids: readonly string[]): void {
    if (ids.length === 0) return;
    const gone = new Set(ids);
    // The id of a task does not begin with that of its group.
    for (const id of gone) {
      for (const childId of this.#lists.get(id)?.contents.keys() ?? [])
        if (!isBelow(childId, gone) && !this.#takeOver(childId, id, gone)) gone.add(childId);
    }
    for (const [id, row] of this.#rows) if (isBelow(id, gone)) this.#removed.add(row);
    const stores = [
      ...[this.#rows, this.#lists, this.#parents, this.#loading],
      ...[this.#markedAt, this.#collapsed, this.#failed],
    ];
    for (const store of stores) {
      for (const id of store.keys()) if (isBelow(id, gone)) store.delete(id);
    }
  }
}

function nothingBelow(row: ExplorerNode): Reloaded {
  return { row, children: [], isReordered: false, changed: [], takenOverBy: [] };
}

/** While a service cannot be reached, or answers with errors of its own, the rows loaded before stay, below the problem. */
function withRowsBefore(loaded: ExplorerNode[], before: LoadedList | undefined): ExplorerNode[] {
  const [first] = loaded;
  if (first?.kind !== 'problem' || before === undefined) return loaded;
  if (waitReasonOf(first.problem) !== 'connection') return loaded;
  const rows = before.children.filter((child) => child.kind !== 'problem' || child.asOf === undefined);
  return [{ ...first, asOf: new Date(before.answeredAt) }, ...rows];
}

/** Whether an id is one of these, or lies below one. */
function isBelow(id: string, roots: ReadonlySet<string>): boolean {
  for (let end = id.length; end > 0; end = id.lastIndexOf('/', end - 1)) {
    if (roots.has(id.slice(0, end))) return true;
  }
  return false;
}

/** The row above one that was not loaded with a list, as far as its own data tells. */
function naturalParent(node: ExplorerNode): ExplorerNode | undefined {
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
    default:
      return undefined;
  }
}
