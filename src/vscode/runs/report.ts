import { commands, l10n, type TextDocumentContentProvider, Uri, window, workspace } from 'vscode';
import type { RunReport } from '../../core/runs/report';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { presetName } from '../words/presetLabels';
import { outcomeOf } from './outcome';
import type { Runs } from './runs';

export const reportScheme = 'azure-batch-report';

/** The reports of runs as documents, written when they are opened. */
export class Reports implements TextDocumentContentProvider {
  constructor(
    private readonly accounts: Accounts,
    private readonly runs: Runs,
  ) {}

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const report = await this.#report(uri.query);
    if (report === undefined) return '';
    const { markdownOf } = await import('./reportText');
    return markdownOf(report);
  }

  /** Opens the report of a run, the latest one when none is named, as it is read rather than as it is written. */
  async show(runId: string | undefined): Promise<void> {
    const run = runId ?? this.runs.records[0]?.runId;
    if (run === undefined) {
      background(window.showInformationMessage(l10n.t('Nothing has been transcoded in this workspace yet.')));
      return;
    }
    const uri = Uri.from({ scheme: reportScheme, path: `/${l10n.t('Transcode')} ${run}.md`, query: run });
    await commands.executeCommand('markdown.showPreview', uri);
  }

  /** Saves the report as CSV, JSON or Markdown, whichever the chosen name ends with. */
  async save(runId: string | undefined): Promise<void> {
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
    const { textOf } = await import('./reportText');
    await workspace.fs.writeFile(target, new TextEncoder().encode(textOf(report, target.path)));
    await window.showTextDocument(target);
  }

  async #report(runId: string | undefined): Promise<RunReport | undefined> {
    const outcome = await outcomeOf(this.accounts, this.runs, runId || undefined);
    if (outcome === undefined) return undefined;
    const { reportOf } = await import('../../core/runs/report');
    const { manifest, results } = outcome;
    return { ...reportOf(manifest, results), preset: presetName(manifest.preset) };
  }
}
