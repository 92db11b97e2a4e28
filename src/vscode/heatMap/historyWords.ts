import { l10n } from 'vscode';
import type { Minute } from '../../webview/messages';
import { count, minutesOf } from '../words/numbers';

/** `40 minutes idle, 20 minutes running`: what a node did in the last hour. */
export function hourOfNode(hour: string): string {
  const { idle, running, starting, failed } = minutesOfHours([hour]);
  return [
    running > 0 ? l10n.t('{0} running', minutesOf(running)) : '',
    idle > 0 ? l10n.t('{0} idle', minutesOf(idle)) : '',
    starting > 0 ? l10n.t('{0} starting', minutesOf(starting)) : '',
    failed > 0 ? l10n.t('{0} in a failed state', minutesOf(failed)) : '',
  ]
    .filter(Boolean)
    .reduce((all, one) => (all ? l10n.t('{0}, {1}', all, one) : one), '');
}

/** What all nodes of a pool did in the last hour, and which part of the time was paid for without work. */
export function hourOfPool(hours: readonly string[]): string {
  const { idle, running, starting, failed } = minutesOfHours(hours);
  const all = idle + running + starting + failed;
  if (all === 0) return '';
  return l10n.t(
    'Last hour, all nodes together: {0} node-minutes running, {1} idle ({2}%).',
    count(running),
    count(idle),
    Math.round((100 * idle) / all),
  );
}

function minutesOfHours(hours: readonly string[]) {
  const counts: Partial<Record<Minute, number>> = {};
  for (const hour of hours) {
    for (const minute of hour as Iterable<Minute>) counts[minute] = (counts[minute] ?? 0) + 1;
  }
  const { i: idle = 0, r: running = 0, s: starting = 0, f: failed = 0 } = counts;
  return { idle, running, starting, failed };
}
