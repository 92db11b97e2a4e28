import { env, l10n } from 'vscode';
import { dateFormat, numberFormat } from './formats';

/** `12.3 MB`, in the user's language; decimal units, as Azure bills them. */
export function bytes(count: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;
  const exact = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  // 999,960 bytes are 1 MB, not 1,000 kB.
  const isNext = exact > 0 && exact < units.length - 1 && count / 1000 ** exact >= 999.95;
  const step = isNext ? exact + 1 : exact;
  return numberFormat({
    style: 'unit',
    unit: units[step],
    unitDisplay: step === 0 ? 'long' : 'short',
    maximumFractionDigits: step === 0 ? 0 : 1,
  }).format(count / 1000 ** step);
}

/** `0:21`, `1:02:03`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const two = (part: number) => String(part).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** `1.3`, `0.25`: two digits after the point below 10, one above. */
export function decimal(value: number): string {
  return numberFormat({ maximumFractionDigits: value < 10 ? 2 : 1 }).format(value);
}

/** `12,345`, in the user's language. */
export function count(value: number): string {
  return numberFormat().format(value);
}

/** Date and time of day, in the user's language. */
export function time(date: Date): string {
  return dateFormat({ dateStyle: 'medium', timeStyle: 'medium' }).format(date);
}

/** `20 seconds ago`, `3 minutes ago`, `2 days ago`, in the user's language. */
export function age(date: Date, now = new Date()): string {
  const seconds = Math.max(0, Math.round((now.getTime() - date.getTime()) / 1000));
  const format = new Intl.RelativeTimeFormat(env.language, { numeric: 'auto' });
  if (seconds < 60) return format.format(-seconds, 'second');
  if (seconds < 3600) return format.format(-Math.round(seconds / 60), 'minute');
  if (seconds < 48 * 3600) return format.format(-Math.round(seconds / 3600), 'hour');
  return format.format(-Math.round(seconds / 86_400), 'day');
}

/** `1 file`, `1,200 files`. */
export function filesOf(value: number): string {
  return value === 1 ? l10n.t('1 file') : l10n.t('{0} files', count(value));
}

/** `1 node`, `12 nodes`. */
export function nodesOf(value: number): string {
  return value === 1 ? l10n.t('1 node') : l10n.t('{0} nodes', count(value));
}

/** `1 part`, `24 parts`. */
export function partsOf(value: number): string {
  return value === 1 ? l10n.t('1 part') : l10n.t('{0} parts', count(value));
}

/** `1 video`, `3 videos`. */
export function videosOf(value: number): string {
  return value === 1 ? l10n.t('1 video') : l10n.t('{0} videos', count(value));
}

/** `1 task`, `12 tasks`. */
export function tasksOf(value: number): string {
  return value === 1 ? l10n.t('1 task') : l10n.t('{0} tasks', count(value));
}

/** `1 second`, `30 seconds`. */
export function secondsOf(value: number): string {
  return value === 1 ? l10n.t('1 second') : l10n.t('{0} seconds', count(value));
}

/** `1 minute`, `30 minutes`. */
export function minutesOf(value: number): string {
  return value === 1 ? l10n.t('1 minute') : l10n.t('{0} minutes', count(value));
}

/** `once`, `3 times`. */
export function timesOf(value: number): string {
  return value === 1 ? l10n.t('once') : l10n.t('{0} times', count(value));
}

/** `1 node-hour`, `2.5 node-hours`. */
export function nodeHoursOf(value: number): string {
  return decimal(value) === decimal(1) ? l10n.t('1 node-hour') : l10n.t('{0} node-hours', decimal(value));
}

/** `45 %`, of a share between 0 and 1. */
export function percent(share: number): string {
  return numberFormat({ style: 'percent' }).format(share);
}
