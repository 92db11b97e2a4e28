import { type ExplorerNode, type ListName, nodeId } from './explorerNode';
import type { ListView } from './listView';
import { fullLabel } from './rowLabels';

/** A list of which the service has sent some or all items. */
export interface ReadList {
  readonly parent: ExplorerNode;
  readonly list: ListName;
  /** A row for each item that was read. */
  readonly all: readonly ExplorerNode[];
  /** The list was too long to be read in full. */
  readonly isCut: boolean;
  /** How many items there are, if not all were read. Infinite where that is not known. */
  readonly total?: number;
}

/** The rows that a list shows now, and a row that describes what is left out. */
export function listRows(
  { shown, filter }: Pick<ListView, 'shown' | 'filter'>,
  { parent, list, all, isCut, total }: ReadList,
): ExplorerNode[] {
  const owner = nodeId(parent);
  const wanted = filter.toLowerCase();
  const matching = wanted === '' ? all : all.filter((node) => fullLabel(node).toLowerCase().includes(wanted));
  const rows = matching.slice(0, shown);
  const count = total ?? matching.length;
  if (count > rows.length) {
    const isKnown = !isCut && Number.isFinite(count);
    return [...rows, { kind: 'more', parent, shown: rows.length, total: isKnown ? count : undefined }];
  }
  if (isCut) return [...rows, { kind: 'cut', owner, list, read: all.length }];
  return rows.length > 0 ? rows : [{ kind: 'empty', owner, list, isFiltered: wanted !== '' }];
}
