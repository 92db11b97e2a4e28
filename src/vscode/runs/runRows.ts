import { l10n, MarkdownString, ThemeColor, ThemeIcon, TreeItem } from 'vscode';
import type { FileResult, ManifestFile, RefusedFile } from '../../core/plan/manifest';
import type { PieceState, RunProgress } from '../../core/runs/runEvents';
import { logLineOf } from '../words/ffmpegReasons';
import { listed } from '../words/listed';
import { sentenceOf } from '../words/sentences';
import type { LiveRun } from './liveRun';
import { isUpload, type RunRecord } from './runRecord';
import { fileLabel, hasPartialOutput, withFolder, withoutName } from './runWords';

/*
 * The rows of the Transcodes view: what they stand for, and the parts of their looks that need nothing but that.
 */

/** A row, as data: `RunsTree.getTreeItem` decides how it looks. */
export type RunNode =
  | { readonly kind: 'run'; readonly record: RunRecord }
  | { readonly kind: 'file'; readonly record: RunRecord; readonly file: ManifestFile }
  /** A part of a split file, or its audio. */
  | {
      readonly kind: 'piece';
      readonly record: RunRecord;
      readonly file: ManifestFile;
      readonly index: number;
    }
  | { readonly kind: 'refused'; readonly record: RunRecord; readonly file: RefusedFile }
  /** Some of the files of a large run, which are listed only when it is expanded. */
  | { readonly kind: 'page'; readonly record: RunRecord; readonly index: number }
  /** The reason why the files of a run cannot be listed. */
  | { readonly kind: 'problem'; readonly record: RunRecord; readonly reason: string };

/**
 * `runFile.failed.partial`: the `when` clauses of the menus match it. While this window works on the run, its failed files
 * can't be retried: `runFile.live.failed`.
 */
export function contextOfFile(file: ManifestFile, result: FileResult | undefined, isLive: boolean): string {
  if (result === undefined) return 'runFile.waiting';
  if (result.problem === undefined) return 'runFile.done';
  const partial = hasPartialOutput(file, result.problem) ? '.partial' : '';
  return `runFile${isLive ? '.live' : ''}.failed${partial}`;
}

/** `run.live`, `run.finished.failed`, `run.upload`: the `when` clauses of the menus match it. */
export function contextOf(
  record: RunRecord,
  live: LiveRun | undefined,
  place: { readonly isOpening: boolean; readonly isElsewhere: boolean },
): string {
  if (live) return 'run.live';
  if (place.isOpening) return 'run.live.opening';
  const { status, failed = 0 } = record;
  // An upload that was interrupted, or that another machine made: it may lack files.
  const own = isUpload(record) && status !== 'uploaded' ? 'upload' : record.isHalfSubmitted ? 'half' : status;
  const waits = record.waitsFor && !place.isElsewhere ? `.waits.${record.waitsFor}` : '';
  return `run.${place.isElsewhere ? 'elsewhere' : own}${failed > 0 ? '.failed' : ''}${waits}`;
}

/** The row of a file that was refused before the run. */
export function refusedItem(
  { record, file }: Extract<RunNode, { kind: 'refused' }>,
  isLive: boolean,
): TreeItem {
  const { text } = sentenceOf(file.problem);
  const item = new TreeItem(fileLabel(file.path));
  item.id = `${record.runId}/refused/${file.uri}`;
  item.contextValue = isLive ? 'runFile.live.refused' : 'runFile.refused';
  item.iconPath = new ThemeIcon('circle-slash', new ThemeColor('problemsWarningIcon.foreground'));
  const state = l10n.t('not transcoded: {0}', withoutName(text, file.path));
  item.description = withFolder(state, file.path);
  item.tooltip = new MarkdownString().appendText(
    [file.path, text, l10n.t('Retry Failed Files checks it again.')].join('\n'),
  );
  item.accessibilityInformation = { label: listed([file.path, state]) };
  return item;
}

/** The row that says why the files of a run cannot be listed. */
export function problemItem({ record, reason }: Extract<RunNode, { kind: 'problem' }>): TreeItem {
  const item = new TreeItem(l10n.t("Couldn't load the files of this run"));
  item.id = `${record.runId}/problem`;
  item.description = reason;
  item.tooltip = new MarkdownString().appendText(reason);
  item.iconPath = new ThemeIcon('warning', new ThemeColor('problemsWarningIcon.foreground'));
  item.accessibilityInformation = { label: listed([`${item.label}`, reason]) };
  return item;
}

/** What happened to a file, and its command line. */
export function tooltipOf(file: ManifestFile, result: FileResult | undefined): MarkdownString {
  const lines = [
    file.path,
    ...(result?.problem ? [sentenceOf(result.problem).text, logLineOf(result.problem) ?? ''] : []),
    ...(result?.node ? [l10n.t('Node: {0}', result.node)] : []),
    ...(result?.retries ? [l10n.t('Retries: {0}', result.retries)] : []),
  ];
  return new MarkdownString()
    .appendText(lines.filter(Boolean).join('\n'))
    .appendCodeblock(file.commandLine, 'shellscript');
}

export function pieceIcon({ state }: PieceState): ThemeIcon {
  switch (state) {
    case 'waiting':
      return new ThemeIcon('circle-outline');
    case 'running':
      return new ThemeIcon('play-circle');
    case 'done':
      return new ThemeIcon('pass', new ThemeColor('testing.iconPassed'));
    case 'failed':
      return new ThemeIcon('error', new ThemeColor('problemsErrorIcon.foreground'));
  }
}

export function fileIcon(
  { id }: ManifestFile,
  result: FileResult | undefined,
  live: RunProgress | undefined,
): ThemeIcon {
  if (result === undefined) {
    if (live?.running.has(id)) return new ThemeIcon('play-circle');
    return new ThemeIcon(live?.settling.has(id) ? 'cloud-download' : 'circle-outline');
  }
  if (result.problem?.kind === 'ended') return new ThemeIcon('circle-slash');
  return result.problem
    ? new ThemeIcon('error', new ThemeColor('problemsErrorIcon.foreground'))
    : new ThemeIcon('pass', new ThemeColor('testing.iconPassed'));
}

/** Of a run that can't reach its account. */
export const noAnswerIcon = new ThemeIcon('debug-disconnect');

export function stateIcon(record: RunRecord): ThemeIcon {
  const { status, files, succeeded = 0, failed = 0 } = record;
  if (record.waitsFor) return record.waitsFor === 'connection' ? noAnswerIcon : new ThemeIcon('account');
  if (isUpload(record)) return new ThemeIcon('cloud-upload');
  switch (status) {
    case 'canceled':
      return new ThemeIcon('circle-slash');
    case 'stopped':
      return new ThemeIcon('eye-closed');
    case 'running':
      return new ThemeIcon('debug-disconnect');
    case 'uploaded':
      return new ThemeIcon('cloud-upload');
    case 'submitted':
      return new ThemeIcon('server-process');
    case 'finished':
      if (succeeded === files) return new ThemeIcon('pass', new ThemeColor('testing.iconPassed'));
      return succeeded === 0 && failed > 0
        ? new ThemeIcon('error', new ThemeColor('problemsErrorIcon.foreground'))
        : new ThemeIcon('warning', new ThemeColor('problemsWarningIcon.foreground'));
  }
}
