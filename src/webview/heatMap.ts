import type { Cell, Strings, ToHost, ToPage } from './messages';

declare function acquireVsCodeApi(): {
  postMessage(message: ToHost): void;
  getState(): { asTable?: boolean } | undefined;
  setState(state: { asTable?: boolean }): void;
};

/** Groups of states that are told apart by colour and by a mark, so that no meaning is in colour alone. */
const groups: Record<string, { name: string; mark: string }> = {
  idle: { name: 'idle', mark: '' },
  running: { name: 'running', mark: '▶' },
  creating: { name: 'starting', mark: '…' },
  starting: { name: 'starting', mark: '…' },
  rebooting: { name: 'starting', mark: '…' },
  reimaging: { name: 'starting', mark: '…' },
  waitingforstarttask: { name: 'starting', mark: '…' },
  starttaskfailed: { name: 'failed', mark: '✕' },
  unusable: { name: 'failed', mark: '✕' },
  unknown: { name: 'failed', mark: '?' },
  preempted: { name: 'gone', mark: '–' },
  offline: { name: 'gone', mark: '–' },
  leavingpool: { name: 'gone', mark: '–' },
  deallocated: { name: 'gone', mark: '–' },
  deallocating: { name: 'gone', mark: '–' },
};
const other = { name: 'starting', mark: '…' };

const vscode = acquireVsCodeApi();
const strings: Strings = JSON.parse(element('strings').textContent ?? '{}');
const map = element('map');
const legend = element('legend');
const details = element('details');
const status = element('status');
const table = element('table');
const toggle = element('toggle') as HTMLButtonElement;
let cells: readonly Cell[] = [];
let asTable = vscode.getState()?.asTable ?? false;
/** Index of the one cell that the Tab key comes to; arrows go on from there. */
let current = 0;

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`No element ${id}.`);
  return found;
}

window.addEventListener('message', ({ data }: MessageEvent<ToPage>) => {
  if (data.type === 'problem') {
    status.textContent = data.text;
    document.body.classList.add('stale');
    return;
  }
  document.body.classList.remove('stale');
  cells = data.cells;
  status.textContent = data.asOf;
  draw();
});

toggle.addEventListener('click', () => {
  asTable = !asTable;
  vscode.setState({ asTable });
  draw();
});

function draw(): void {
  drawLegend();
  toggle.textContent = asTable ? strings.asMap : strings.asTable;
  map.hidden = asTable || cells.length === 0;
  table.hidden = !asTable || cells.length === 0;
  element('empty').hidden = cells.length > 0;
  if (asTable) drawTable();
  else drawMap();
}

function drawLegend(): void {
  const counts = new Map<string, { cell: Cell; count: number }>();
  for (const cell of cells) counts.set(cell.state, { cell, count: (counts.get(cell.state)?.count ?? 0) + 1 });
  legend.replaceChildren(
    ...[...counts.values()].map(({ cell, count }) => {
      const item = document.createElement('li');
      const sample = document.createElement('span');
      paint(sample, cell);
      sample.setAttribute('aria-hidden', 'true');
      item.append(sample, ` ${cell.word}: ${count}`);
      return item;
    }),
  );
}

function paint(target: HTMLElement, cell: Cell): void {
  const { name, mark } = groups[cell.state] ?? other;
  target.className = `cell ${name}${cell.isDedicated ? ' dedicated' : ''}`;
  target.textContent = mark;
}

/** Cells are kept and painted anew: thousands of them change without a flicker and without losing the focus. */
function drawMap(): void {
  while (map.children.length > cells.length) map.lastElementChild?.remove();
  const added = document.createDocumentFragment();
  for (let index = map.children.length; index < cells.length; index++) {
    const cell = document.createElement('div');
    cell.setAttribute('role', 'option');
    cell.tabIndex = -1;
    added.append(cell);
  }
  map.append(added);
  current = Math.min(current, Math.max(cells.length - 1, 0));
  cells.forEach((cell, index) => {
    const target = map.children[index] as HTMLElement;
    paint(target, cell);
    target.tabIndex = index === current ? 0 : -1;
    target.dataset.index = String(index);
    target.setAttribute('aria-label', words(cell));
  });
}

function drawTable(): void {
  const head = document.createElement('tr');
  for (const name of [strings.node, strings.state, strings.kind, strings.tasks]) {
    const column = document.createElement('th');
    column.scope = 'col';
    column.textContent = name;
    head.append(column);
  }
  const rows = cells.map((cell) => {
    const row = document.createElement('tr');
    const button = document.createElement('button');
    button.textContent = cell.id;
    button.className = 'link';
    button.addEventListener('click', () => vscode.postMessage({ type: 'reveal', id: cell.id }));
    for (const content of [button, cell.word, kindOf(cell), String(cell.tasks)]) {
      const data = document.createElement('td');
      data.append(content);
      row.append(data);
    }
    return row;
  });
  const sections = [document.createElement('thead'), document.createElement('tbody')] as const;
  sections[0].append(head);
  sections[1].append(...rows);
  table.replaceChildren(...sections);
}

function kindOf({ isDedicated }: Cell): string {
  return isDedicated ? strings.dedicated : strings.spot;
}

function words(cell: Cell): string {
  return `${cell.id}, ${cell.word}, ${kindOf(cell)}, ${strings.tasks}: ${cell.tasks}`;
}

function cellOf(target: EventTarget | null): { cell: Cell; index: number } | undefined {
  const index = Number((target as HTMLElement | null)?.dataset?.index ?? Number.NaN);
  const cell = cells[index];
  return cell && { cell, index };
}

for (const event of ['mouseover', 'focusin'] as const) {
  map.addEventListener(event, ({ target }) => {
    const found = cellOf(target);
    if (found) details.textContent = words(found.cell);
  });
}

map.addEventListener('click', ({ target }) => {
  const found = cellOf(target);
  if (found) vscode.postMessage({ type: 'reveal', id: found.cell.id });
});

map.addEventListener('keydown', (event) => {
  const found = cellOf(event.target);
  if (found === undefined) return;
  if (event.key === 'Enter' || event.key === ' ') {
    event.preventDefault();
    vscode.postMessage({ type: 'reveal', id: found.cell.id });
    return;
  }
  const steps: Record<string, number> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -columns(),
    ArrowDown: columns(),
    Home: -found.index,
    End: cells.length - 1 - found.index,
  };
  const step = steps[event.key];
  const next = found.index + (step ?? 0);
  if (step === undefined || next < 0 || next >= cells.length) return;
  event.preventDefault();
  (map.children[current] as HTMLElement).tabIndex = -1;
  current = next;
  const target = map.children[next] as HTMLElement;
  target.tabIndex = 0;
  target.focus();
});

/** Cells in a line, as the page is laid out now. */
function columns(): number {
  const [first] = map.children as unknown as HTMLElement[];
  let count = 0;
  for (const cell of map.children as unknown as Iterable<HTMLElement>) {
    if (cell.offsetTop !== first?.offsetTop) break;
    count++;
  }
  return Math.max(count, 1);
}

vscode.postMessage({ type: 'ready' });
