import { l10n } from 'vscode';
import { numberFormat } from './formats';
import { count, minutesOf, nodeHoursOf, secondsOf } from './numbers';

interface Cost {
  readonly cost?: number;
  readonly currency?: string;
}

/** `$0.04`; `less than $0.01` for what rounds to nothing. */
export function money(amount: number, currency: string): string {
  const format = numberFormat({ style: 'currency', currency });
  const smallest = 10 ** -(format.resolvedOptions().maximumFractionDigits ?? 2);
  return amount > 0 && amount < smallest
    ? l10n.t('less than {0}', format.format(smallest))
    : format.format(amount);
}

/** The cost if it is known, or else the node-hours. */
export function costWords({ cost, currency }: Cost, nodeHours: number): string {
  return cost === undefined || currency === undefined ? nodeHoursOf(nodeHours) : money(cost, currency);
}

/** `25 seconds` below a minute, in steps of five; `6 minutes`; `2 hours 5 minutes`. */
export function roughly(minutes: number): string {
  const seconds = Math.max(1, Math.ceil(minutes * 12)) * 5;
  if (seconds < 60) return secondsOf(seconds);
  const whole = Math.round(minutes);
  if (whole < 90) return minutesOf(whole);
  const hours = Math.floor(whole / 60);
  const rest = whole % 60;
  const hoursWords = hours === 1 ? l10n.t('1 hour') : l10n.t('{0} hours', count(hours));
  return rest === 0 ? hoursWords : l10n.t('{0} {1}', hoursWords, minutesOf(rest));
}

/** `5 Spot nodes`, `2 dedicated nodes`, `5 Spot and 2 dedicated nodes`: Spot first, as everywhere. */
export function nodesByKind({
  spot,
  dedicated,
}: {
  readonly spot: number;
  readonly dedicated: number;
}): string {
  if (dedicated === 0) return spot === 1 ? l10n.t('1 Spot node') : l10n.t('{0} Spot nodes', count(spot));
  if (spot === 0)
    return dedicated === 1 ? l10n.t('1 dedicated node') : l10n.t('{0} dedicated nodes', count(dedicated));
  return l10n.t('{0} Spot and {1} dedicated nodes', count(spot), count(dedicated));
}
