import {
  type Command,
  EventEmitter,
  l10n,
  MarkdownString,
  ThemeColor,
  ThemeIcon,
  type TreeDataProvider,
  TreeItem,
  TreeItemCollapsibleState,
  Uri,
} from 'vscode';
import type { FileProgress } from '../../core/jobs/taskProgress';
import type { FileResult, Manifest, ManifestFile } from '../../core/plan/manifest';
import type { Accounts } from '../accounts/accounts';
import { DisposableStore } from '../disposable';
import { section } from '../settings';
import { bytes, count, duration, filesOf, percent, time } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import { progressLine } from '../words/story';
import { type Outcome, outcomeOf } from './outcome';
import type { RunRecord, Runs } from './runs';

/** Data only: what the item of each looks like is decided in one place below. */
export type RunNode =
  | { readonly kind: 'run'; readonly record: RunRecord }
  | { readonly kind: 'file'; readonly record: RunRecord; readonly file: ManifestFile }
  /** There are more files than anybody scrolls through: the report has them all. */
  | { readonly kind: 'rest'; readonly record: RunRecord; readonly files: number };

/** Files that a run shows at most. */
const filesShown = 500;

/** At most this many redraws a second, whatever a run tells. */
const refreshMs = 500;

/** The Transcodes view: this workspace's runs, the newest first, live while they are worked on. */
export class RunsTree implements TreeDataProvider<RunNode> {
  readonly #changed = new EventEmitter<RunNode | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #disposables = new DisposableStore();
  readonly #nodes = new Map<string, RunNode>();
  #timer: NodeJS.Timeout | undefined;
  #dirty = new Set<string | undefined>();

  /** Of runs that nobody works on, as the account keeps them. */
  readonly #outcomes = new Map<string, Outcome>();

  constructor(
    private readonly runs: Runs,
    private readonly accounts: Accounts,
  ) {
    this.#disposables.add(this.#changed);
    this.#disposables.add(runs.onChanged((runId) => this.#mark(runId)));
  }

  async getChildren(node?: RunNode): Promise<RunNode[]> {
    if (node === undefined) return this.runs.records.map((record) => this.#run(record));
    if (node.kind !== 'run') return [];
    const { record } = node;
    const files = (await this.#manifestOf(record))?.files ?? [];
    const shown = files.slice(0, filesShown).map((file): RunNode => ({ kind: 'file', record, file }));
    if (files.length <= filesShown) return shown;
    return [...shown, { kind: 'rest', record, files: files.length - filesShown }];
  }

  getTreeItem(node: RunNode): TreeItem {
    switch (node.kind) {
      case 'run':
        return this.#runItem(node.record);
      case 'file':
        return this.#fileItem(node);
      case 'rest':
        return restItem(node);
    }
  }

  getParent(node: RunNode): RunNode | undefined {
    return node.kind === 'run' ? undefined : this.#run(node.record);
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#disposables.dispose();
  }

  /** Where the output of a file is, once it is there. */
  outputOf(node: RunNode): Uri | undefined {
    const uri = node.kind === 'file' ? this.#resultOf(node.record, node.file)?.outputUri : undefined;
    return uri ? Uri.parse(uri) : undefined;
  }

  #resultOf({ runId }: RunRecord, { id }: ManifestFile): FileResult | undefined {
    const live = this.runs.live(runId);
    return live
      ? live.results.get(id)
      : this.#outcomes.get(runId)?.results.find((result) => result.id === id);
  }

  async #manifestOf({ runId }: RunRecord): Promise<Manifest | undefined> {
    const live = this.runs.live(runId);
    if (live) {
      this.#outcomes.delete(runId);
      return live.manifest;
    }
    const outcome = this.#outcomes.get(runId) ?? (await outcomeOf(this.accounts, this.runs, runId));
    if (outcome) this.#outcomes.set(runId, outcome);
    return outcome?.manifest;
  }

  /** The same object for the same run, so that the view refreshes an item in place. */
  #run(record: RunRecord): RunNode {
    const node: RunNode = { kind: 'run', record };
    this.#nodes.set(record.runId, node);
    return node;
  }

  #mark(runId: string | undefined): void {
    this.#dirty.add(runId);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const dirty = this.#dirty;
      this.#dirty = new Set();
      if (dirty.has(undefined)) return this.#changed.fire(undefined);
      for (const id of dirty) this.#changed.fire(this.#nodes.get(id ?? ''));
    }, refreshMs);
  }

  #runItem(record: RunRecord): TreeItem {
    const live = this.runs.live(record.runId);
    const item = new TreeItem(
      l10n.t('{0}, {1}', filesOf(record.files), record.preset),
      live ? TreeItemCollapsibleState.Expanded : TreeItemCollapsibleState.Collapsed,
    );
    item.id = record.runId;
    item.contextValue = `run.${live ? 'live' : record.status}${(record.failed ?? 0) > 0 ? '.failed' : ''}`;
    item.description = live ? progressLine(live.progress, live.since) : stateWords(record);
    item.iconPath = live ? new ThemeIcon('sync~spin') : stateIcon(record);
    item.tooltip = new MarkdownString(
      [`**${record.runId}**`, time(new Date(record.created)), item.description].join('  \n'),
    );
    item.accessibilityInformation = { label: `${item.label}, ${item.description}` };
    return item;
  }

  #fileItem({ record, file }: Extract<RunNode, { kind: 'file' }>): TreeItem {
    const live = this.runs.live(record.runId);
    const result = this.#resultOf(record, file);
    const progress = live?.progress.running.get(file.id);
    const item = new TreeItem(file.path);
    item.id = `${record.runId}/${file.id}`;
    item.contextValue = `runFile.${result ? (result.problem ? 'failed' : 'done') : 'waiting'}`;
    item.iconPath = progress && !result ? new ThemeIcon('play-circle') : fileIcon(result);
    item.description =
      progress && !result ? progressWords(progress, file) : fileWords(result, file, Boolean(live));
    item.tooltip = tooltipOf(file, result);
    item.command = openCommand(result);
    item.accessibilityInformation = { label: `${file.path}, ${item.description}` };
    return item;
  }
}

function tooltipOf(file: ManifestFile, result: FileResult | undefined): MarkdownString {
  const tooltip = new MarkdownString();
  tooltip.appendText(file.path);
  if (result?.problem) tooltip.appendText(`\n${sentenceOf(result.problem).text}`);
  if (result?.node) tooltip.appendText(`\n${l10n.t('Node: {0}', result.node)}`);
  if (result?.retries) tooltip.appendText(`\n${l10n.t('Retries: {0}', result.retries)}`);
  return tooltip.appendCodeblock(file.commandLine, 'shellscript');
}

function restItem({ record, files }: Extract<RunNode, { kind: 'rest' }>): TreeItem {
  const item = new TreeItem(l10n.t('{0} more files: show the report', count(files)));
  item.id = `${record.runId}/rest`;
  item.iconPath = new ThemeIcon('graph');
  item.command = {
    command: `${section}.showReport`,
    title: l10n.t('Show Report'),
    arguments: [record.runId],
  };
  return item;
}

function openCommand(result: FileResult | undefined): Command | undefined {
  if (!result?.outputUri) return undefined;
  return { command: 'vscode.open', title: l10n.t('Open'), arguments: [Uri.parse(result.outputUri)] };
}

/** `45 %, 12× as fast as it plays`; without a known length, how far it is. */
function progressWords({ seconds, speed }: FileProgress, file: ManifestFile): string {
  const done =
    file.seconds === undefined ? duration(seconds * 1000) : percent(Math.min(seconds / file.seconds, 1));
  return speed === undefined ? done : l10n.t('{0}, {1}× real time', done, speed.toFixed(1));
}

function fileWords(result: FileResult | undefined, file: ManifestFile, isLive: boolean): string {
  if (result === undefined) {
    return isLive ? l10n.t('waiting, {0}', bytes(file.size)) : l10n.t('not done, {0}', bytes(file.size));
  }
  if (result.problem) return sentenceOf(result.problem).text;
  return l10n.t('{0} → {1}', bytes(file.size), bytes(result.outputBytes ?? 0));
}

function fileIcon(result: FileResult | undefined): ThemeIcon {
  if (result === undefined) return new ThemeIcon('circle-outline');
  return result.problem
    ? new ThemeIcon('error', new ThemeColor('problemsErrorIcon.foreground'))
    : new ThemeIcon('pass', new ThemeColor('testing.iconPassed'));
}

function stateWords({ status, succeeded = 0, failed = 0, files }: RunRecord): string {
  switch (status) {
    case 'running':
      return l10n.t('interrupted: {0} of {1} done', succeeded, files);
    case 'uploaded':
      return l10n.t('uploaded, not submitted');
    case 'submitted':
      return l10n.t('submitted, outputs not fetched');
    case 'stopped':
      return l10n.t('not watched: {0} of {1} done', succeeded, files);
    case 'finished':
      return failed > 0
        ? l10n.t('{0} of {1} done, {2} failed', succeeded, files, failed)
        : l10n.t('all done');
  }
}

function stateIcon({ status, failed = 0 }: RunRecord): ThemeIcon {
  if (status !== 'finished') return new ThemeIcon(status === 'stopped' ? 'debug-pause' : 'history');
  return failed > 0
    ? new ThemeIcon('warning', new ThemeColor('problemsWarningIcon.foreground'))
    : new ThemeIcon('pass', new ThemeColor('testing.iconPassed'));
}
