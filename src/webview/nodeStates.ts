import type { Cell, Minute } from './messages';

/** States that look alike are told apart by their word; groups by color and by a mark, so that color alone means nothing. */
export interface StateLook {
  readonly name: 'idle' | 'running' | 'starting' | 'failed' | 'gone';
  readonly mark: string;
}

const looks: Record<string, StateLook> = {
  idle: { name: 'idle', mark: '○' },
  running: { name: 'running', mark: '▶' },
  starttaskfailed: { name: 'failed', mark: '✕' },
  unusable: { name: 'failed', mark: '✕' },
  unknown: { name: 'failed', mark: '?' },
  preempted: { name: 'gone', mark: '–' },
  offline: { name: 'gone', mark: '–' },
  leavingpool: { name: 'gone', mark: '–' },
  deallocated: { name: 'gone', mark: '–' },
  deallocating: { name: 'gone', mark: '–' },
};

/** Creating, rebooting, reimaging, waiting for the start task, and states that are new. */
const starting: StateLook = { name: 'starting', mark: '…' };

export function lookOf({ state }: Pick<Cell, 'state'>): StateLook {
  return looks[state] ?? starting;
}

/** The class of what a node did in a minute. */
export const minuteClasses: Record<Minute, string> = {
  i: 'idle',
  r: 'running',
  s: 'starting',
  f: 'failed',
  g: 'gone',
  '?': 'unknown',
  ' ': 'none',
};
