import { l10n } from 'vscode';
import type { Job } from '../../core/azure/batch';
import { ownMetadata } from '../../core/azure/ownership';
import { dateFormat } from '../words/formats';
import { time } from '../words/numbers';
import { presetName } from '../words/presetLabels';
import { shorten } from '../words/shorten';
import { type ExplorerNode, resourceName, type TaskGroup } from './explorerNode';

/** Characters of an id that fit beside its state in a sidebar of 300 pixels. */
const idLength = 14;
/** Characters of a node's id: all ids of a pool begin alike. */
const nodeIdLength = 12;
/** Characters of a container's name: its end says whether it holds inputs or outputs. */
const containerLength = 20;
/** Characters of a file name, which have no state to make room for. */
const nameLength = 28;

/** What a row is called: ids and file names shortened in the middle. */
export function rowLabel(node: ExplorerNode): string {
  switch (node.kind) {
    case 'account':
      return node.account.label;
    case 'pools':
      return l10n.t('Pools');
    case 'jobs':
      return l10n.t('Jobs');
    case 'containers':
      return l10n.t('Storage');
    case 'job':
      return ownJobLabel(node.job) ?? shorten(node.job.displayName ?? node.job.id ?? '', idLength);
    case 'taskGroup':
      return groupLabel(node.group);
    case 'task':
      return shorten(baseName(node.task.displayName ?? node.task.id ?? ''), nameLength);
    case 'file':
      return baseName(node.file.name ?? '');
    case 'blob':
      return node.blob.name;
    case 'container':
      return shorten(node.container.name, containerLength);
    case 'node':
      return shorten(node.node.id ?? '', nodeIdLength, 3);
    default:
      return shorten(resourceName(node), idLength);
  }
}

/** The names of a row in full: what the row shows, and the id where that is another. A filter searches it. */
export function fullLabel(node: ExplorerNode): string {
  const names = [shownName(node), resourceName(node)];
  return [...new Set(names)].join(' ');
}

function shownName(node: ExplorerNode): string {
  switch (node.kind) {
    case 'job':
      return [ownJobLabel(node.job), node.job.displayName].filter(Boolean).join(' ') || (node.job.id ?? '');
    case 'task':
      return node.task.displayName ?? node.task.id ?? '';
    case 'pool':
    case 'node':
    case 'container':
    case 'blob':
    case 'file':
      return resourceName(node);
    default:
      return rowLabel(node);
  }
}

/**
 * `MP3 audio × 3` in the user's language, for a job of a transcode; undefined for other jobs. The job's display name
 * is in the language of nobody in particular: it is `LABEL × COUNT, WORKSPACE`.
 */
export function ownJobLabel(job: Job): string | undefined {
  if (ownMetadata(job.metadata, 'run') === undefined) return undefined;
  const [, label, files] = /^(.*?) × (\d+)(?:, .*)?$/s.exec(job.displayName ?? '') ?? [];
  if (label === undefined) return job.displayName;
  const id = ownMetadata(job.metadata, 'preset') ?? '';
  return `${presetName({ id, label })} × ${files}`;
}

export function groupLabel(group: TaskGroup): string {
  switch (group) {
    case 'failed':
      return l10n.t('Failed');
    case 'running':
      return l10n.t('Running');
    case 'active':
      return l10n.t('Waiting');
    case 'succeeded':
      return l10n.t('Succeeded');
  }
}

/** The time of day for today, else the day: what fits into a row. Tooltips have both. */
export function shortTime(date: Date, now = new Date()): string {
  const isToday = date.toDateString() === now.toDateString();
  const style: Intl.DateTimeFormatOptions = isToday
    ? { timeStyle: 'short' }
    : { month: 'short', day: 'numeric' };
  return dateFormat(style).format(date);
}

/** A line of a tooltip with a time; empty without one. */
export function timeLine(line: (when: string) => string, date: Date | undefined): string {
  return date ? line(time(date)) : '';
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
