import { hourStrip } from './hourStrip';
import type { Cell, Strings } from './messages';

interface Row {
  readonly row: HTMLTableRowElement;
  readonly cells: readonly HTMLTableCellElement[];
  shown: string;
}

/** The nodes as a table. Rows stay while their node does, so that the focus and a screen reader's place stay too. */
export class NodeTable {
  readonly #body: HTMLTableSectionElement;
  readonly #rows = new Map<string, Row>();

  constructor(
    private readonly table: HTMLTableElement,
    private readonly strings: Strings,
    private readonly reveal: (id: string) => void,
  ) {
    const head = table.createTHead().insertRow();
    const { node, state, kind, slots, hour } = strings;
    for (const name of [node, state, kind, slots, hour]) {
      const column = document.createElement('th');
      column.scope = 'col';
      column.textContent = name;
      head.append(column);
    }
    this.#body = table.createTBody();
  }

  set isHidden(hidden: boolean) {
    this.table.hidden = hidden;
  }

  show(cells: readonly Cell[], slotsPerNode: number): void {
    const ids = new Set(cells.map(({ id }) => id));
    for (const [id, { row }] of this.#rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    cells.forEach((cell, index) => {
      const row = this.#rowOf(cell.id);
      if (this.#body.rows[index] !== row.row)
        this.#body.insertBefore(row.row, this.#body.rows[index] ?? null);
      this.#fill(row, cell, slotsPerNode);
    });
  }

  #rowOf(id: string): Row {
    const known = this.#rows.get(id);
    if (known) return known;
    const row = document.createElement('tr');
    const cells = [0, 1, 2, 3, 4].map(() => row.insertCell());
    const button = document.createElement('button');
    button.className = 'link';
    button.textContent = id;
    button.addEventListener('click', () => this.reveal(id));
    cells[0]?.append(button);
    const made: Row = { row, cells, shown: '' };
    this.#rows.set(id, made);
    return made;
  }

  #fill(row: Row, cell: Cell, slotsPerNode: number): void {
    const content = JSON.stringify([cell, slotsPerNode]);
    if (content === row.shown) return;
    row.shown = content;
    const { startTaskFailed, dedicated, spot } = this.strings;
    const isFailed = cell.startTaskFailed && cell.state !== 'starttaskfailed';
    const [, state, kind, slots, hour] = row.cells;
    if (state) state.textContent = isFailed ? `${cell.word}, ${startTaskFailed}` : cell.word;
    if (kind) kind.textContent = cell.isDedicated ? dedicated : spot;
    if (slots) slots.textContent = `${cell.runningSlots}/${slotsPerNode}`;
    const text = document.createElement('span');
    text.textContent = cell.hourText;
    hour?.replaceChildren(hourStrip(cell.hour), text);
  }
}
