import { gap, gridSize } from './grid';
import { hourStrip } from './hourStrip';
import { drawLegend } from './legend';
import type { Cell, Strings, ToHost, ToPage } from './messages';
import { styleOf } from './nodeStates';
import { NodeTable } from './nodeTable';

declare function acquireVsCodeApi(): {
  postMessage(message: ToHost): void;
  getState(): { asTable?: boolean } | undefined;
  setState(state: { asTable?: boolean }): void;
};

/** Milliseconds between two announcements of changes to a screen reader. */
const announceMs = 30_000;
/** Cells from this height on have room for their slots, and from the next for the last hour. */
const slotsFrom = 24;
const hourFrom = 34;
const maxSlotsDrawn = 8;

const vscode = acquireVsCodeApi();
const strings: Strings = JSON.parse(element('strings').textContent ?? '{}');
const map = element('map');
const legend = element('legend');
const details = element('details');
const status = element('status');
const hour = element('hour');
const announcement = element('announcement');
const toggle = element('toggle') as HTMLButtonElement;
const table = new NodeTable(element('table') as HTMLTableElement, strings, (id) =>
  post({ type: 'reveal', id }),
);
let cells: readonly Cell[] = [];
let slotsPerNode = 1;
let asTable = vscode.getState()?.asTable ?? false;
/** Index of the one cell that the Tab key reaches; arrow keys go on from there. */
let current = 0;
/** Id of the node whose details are shown. */
let detailed: string | undefined;
let announced = { text: '', at: 0 };

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`No element ${id}.`);
  return found;
}

function post(message: ToHost): void {
  vscode.postMessage(message);
}

window.addEventListener('message', ({ data }: MessageEvent<ToPage>) => {
  if (data.type === 'problem') {
    status.textContent = data.text;
    document.body.classList.add('stale');
    announce(data.text, true);
    return;
  }
  document.body.classList.remove('stale');
  cells = data.cells;
  slotsPerNode = data.slotsPerNode;
  status.textContent = data.asOf;
  hour.textContent = data.hour;
  draw();
});

toggle.addEventListener('click', () => {
  asTable = !asTable;
  vscode.setState({ asTable });
  draw();
});

new ResizeObserver(() => layOut()).observe(element('frame'));
window.addEventListener('resize', () => layOut());
// A node that gets the focus is scrolled into the part of the page that the details leave free.
new ResizeObserver(() => {
  document.documentElement.style.scrollPaddingBottom = `${details.offsetHeight + 4}px`;
}).observe(details);

function draw(): void {
  const counts = drawLegend(legend, cells, slotsPerNode, strings);
  announce(counts, false);
  toggle.textContent = asTable ? strings.asMap : strings.asTable;
  map.hidden = asTable || cells.length === 0;
  table.isHidden = !asTable || cells.length === 0;
  element('empty').hidden = cells.length > 0;
  details.hidden = asTable || cells.length === 0;
  if (asTable) table.show(cells, slotsPerNode);
  else drawMap();
  showDetails(cells.find(({ id }) => id === detailed));
}

/** Tells a screen reader how many nodes are in which state, when that has changed and some time has passed. */
function announce(text: string, isUrgent: boolean): void {
  if (text === announced.text || (!isUrgent && Date.now() - announced.at < announceMs)) return;
  announced = { text, at: Date.now() };
  announcement.textContent = text;
}

/** Cells are kept and painted anew: thousands of them change without a flicker and without losing the focus. */
function drawMap(): void {
  while (map.children.length > cells.length) map.lastElementChild?.remove();
  const added = document.createDocumentFragment();
  for (let index = map.children.length; index < cells.length; index++) added.append(newCell(index));
  map.append(added);
  current = Math.min(current, Math.max(cells.length - 1, 0));
  layOut();
}

function newCell(index: number): HTMLElement {
  const target = document.createElement('div');
  target.setAttribute('role', 'option');
  target.tabIndex = -1;
  target.dataset.index = String(index);
  return target;
}

/** Sizes the cells to the number of nodes and the width of the page, and paints what fits into them. */
function layOut(): void {
  if (map.hidden) return;
  const width = element('frame').clientWidth;
  const { top } = map.getBoundingClientRect();
  const free = window.innerHeight - top - window.scrollY - details.offsetHeight - 24;
  const { columns, height } = gridSize(cells.length, width, Math.max(free, 160));
  map.style.gap = `${gap}px`;
  map.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  map.style.gridAutoRows = `${height}px`;
  map.style.fontSize = `${Math.min(Math.max(height / 3, 8), 22)}px`;
  map.dataset.columns = String(columns);
  for (const [index, cell] of cells.entries()) paint(map.children[index] as HTMLElement, cell, index, height);
}

function paint(target: HTMLElement, cell: Cell, index: number, height: number): void {
  const { name, mark } = styleOf(cell);
  const flags = [cell.isDedicated ? 'dedicated' : 'spot', cell.startTaskFailed ? 'start-failed' : ''];
  target.className = ['cell', name, ...flags].filter(Boolean).join(' ');
  target.tabIndex = index === current ? 0 : -1;
  target.setAttribute('aria-label', words(cell));
  const parts: Node[] = [span('mark', cell.startTaskFailed ? '✕' : mark)];
  if (height >= slotsFrom && slotsPerNode > 1) parts.push(slots(cell));
  if (height >= hourFrom) parts.push(hourStrip(cell.hour));
  target.replaceChildren(...parts);
}

function slots({ runningSlots }: Cell): HTMLElement {
  if (slotsPerNode > maxSlotsDrawn) return span('slot-count', `${runningSlots}/${slotsPerNode}`);
  const drawn = span('slots', '');
  for (let index = 0; index < slotsPerNode; index++)
    drawn.append(span(index < runningSlots ? 'slot busy' : 'slot', ''));
  return drawn;
}

function span(className: string, text: string): HTMLElement {
  const made = document.createElement('span');
  made.className = className;
  made.textContent = text;
  return made;
}

/** A node in one sentence. */
function words(cell: Cell): string {
  return [
    cell.id,
    cell.word,
    cell.startTaskFailed && cell.state !== 'starttaskfailed' ? strings.startTaskFailed : '',
    cell.isDedicated ? strings.dedicated : strings.spot,
    strings.slotsOf.replace('{0}', String(cell.runningSlots)).replace('{1}', String(slotsPerNode)),
    cell.hourText,
  ]
    .filter(Boolean)
    .join(', ');
}

function showDetails(cell: Cell | undefined): void {
  detailed = cell?.id;
  element('details-text').textContent = cell ? words(cell) : '';
  const strip = element('details-hour');
  strip.hidden = cell === undefined;
  if (cell) strip.replaceChildren(hourStrip(cell.hour));
  element('details-reveal').hidden = cell === undefined;
  element('details-log').hidden = !cell?.startTaskFailed;
}

element('details-reveal').addEventListener('click', () => detailed && post({ type: 'reveal', id: detailed }));
element('details-log').addEventListener(
  'click',
  () => detailed && post({ type: 'showStartTaskLog', id: detailed }),
);

function cellOf(target: EventTarget | null): { cell: Cell; index: number } | undefined {
  const found = (target as HTMLElement | null)?.closest<HTMLElement>('[data-index]');
  const index = Number(found?.dataset.index ?? Number.NaN);
  const cell = cells[index];
  return cell && { cell, index };
}

for (const event of ['mouseover', 'focusin'] as const) {
  map.addEventListener(event, ({ target }) => {
    const found = cellOf(target);
    if (found) showDetails(found.cell);
  });
}

map.addEventListener('click', ({ target }) => {
  const found = cellOf(target);
  if (found === undefined) return;
  focusCell(found.index);
  post({ type: 'reveal', id: found.cell.id });
});

map.addEventListener('keydown', (event) => {
  const found = cellOf(event.target);
  if (found === undefined) return;
  if (event.key === 'Enter' || event.key === ' ') {
    event.preventDefault();
    post({ type: 'reveal', id: found.cell.id });
    return;
  }
  const columns = Number(map.dataset.columns ?? 1);
  const page = columns * 10;
  const last = cells.length - 1;
  const targets: Record<string, number> = {
    ArrowLeft: found.index - 1,
    ArrowRight: found.index + 1,
    ArrowUp: found.index - columns,
    ArrowDown: found.index + columns,
    PageUp: Math.max(found.index - page, found.index % columns),
    PageDown: Math.min(found.index + page, last),
    Home: 0,
    End: last,
  };
  const next = targets[event.key];
  if (next === undefined || next < 0 || next > last) return;
  event.preventDefault();
  focusCell(next);
});

function focusCell(index: number): void {
  (map.children[current] as HTMLElement).tabIndex = -1;
  current = index;
  const target = map.children[index] as HTMLElement;
  target.tabIndex = 0;
  target.focus();
}

post({ type: 'ready' });
