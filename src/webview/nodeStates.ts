import type { Cell, Minute } from './messages';

/**
 * How a group of states is shown: by a color and a mark, since not everyone can distinguish colors. The name of the state
 * distinguishes states of one group.
 */
export interface StateStyle {
  readonly name: 'idle' | 'running' | 'starting' | 'failed' | 'gone';
  readonly mark: string;
}

const styles: Record<string, StateStyle> = {
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
const starting: StateStyle = { name: 'starting', mark: '…' };

export function styleOf({ state }: Pick<Cell, 'state'>): StateStyle {
  return styles[state] ?? starting;
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
