import type { Node } from '../../core/azure/batch';
import type { Minute } from '../../webview/messages';

const historyMinutes = 60;
const minuteMs = 60_000;

const minuteOf: Record<string, Minute> = {
  idle: 'i',
  running: 'r',
  starttaskfailed: 'f',
  unusable: 'f',
  unknown: '?',
  preempted: 'g',
  offline: 'g',
  leavingpool: 'g',
  deallocated: 'g',
  deallocating: 'g',
};

/** What is read of a node. Times are the service's. */
export type RecordedNode = Pick<
  Node,
  'id' | 'state' | 'stateTransitionTime' | 'allocationTime' | 'recentTasks'
>;

/**
 * What each node of a pool did in the last hour, by minutes. The service keeps no history: what it reports of a node (when
 * it was allocated, its last change of state, its recent tasks) fills the minutes before the first record, as far as it
 * goes; the rest of them is unknown.
 */
export class NodeHistory {
  /** By node and minute since 1970. */
  readonly #minutes = new Map<string, Map<number, Minute>>();

  record(nodes: readonly RecordedNode[], now: Date): void {
    const minute = minuteAt(now);
    const ids = new Set<string>();
    for (const node of nodes) {
      const { id = '', state = 'unknown' } = node;
      ids.add(id);
      const minutes = this.#minutes.get(id) ?? reported(node, now);
      this.#minutes.set(id, minutes);
      minutes.set(minute, busier(minutes.get(minute), minuteOf[state] ?? 's'));
      fillGap(minutes, minute, node);
      for (const old of minutes.keys()) if (old <= minute - historyMinutes) minutes.delete(old);
    }
    for (const id of this.#minutes.keys()) if (!ids.has(id)) this.#minutes.delete(id);
  }

  /** The last hour of a node, the oldest minute first; blanks for minutes in which it did not exist. */
  hour(id: string, now: Date): string {
    const minutes = this.#minutes.get(id);
    const last = minuteAt(now);
    return Array.from(
      { length: historyMinutes },
      (_, index) => minutes?.get(last - historyMinutes + 1 + index) ?? ' ',
    ).join('');
  }
}

function minuteAt(time: Date): number {
  return Math.floor(time.getTime() / minuteMs);
}

/** Of several activities within a minute, the one that counts: failure or work before idleness. */
function busier(known: Minute | undefined, seen: Minute): Minute {
  const order = ['g', '?', 'i', 's', 'r', 'f'];
  return known !== undefined && order.indexOf(known) > order.indexOf(seen) ? known : seen;
}

/** The minutes since the last record, in which nobody asked: the present state, since it began, else unknown. */
function fillGap(
  minutes: Map<number, Minute>,
  minute: number,
  { state = 'unknown', stateTransitionTime }: RecordedNode,
) {
  const known = [...minutes.keys()].filter((one) => one < minute);
  const from = Math.max(...known, minute - historyMinutes) + 1;
  const since = stateTransitionTime ? minuteAt(stateTransitionTime) : minute;
  if (known.length === 0) return;
  for (let one = from; one < minute; one++) minutes.set(one, one >= since ? (minuteOf[state] ?? 's') : '?');
}

/** The minutes of the last hour of which the service's answer tells. */
function reported(node: RecordedNode, now: Date): Map<number, Minute> {
  const { state = 'unknown', stateTransitionTime, allocationTime, recentTasks = [] } = node;
  const minutes = new Map<number, Minute>();
  const last = minuteAt(now);
  const first = last - historyMinutes + 1;
  const fill = (from: Date | undefined, to: number, minute: Minute) => {
    if (from === undefined) return;
    for (let one = Math.max(minuteAt(from), first); one <= to; one++) minutes.set(one, minute);
  };
  fill(allocationTime, last, '?');
  for (const { executionInfo } of recentTasks) {
    const { startTime, endTime } = executionInfo ?? {};
    fill(startTime, endTime ? Math.min(minuteAt(endTime), last) : last, 'r');
  }
  const since = stateTransitionTime && minuteAt(stateTransitionTime);
  if (stateTransitionTime && since !== undefined) {
    for (let one = Math.max(since, first); one <= last; one++)
      minutes.set(one, busier(minutes.get(one) === 'r' ? 'r' : undefined, minuteOf[state] ?? 's'));
  }
  return minutes;
}
