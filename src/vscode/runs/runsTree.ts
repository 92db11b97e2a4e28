import {
  EventEmitter,
  l10n,
  MarkdownString,
  ThemeColor,
  ThemeIcon,
  type TreeDataProvider,
  TreeItem,
  TreeItemCollapsibleState,
  type Uri,
} from 'vscode';
import type { FileResult, Manifest, ManifestFile } from '../../core/plan/manifest';
import type { Accounts } from '../accounts/accounts';
import { DisposableStore } from '../disposable';
import { listed } from '../words/listed';
import { count, time } from '../words/numbers';
import { doneWords } from '../words/story';
import { savedOutput } from '../workspaceFiles';
import type { LiveRun } from './liveRun';
import { type Outcome, outcomeOf } from './outcome';
import type { RunRecord } from './runRecord';
import {
  contextOf,
  contextOfFile,
  fileIcon,
  noAnswerIcon,
  pieceIcon,
  problemItem,
  type RunNode,
  refusedItem,
  stateIcon,
  tooltipOf,
} from './runRows';
import type { Runs } from './runs';
import {
  fileLabel,
  fileWords,
  firstNames,
  iconWord,
  liveLine,
  liveWords,
  openingWords,
  pieceTitle,
  pieceWords,
  runLabel,
  runTitle,
  stateWords,
  withFolder,
} from './runWords';

/** Files that are listed at once: a run with more lists pages of so many files. */
const pageSize = 100;

/** The view changes at most this often. */
const refreshMs = 500;

/** The Transcodes view: the runs of this workspace, newest first, up to date while they are worked on. */
export class RunsTree implements TreeDataProvider<RunNode> {
  readonly #changed = new EventEmitter<RunNode | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #disposables = new DisposableStore();
  readonly #nodes = new Map<string, RunNode>();
  /** Of runs that this window does not work on, as the account holds them. */
  readonly #outcomes = new Map<
    string,
    { record: string; outcome: Outcome; results: ReadonlyMap<string, FileResult> }
  >();
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
    if (node.kind !== 'run' && node.kind !== 'page') return [];
    const { record } = node;
    // Its manifest may not be written yet.
    if (this.runs.opening(record.runId)) return [];
    try {
      const manifest = await this.#manifestOf(record);
      if (manifest === undefined) return [];
      if (node.kind === 'page') return pageOf(record, manifest, node.index);
      const files = manifest.files.length + manifest.refused.length;
      if (files <= pageSize) return pageOf(record, manifest, 0);
      return Array.from({ length: Math.ceil(files / pageSize) }, (_, index) => ({
        kind: 'page',
        record,
        index,
      }));
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
        return refusedItem(node, this.runs.isWorkingOn(node.record.runId));
      case 'page':
        return this.#pageItem(node);
      case 'problem':
        return problemItem(node);
    }
  }

  getParent(node: RunNode): RunNode | undefined {
    return node.kind === 'run' ? undefined : this.#run(node.record);
  }

  /** The text of a tooltip is made when it is shown. */
  resolveTreeItem(item: TreeItem, node: RunNode): TreeItem {
    if (node.kind === 'file') item.tooltip = tooltipOf(node.file, this.#resultOf(node.record, node.file));
    return item;
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#disposables.dispose();
  }

  /** The output of a file; undefined as long as there is none. */
  outputOf(node: RunNode): Uri | undefined {
    return node.kind === 'file' ? savedOutput(node.file, this.#resultOf(node.record, node.file)) : undefined;
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
    item.accessibilityInformation = { label: listed([`${item.label}`, item.description]) };
    return item;
  }

  #resultOf({ runId }: RunRecord, { id }: ManifestFile): FileResult | undefined {
    const live = this.runs.live(runId);
    if (live) return live.results.get(id);
    return this.#outcomes.get(runId)?.results.get(id);
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
    if (outcome) {
      const results = new Map(outcome.results.map((result) => [result.id, result]));
      this.#outcomes.set(runId, { record: key, outcome, results });
    }
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
    const opening = this.runs.opening(record.runId);
    const isElsewhere = !live && !opening && this.#elsewhere.has(record.runId);
    const item = new TreeItem(
      runLabel(record),
      live || opening ? TreeItemCollapsibleState.Expanded : TreeItemCollapsibleState.Collapsed,
    );
    item.id = record.runId;
    item.contextValue = contextOf(record, live, { isOpening: opening !== undefined, isElsewhere });
    const state = live
      ? liveWords(live, record)
      : opening
        ? openingWords(opening, record)
        : this.#stateWords(record, isElsewhere);
    const names = firstNames(record);
    item.description = names ? `${state} · ${names}` : state;
    const isAtWork = live !== undefined || opening !== undefined || isElsewhere;
    const hasAnswer = (live?.noAnswer() ?? opening?.answers.missing()) === undefined;
    item.iconPath = !isAtWork ? stateIcon(record) : hasAnswer ? new ThemeIcon('sync~spin') : noAnswerIcon;
    item.tooltip = this.#runTooltip(record, live, state);
    item.accessibilityInformation = {
      label: listed([runTitle(record), state, names, time(new Date(record.created))]),
    };
    return item;
  }

  /** A run can't wait for an account that isn't connected. */
  #stateWords(record: RunRecord, isElsewhere: boolean): string {
    return record.waitsFor && !isElsewhere && this.accounts.byId(record.accountId) === undefined
      ? l10n.t('account not connected')
      : stateWords(record, isElsewhere);
  }

  #runTooltip(record: RunRecord, live: LiveRun | undefined, state: string): MarkdownString {
    const account = live?.account ?? this.accounts.byId(record.accountId);
    const lines = [
      runTitle(record),
      live ? liveLine(live) : state,
      l10n.t('Started: {0}', time(new Date(record.created))),
      l10n.t('Account: {0}', account?.label ?? l10n.t('{0} (not connected)', record.accountId)),
      l10n.t('Run: {0}', record.runId),
    ];
    return new MarkdownString().appendText(lines.join('\n'));
  }

  #pageItem({ record, index }: Extract<RunNode, { kind: 'page' }>): TreeItem {
    const manifest =
      this.runs.live(record.runId)?.manifest ?? this.#outcomes.get(record.runId)?.outcome.manifest;
    const nodes = manifest ? pageOf(record, manifest, index) : [];
    const first = index * pageSize + 1;
    const item = new TreeItem(
      l10n.t('Files {0}–{1}', count(first), count(first + nodes.length - 1)),
      TreeItemCollapsibleState.Collapsed,
    );
    item.id = `${record.runId}/page/${index}`;
    item.contextValue = 'runPage';
    let succeeded = 0;
    let failed = 0;
    for (const node of nodes) {
      const result = node.kind === 'file' ? this.#resultOf(record, node.file) : undefined;
      if (node.kind === 'refused' || result?.problem) failed++;
      else if (result) succeeded++;
    }
    item.description = doneWords({ succeeded, failed, files: nodes.length });
    if (failed > 0)
      item.iconPath = new ThemeIcon('warning', new ThemeColor('problemsWarningIcon.foreground'));
    item.accessibilityInformation = { label: listed([`${item.label}`, item.description]) };
    return item;
  }

  #fileItem({ record, file }: Extract<RunNode, { kind: 'file' }>): TreeItem {
    const live = this.runs.live(record.runId);
    const result = this.#resultOf(record, file);
    const isLiveSplit = live !== undefined && result === undefined && file.split !== undefined;
    const item = new TreeItem(
      fileLabel(file.path),
      isLiveSplit ? TreeItemCollapsibleState.Collapsed : TreeItemCollapsibleState.None,
    );
    item.id = `${record.runId}/${file.id}`;
    item.contextValue = contextOfFile(file, result, live !== undefined);
    item.iconPath = fileIcon(file, result, live?.progress);
    const state = fileWords(file, result, live?.progress);
    item.description = withFolder(state, file.path);
    const output = file.output.isFolder ? undefined : savedOutput(file, result);
    if (output) item.command = { command: 'vscode.open', title: l10n.t('Open'), arguments: [output] };
    const icon = iconWord(file, result, live?.progress);
    item.accessibilityInformation = { label: listed([file.path, ...(icon ? [icon] : []), state]) };
    return item;
  }
}

/** The files of a run from one place in its list to before another. Files that were refused come first. */
function filesAt(record: RunRecord, { refused, files }: Manifest, from: number, to: number): RunNode[] {
  const before = refused.length;
  return [
    ...refused.slice(from, to).map((file): RunNode => ({ kind: 'refused', record, file })),
    ...files
      .slice(Math.max(from - before, 0), Math.max(to - before, 0))
      .map((file): RunNode => ({ kind: 'file', record, file })),
  ];
}

/** The files of one page. */
function pageOf(record: RunRecord, manifest: Manifest, index: number): RunNode[] {
  return filesAt(record, manifest, index * pageSize, (index + 1) * pageSize);
}
