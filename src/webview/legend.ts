import { hourStrip } from './hourStrip';
import type { Cell, Minute, Strings } from './messages';
import { styleOf } from './nodeStates';

/** Explains every mark that the map has now, with how many nodes have it. Returns the counts in words. */
export function drawLegend(
  legend: HTMLElement,
  cells: readonly Cell[],
  slotsPerNode: number,
  strings: Strings,
): string {
  const states = new Map<string, { cell: Cell; count: number }>();
  for (const cell of cells) {
    const key = cell.state;
    states.set(key, { cell, count: (states.get(key)?.count ?? 0) + 1 });
  }
  const counts = [...states.values()].map(({ cell, count }) => ({ cell, text: `${cell.word}: ${count}` }));
  const dedicated = cells.filter(({ isDedicated }) => isDedicated).length;
  const failed = cells.filter(({ state, startTaskFailed }) => startTaskFailed && state !== 'starttaskfailed');
  const items = [
    ...counts.map(({ cell, text }) =>
      item(sample(`cell ${styleOf(cell).name} plain`, styleOf(cell).mark), text),
    ),
    ...(failed.length > 0
      ? [item(sample('cell plain start-failed', '✕'), `${strings.startTaskFailed}: ${failed.length}`)]
      : []),
    item(sample('cell spot bare', ''), `${strings.spot}: ${cells.length - dedicated}`),
    item(sample('cell dedicated bare', ''), `${strings.dedicated}: ${dedicated}`),
    ...(slotsPerNode > 1 ? [item(slotSample(), strings.slotLegend)] : []),
    item(hourSample(), strings.hourLegend),
    ...minutesIn(cells).map((minute) => item(minuteSample(minute), strings.minutes[minute])),
  ];
  legend.replaceChildren(...(cells.length > 0 ? items : []));
  return counts.map(({ text }) => text).join(', ');
}

/** What the strips show now, without what the states explain already by the same color. */
function minutesIn(cells: readonly Cell[]): Exclude<Minute, ' '>[] {
  const all = new Set(cells.flatMap(({ hour }) => [...hour]));
  return (['i', 'r', 's', 'f', 'g', '?'] as const).filter((minute) => all.has(minute));
}

function item(drawn: HTMLElement, text: string): HTMLElement {
  const made = document.createElement('li');
  drawn.setAttribute('aria-hidden', 'true');
  made.append(drawn, ` ${text}`);
  return made;
}

function sample(className: string, mark: string): HTMLElement {
  const made = document.createElement('span');
  made.className = className;
  made.textContent = mark;
  return made;
}

function slotSample(): HTMLElement {
  const made = sample('slots', '');
  made.append(sample('slot busy', ''), sample('slot', ''));
  return made;
}

function hourSample(): HTMLElement {
  const made = sample('hour-sample', '');
  made.append(hourStrip(`${' '.repeat(10)}${'s'.repeat(5)}${'r'.repeat(25)}${'i'.repeat(20)}`));
  return made;
}

function minuteSample(minute: Minute): HTMLElement {
  const made = sample('hour-sample short', '');
  made.append(hourStrip(minute));
  return made;
}
