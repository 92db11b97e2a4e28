import { l10n } from 'vscode';
import { count, time } from '../words/numbers';
import type { NodeOf } from './explorerNode';

/** The text of a list without rows. */
export function emptyText({ list, isFiltered, reason }: NodeOf<'empty'>): string {
  if (isFiltered) return l10n.t('Nothing matches the filter');
  if (reason === 'notStarted') return l10n.t('No files until the task starts');
  if (reason === 'neverStarted') return l10n.t('The task ended before it started, so it has no files');
  if (reason === 'removed') return l10n.t('The node no longer has the files');
  switch (list) {
    case 'pools':
      return l10n.t('No pools');
    case 'jobs':
      return l10n.t('No jobs');
    case 'nodes':
      return l10n.t('No nodes');
    case 'tasks':
      return l10n.t('No tasks');
    case 'files':
      return l10n.t('No files');
    case 'containers':
      return l10n.t('No transcode containers');
    case 'blobs':
      return l10n.t('No blobs');
  }
}

/** Describes which items a list lacks because it was too long to be read in full. */
export function cutText({ list, read, before }: NodeOf<'cut'>): string {
  switch (list) {
    case 'pools':
      return l10n.t('Only the first {0} pools are listed', count(read));
    case 'jobs':
      return before
        ? l10n.t("Jobs created before {0} aren't listed", time(before))
        : l10n.t('Only the newest {0} jobs are listed', count(read));
    case 'nodes':
      return l10n.t('Only the first {0} nodes are listed', count(read));
    case 'tasks':
      return l10n.t('Only the first {0} tasks are listed', count(read));
    case 'files':
      return l10n.t('Only the first {0} files are listed', count(read));
    case 'containers':
      return l10n.t('Only the first {0} containers are listed', count(read));
    case 'blobs':
      return l10n.t('Only the first {0} blobs are listed', count(read));
  }
}
