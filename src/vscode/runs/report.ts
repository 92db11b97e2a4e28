import {
  commands,
  type Disposable,
  EventEmitter,
  l10n,
  type TextDocumentContentProvider,
  Uri,
  window,
  workspace,
} from 'vscode';
import { UserError } from '../../core/errors';
import type { Accounts } from '../accounts/accounts';
import { reportScheme } from '../contributions';
import { textInMarkdown } from '../words/plainText';
import { presetName } from '../words/presetLabels';
import { sentenceOf } from '../words/sentences';
import { outcomeOf } from './outcome';
import type { FullReport } from './reportText';
import type { RunCosts } from './runCosts';
import type { Runs } from './runs';

/** The reports of runs as documents, written when they are opened. */
export class Reports implements TextDocumentContentProvider, Disposable {
  readonly #changed = new EventEmitter<Uri>();
  readonly onDidChange = this.#changed.event;

  constructor(
    private readonly accounts: Accounts,
    private readonly runs: Runs,
    private readonly costs: RunCosts,
  ) {}

  /** The report as Markdown, or the reason why there is none: after a reload of the window, VS Code asks for it again. */
  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const { markdownOf } = await import('./reportText');
    try {
      const report = await this.#report(uri.query);
      return report === undefined ? '' : markdownOf(report);
    } catch (error) {
      if (error instanceof UserError) return textInMarkdown(sentenceOf(error.problem).text);
      throw error;
    }
  }

  dispose(): void {
    this.#changed.dispose();
  }

  /** Opens the report of a run, as the run is now, in the Markdown preview. Throws `noAccount`. */
  async show(runId: string): Promise<void> {
    const record = this.runs.record(runId);
    if (record !== undefined && !this.runs.live(runId)) this.accounts.accountOf(record);
    const uri = Uri.from({ scheme: reportScheme, path: `/${l10n.t('Transcode')} ${runId}.md`, query: runId });
    // VS Code keeps a document for minutes after its editor was closed, and the run may have continued since.
    this.#changed.fire(uri);
    await commands.executeCommand('markdown.showPreview', uri);
  }

  /** Saves the report as CSV, JSON or Markdown, by the extension of the chosen name. */
  async save(runId: string): Promise<void> {
    const report = await this.#report(runId);
    if (report === undefined) return;
    const [folder] = workspace.workspaceFolders ?? [];
    const name = `transcode-${report.run}.csv`;
    const target = await window.showSaveDialog({
      defaultUri: folder ? Uri.joinPath(folder.uri, name) : undefined,
      filters: { CSV: ['csv'], JSON: ['json'], Markdown: ['md'] },
      title: l10n.t('Export the report of the run'),
    });
    if (target === undefined) return;
    const [{ textOf }, { writeProblemOf }] = await Promise.all([
      import('./reportText'),
      import('../workspaceFiles'),
    ]);
    try {
      await workspace.fs.writeFile(target, new TextEncoder().encode(textOf(report, target.path)));
    } catch (error) {
      throw writeProblemOf(error, target.toString());
    }
    await window.showTextDocument(target);
  }

  async #report(runId: string): Promise<FullReport | undefined> {
    const outcome = await outcomeOf(this.accounts, this.runs, runId);
    if (outcome === undefined) return undefined;
    const [{ reportOf }, { timelineOf }, { idleNodeHours }, { nodeTargets }, { tasksOf }] = await Promise.all(
      [
        import('../../core/runs/report'),
        import('../../core/estimates/timeline'),
        import('../../core/estimates/estimate'),
        import('../../core/pools/nodeTargets'),
        import('../../core/plan/manifest'),
      ],
    );
    const { manifest, results } = outcome;
    const account = this.accounts.byId(this.runs.record(runId)?.accountId ?? '');
    const { dedicated, spot } = nodeTargets(manifest.pool, tasksOf(manifest));
    const report = reportOf(manifest, results);
    return {
      ...report,
      preset: presetName(manifest.preset),
      account: account?.label ?? '',
      timeline: timelineOf(manifest, results),
      isLocal: account?.signIn === 'local',
      idleHours: manifest.finished ? idleNodeHours(manifest, Date.parse(manifest.finished)) : 0,
      prices: account && (await this.costs.pricesOf(account, manifest.pool.vmSize)),
      // The nodes that came may be others than those that were asked for.
      spotShare:
        report.dedicatedShare === undefined
          ? spot / Math.max(dedicated + spot, 1)
          : 1 - report.dedicatedShare,
    };
  }
}
