import {
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
import type { FileResult, Manifest, ManifestFile, RefusedFile } from '../../core/plan/manifest';
import type { PieceState } from '../../core/runs/runEvents';
import type { Accounts } from '../accounts/accounts';
import { commandName } from '../contributions';
import { DisposableStore } from '../disposable';
import { logLineOf } from '../words/ffmpegReasons';
import { filesOf, time } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import { progressLine } from '../words/story';
import { type Outcome, outcomeOf } from './outcome';
import type { RunRecord } from './runRecord';
import type { LiveRun, Runs } from './runs';
import {
  fileWords,
  hasPartialOutput,
  liveWords,
  pieceTitle,
  pieceWords,
  runTitle,
  stateWords,
  withoutName,
} from './runWords';

/** Data only: `getTreeItem` decides how it looks. */
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
  /** Stands for the files beyond `maxFiles`; the report has them all. */
  | { readonly kind: 'rest'; readonly record: RunRecord; readonly files: number }
  /** The reason why the files of a run cannot be listed. */
  | { readonly kind: 'problem'; readonly record: RunRecord; readonly reason: string };

/** Files that a run lists. */
const maxFiles = 500;

/** The view changes at most this often. */
const refreshMs = 500;

/** The Transcodes view: the runs of this workspace, newest first, up to date while they are worked on. */
export class RunsTree implements TreeDataProvider<RunNode> {
  readonly #changed = new EventEmitter<RunNode | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #disposables = new DisposableStore();
  readonly #nodes = new Map<string, RunNode>();
  /** Of runs that this window does not work on, as the account holds them. */
  readonly #outcomes = new Map<string, { record: string; outcome: Outcome }>();
  #elsewhere: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #dirty = new Set<string | undefined>();

  constructor(
    private readonly runs: Runs,
    private readonly accounts: Accounts,
  ) {
    this.#disposables.add(this.#changed);
    this.#disposables.add(runs.onChanged((runId) => this.#mark(runId)));
    this.#disposables.add(accounts.onChanged(() => this.#mark(undefined)));
  }

  /** Sets the runs that other windows of this machine work on. Returns whether one of them has ended its work. */
  setElsewhere(runIds: ReadonlySet<string>): boolean {
    const before = this.#elsewhere;
    this.#elsewhere = runIds;
    const hasEnded = [...before].some((id) => !runIds.has(id));
    if (hasEnded || runIds.size !== before.size) this.#mark(undefined);
    return hasEnded;
  }

  async getChildren(node?: RunNode): Promise<RunNode[]> {
    if (node === undefined) return this.runs.records.map((record) => this.#run(record));
    if (node.kind === 'file') return this.#piecesOf(node);
    if (node.kind !== 'run') return [];
    const { record } = node;
    try {
      return this.#filesOf(record, await this.#manifestOf(record));
    } catch (error) {
      const { textOf } = await import('../words/sentences');
      return [{ kind: 'problem', record, reason: textOf(error) }];
    }
  }

  getTreeItem(node: RunNode): TreeItem {
    switch (node.kind) {
      case 'run':
        return this.#runItem(node.record);
      case 'file':
        return this.#fileItem(node);
      case 'piece':
        return this.#pieceItem(node);
      case 'refused':
        return refusedItem(node);
      case 'rest':
        return restItem(node);
      case 'problem':
        return problemItem(node);
    }
  }

  getParent(node: RunNode): RunNode | undefined {
    return node.kind === 'run' ? undefined : this.#run(node.record);
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#disposables.dispose();
  }

  /** The output of a file; undefined as long as there is none. */
  outputOf(node: RunNode): Uri | undefined {
    const uri = node.kind === 'file' ? this.#resultOf(node.record, node.file)?.outputUri : undefined;
    return uri ? Uri.parse(uri) : undefined;
  }

  #filesOf(record: RunRecord, manifest: Manifest | undefined): RunNode[] {
    if (manifest === undefined) return [];
    const all: RunNode[] = [
      ...manifest.refused.map((file): RunNode => ({ kind: 'refused', record, file })),
      ...manifest.files.map((file): RunNode => ({ kind: 'file', record, file })),
    ];
    if (all.length <= maxFiles) return all;
    return [...all.slice(0, maxFiles), { kind: 'rest', record, files: all.length - maxFiles }];
  }

  /** Of a split file, while this window works on its run. */
  #piecesOf({ record, file }: Extract<RunNode, { kind: 'file' }>): RunNode[] {
    const pieces = this.runs.live(record.runId)?.progress.pieces.get(file.id) ?? [];
    return pieces.map((_, index) => ({ kind: 'piece', record, file, index }));
  }

  #pieceItem({ record, file, index }: Extract<RunNode, { kind: 'piece' }>): TreeItem {
    const piece = this.runs.live(record.runId)?.progress.pieces.get(file.id)?.[index];
    const item = new TreeItem(piece ? pieceTitle(piece) : '');
    item.id = `${record.runId}/${file.id}/${index}`;
    item.contextValue = 'runPiece';
    if (piece === undefined) return item;
    item.iconPath = pieceIcon(piece);
    item.description = pieceWords(piece);
    item.accessibilityInformation = { label: `${item.label}, ${item.description}` };
    return item;
  }

  #resultOf({ runId }: RunRecord, { id }: ManifestFile): FileResult | undefined {
    const live = this.runs.live(runId);
    if (live) return live.results.get(id);
    return this.#outcomes.get(runId)?.outcome.results.find((result) => result.id === id);
  }

  async #manifestOf(record: RunRecord): Promise<Manifest | undefined> {
    const { runId } = record;
    const live = this.runs.live(runId);
    if (live) {
      this.#outcomes.delete(runId);
      return live.manifest;
    }
    const key = JSON.stringify(record);
    const known = this.#outcomes.get(runId);
    if (known?.record === key) return known.outcome.manifest;
    const outcome = await outcomeOf(this.accounts, this.runs, runId);
    if (outcome) this.#outcomes.set(runId, { record: key, outcome });
    return outcome?.manifest;
  }

  /** The same node for the same run, so that the view refreshes its item in place. */
  #run(record: RunRecord): RunNode {
    const known = this.#nodes.get(record.runId);
    if (known?.kind === 'run' && JSON.stringify(known.record) === JSON.stringify(record)) return known;
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
    const isElsewhere = !live && this.#elsewhere.has(record.runId);
    const item = new TreeItem(
      runTitle(record),
      live ? TreeItemCollapsibleState.Expanded : TreeItemCollapsibleState.Collapsed,
    );
    item.id = record.runId;
    item.contextValue = contextOf(record, live, isElsewhere);
    item.description = live
      ? liveWords(live.progress, live.share(), live.timeLeft())
      : stateWords(record, isElsewhere);
    item.iconPath = live || isElsewhere ? new ThemeIcon('sync~spin') : stateIcon(record);
    item.tooltip = this.#runTooltip(record, live, item.description);
    item.accessibilityInformation = {
      label: [item.description, item.label, time(new Date(record.created))].join(', '),
    };
    return item;
  }

  #runTooltip(record: RunRecord, live: LiveRun | undefined, state: string): MarkdownString {
    const account = live?.account ?? this.accounts.byId(record.accountId);
    const lines = [
      runTitle(record),
      live ? progressLine(live.progress, live.timeLeft()) : state,
      l10n.t('Started: {0}', time(new Date(record.created))),
      l10n.t('Account: {0}', account?.label ?? l10n.t('{0} (not connected)', record.accountId)),
      l10n.t('Run: {0}', record.runId),
    ];
    return new MarkdownString().appendText(lines.join('\n'));
  }

  #fileItem({ record, file }: Extract<RunNode, { kind: 'file' }>): TreeItem {
    const live = this.runs.live(record.runId);
    const result = this.#resultOf(record, file);
    const progress = result ? undefined : live?.progress.running.get(file.id);
    const isLiveSplit = live !== undefined && result === undefined && file.split !== undefined;
    const item = new TreeItem(
      file.path,
      isLiveSplit ? TreeItemCollapsibleState.Collapsed : TreeItemCollapsibleState.None,
    );
    item.id = `${record.runId}/${file.id}`;
    item.contextValue = contextOfFile(file, result);
    item.iconPath = progress ? new ThemeIcon('play-circle') : fileIcon(result);
    item.description = fileWords(file, result, progress, Boolean(live));
    item.tooltip = tooltipOf(file, result);
    if (result?.outputUri && !file.output.isFolder) {
      const uri = Uri.parse(result.outputUri);
      item.command = { command: 'vscode.open', title: l10n.t('Open'), arguments: [uri] };
    }
    item.accessibilityInformation = { label: `${file.path}, ${item.description}` };
    return item;
  }
}

/** `runFile.failed.partial`: the `when` clauses of the menus match it. */
function contextOfFile(file: ManifestFile, result: FileResult | undefined): string {
  if (result === undefined) return 'runFile.waiting';
  if (result.problem === undefined) return 'runFile.done';
  return hasPartialOutput(file, result.problem) ? 'runFile.failed.partial' : 'runFile.failed';
}

/** `run.live`, `run.finished.failed`: the `when` clauses of the menus match it. */
function contextOf(
  { status, failed = 0 }: RunRecord,
  live: LiveRun | undefined,
  isElsewhere: boolean,
): string {
  if (live) return 'run.live';
  return `run.${isElsewhere ? 'elsewhere' : status}${failed > 0 ? '.failed' : ''}`;
}

function refusedItem({ record, file }: Extract<RunNode, { kind: 'refused' }>): TreeItem {
  const { text } = sentenceOf(file.problem);
  const item = new TreeItem(file.path);
  item.id = `${record.runId}/refused/${file.uri}`;
  item.contextValue = 'runFile.refused';
  item.iconPath = new ThemeIcon('circle-slash', new ThemeColor('problemsWarningIcon.foreground'));
  item.description = l10n.t('not transcoded: {0}', withoutName(text, file.path));
  item.tooltip = new MarkdownString().appendText(
    [file.path, text, l10n.t('Retry Failed Files checks it again.')].join('\n'),
  );
  item.accessibilityInformation = { label: `${file.path}, ${item.description}` };
  return item;
}

function problemItem({ record, reason }: Extract<RunNode, { kind: 'problem' }>): TreeItem {
  const item = new TreeItem(l10n.t("Couldn't load the files of this run"));
  item.id = `${record.runId}/problem`;
  item.description = reason;
  item.tooltip = new MarkdownString().appendText(reason);
  item.iconPath = new ThemeIcon('warning', new ThemeColor('problemsWarningIcon.foreground'));
  item.accessibilityInformation = { label: `${item.label}, ${reason}` };
  return item;
}

function tooltipOf(file: ManifestFile, result: FileResult | undefined): MarkdownString {
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

function restItem({ record, files }: Extract<RunNode, { kind: 'rest' }>): TreeItem {
  const item = new TreeItem(l10n.t('{0} more: show the report', filesOf(files)));
  item.id = `${record.runId}/rest`;
  item.iconPath = new ThemeIcon('graph');
  item.command = {
    command: commandName('showReport'),
    title: l10n.t('Show Report'),
    arguments: [record.runId],
  };
  return item;
}

function pieceIcon({ state }: PieceState): ThemeIcon {
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

function fileIcon(result: FileResult | undefined): ThemeIcon {
  if (result === undefined) return new ThemeIcon('circle-outline');
  if (result.problem?.kind === 'ended') return new ThemeIcon('circle-slash');
  return result.problem
    ? new ThemeIcon('error', new ThemeColor('problemsErrorIcon.foreground'))
    : new ThemeIcon('pass', new ThemeColor('testing.iconPassed'));
}

function stateIcon({ status, files, succeeded = 0, failed = 0 }: RunRecord): ThemeIcon {
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
