import {
  Diagnostic,
  DiagnosticSeverity,
  EventEmitter,
  type FileChangeEvent,
  FileChangeType,
  type FileStat,
  FileSystemError,
  FileType,
  l10n,
  languages,
  Range,
  type TextDocument,
  TextDocumentSaveReason,
  Uri,
  window,
  workspace,
} from 'vscode';
import type { AccountRecord } from '../../../core/azure/account';
import type { AutoScaleRun, Batch } from '../../../core/azure/batch';
import { UserError } from '../../../core/errors';
import type { Accounts } from '../../accounts/accounts';
import { background } from '../../background';
import { autoscaleScheme } from '../../contributions';
import { DisposableStore } from '../../disposable';
import { longWork } from '../../longWork';
import { showError, showInformation } from '../../messages';
import type { AccountsView } from '../accountsView';
import type { ExplorerData } from '../explorerData';

/** The example for a pool without a formula: https://learn.microsoft.com/azure/batch/batch-automatic-scaling */
const firstFormula = [
  '// One dedicated node while tasks are waiting or running, else none.',
  'pending = max(0, $PendingTasks.GetSample(1));',
  '$TargetDedicatedNodes = pending > 0 ? 1 : 0;',
  '$TargetLowPriorityNodes = 0;',
  '$NodeDeallocationOption = taskcompletion;',
  '',
].join('\n');

interface Formula {
  readonly text: string;
  readonly changed: number;
  /** The text was saved in the editor and is not applied to the pool. */
  readonly isDraft: boolean;
}

/**
 * Autoscale formulas of pools as documents that are edited like files. When the user saves one, it is evaluated on the pool,
 * and the user is asked whether to apply it; Auto Save only keeps the text. The text, its line breaks and its comments stay as
 * they are written.
 */
export class AutoscaleDocuments {
  readonly #disposables = new DisposableStore();
  readonly #changed = this.#disposables.add(new EventEmitter<FileChangeEvent[]>());
  readonly onDidChangeFile = this.#changed.event;
  readonly #problems = this.#disposables.add(languages.createDiagnosticCollection(autoscaleScheme));
  /** By URI: what is edited, until the document is closed; a draft is kept for as long as the window is open. */
  readonly #formulas = new Map<string, Formula>();
  /** By URI: the newest save by the user, which replaces an earlier one that is still being evaluated. */
  readonly #saves = new Map<string, { readonly done: Promise<void> }>();
  /** Documents that VS Code is saving by itself. VS Code doesn't announce a save without formatting. */
  readonly #autoSaved = new WeakSet<TextDocument>();

  constructor(
    private readonly accounts: Accounts,
    private readonly data: ExplorerData,
    private readonly accountsView: AccountsView,
  ) {
    this.#disposables.add(
      workspace.onWillSaveTextDocument(({ document, reason }) => {
        if (document.uri.scheme !== autoscaleScheme) return;
        if (reason === TextDocumentSaveReason.Manual) this.#autoSaved.delete(document);
        else this.#autoSaved.add(document);
      }),
    );
    this.#disposables.add(
      workspace.onDidSaveTextDocument((document) => {
        if (document.uri.scheme !== autoscaleScheme) return;
        if (!this.#autoSaved.delete(document)) background(this.#saved(document));
      }),
    );
    this.#disposables.add(
      workspace.onDidCloseTextDocument(({ uri }) => {
        if (uri.scheme !== autoscaleScheme) return;
        if (!this.#formulas.get(uri.toString())?.isDraft) this.#formulas.delete(uri.toString());
        this.#problems.delete(uri);
      }),
    );
  }

  /** Opens the formula of a pool in an editor, or an example if the pool has none. */
  async open(account: AccountRecord, poolId: string): Promise<void> {
    const uri = Uri.from({
      scheme: autoscaleScheme,
      authority: account.id,
      path: `/${poolId}.autoscale`,
    });
    await window.showTextDocument(await workspace.openTextDocument(uri), { preview: false });
    if (this.#formulas.get(uri.toString())?.isDraft) background(this.#offerDiscard(uri, poolId));
  }

  async #offerDiscard(uri: Uri, poolId: string): Promise<void> {
    const discard = l10n.t('Discard Changes');
    const answer = await showInformation(
      l10n.t("The editor has changes that haven't been applied to pool {0}.", poolId),
      discard,
    );
    if (answer !== discard) return;
    this.#formulas.delete(uri.toString());
    this.#changed.fire([{ type: FileChangeType.Changed, uri }]);
  }

  async stat(uri: Uri): Promise<FileStat> {
    const { text, changed } = await this.#formula(uri);
    return { type: FileType.File, ctime: 0, mtime: changed, size: Buffer.byteLength(text) };
  }

  async readFile(uri: Uri): Promise<Uint8Array> {
    return Buffer.from((await this.#formula(uri)).text);
  }

  /** Keeps the text. It is applied only after the user has seen its result. */
  writeFile(uri: Uri, content: Uint8Array): void {
    const text = Buffer.from(content).toString('utf8');
    this.#formulas.set(uri.toString(), { text, changed: Date.now(), isDraft: true });
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  async #formula(uri: Uri): Promise<Formula> {
    const known = this.#formulas.get(uri.toString());
    if (known) return known;
    const { batch, poolId } = await this.#poolOf(uri);
    const pool = await batch.pool(poolId, { select: 'autoScaleFormula' });
    if (pool === undefined) throw FileSystemError.FileNotFound(uri);
    const text = pool.autoScaleFormula ?? firstFormula;
    const formula = { text, changed: Date.now(), isDraft: false };
    this.#formulas.set(uri.toString(), formula);
    return formula;
  }

  async #poolOf(uri: Uri): Promise<{ account: AccountRecord; batch: Batch; poolId: string }> {
    const account = this.accounts.accountOf({ accountId: uri.authority });
    const { batch } = await this.data.gateways(account);
    return { account, batch, poolId: uri.path.replace(/^\/|\.autoscale$/g, '') };
  }

  /** Offers to apply what was saved, after what was saved before: only one question is open for a pool. */
  async #saved(document: TextDocument): Promise<void> {
    const key = document.uri.toString();
    const formula = document.getText();
    const before = this.#saves.get(key)?.done.catch(() => undefined);
    const isNewest = () => this.#saves.get(key) === save;
    const offer = async () => {
      await before;
      if (isNewest()) await this.#offerApply(document, formula, isNewest);
    };
    const save = { done: Promise.resolve().then(offer) };
    this.#saves.set(key, save);
    await save.done;
  }

  async #offerApply(document: TextDocument, formula: string, isNewest: () => boolean): Promise<void> {
    const { uri } = document;
    const { account, batch, poolId } = await this.#poolOf(uri);
    const pool = await batch.pool(poolId, { select: 'enableAutoScale,autoScaleEvaluationInterval' });
    if (pool === undefined) throw new UserError({ kind: 'poolGone', pool: poolId });
    this.#problems.delete(uri);
    let detail = l10n.t('Autoscale is turned on with this formula, which is evaluated at once.');
    if (pool.enableAutoScale) {
      const evaluation = await evaluate(batch, poolId, formula);
      // What was saved meanwhile is evaluated next.
      if (!isNewest()) return;
      if (evaluation.problem !== undefined) {
        this.#show(document, evaluation.problem);
        return;
      }
      detail = l10n.t('Current result:\n{0}', evaluation.results);
    }
    const apply = l10n.t('Apply');
    const answer = await showInformation(
      l10n.t('Apply the formula to pool {0}?', poolId),
      { modal: true, detail },
      apply,
    );
    if (answer !== apply) return;
    const [{ enableAutoscale }, { evaluationInterval }] = await Promise.all([
      import('../../../core/pools/poolSizes'),
      import('../../../core/pools/evaluationInterval'),
    ]);
    const intervalMinutes = evaluationInterval(pool);
    try {
      await longWork(l10n.t('Applying the formula to pool {0}', poolId), (_, signal) =>
        enableAutoscale(batch, poolId, formula, { signal, intervalMinutes }),
      );
      const key = uri.toString();
      const saved = this.#formulas.get(key);
      if (saved?.text === formula) this.#formulas.set(key, { ...saved, isDraft: false });
      background(showInformation(l10n.t('The formula is applied to pool {0}.', poolId)));
    } catch (error) {
      const problem = refusalOf(error);
      if (problem === undefined) throw error;
      this.#show(document, problem);
    } finally {
      this.accountsView.update(account);
    }
  }

  /** Shows what is wrong in the editor and in a message. */
  #show(document: TextDocument, problem: string): void {
    const whole = new Range(0, 0, document.lineCount, 0);
    const range = rangeNamed(document, problem) ?? whole;
    this.#problems.set(document.uri, [new Diagnostic(range, problem, DiagnosticSeverity.Error)]);
    background(showError(l10n.t("The formula can't be evaluated: {0}", problem)));
  }
}

/** The place that the message names, as in `line 3` or `Line: 3`. */
function rangeNamed(document: TextDocument, problem: string): Range | undefined {
  const [, line] = /\bline:?\s+(\d+)/i.exec(problem) ?? [];
  const index = Number(line) - 1;
  return index >= 0 && index < document.lineCount ? document.lineAt(index).range : undefined;
}

type Evaluation = { readonly problem: string } | { readonly problem?: undefined; readonly results: string };

/** What a formula gives on a pool with autoscale, a line for each variable, or what is wrong with it. */
async function evaluate(batch: Batch, poolId: string, formula: string): Promise<Evaluation> {
  try {
    const { error, results = '' }: AutoScaleRun = await batch.evaluateAutoScale(poolId, formula);
    const values = (error?.values ?? []).map(({ value }) => value).filter(Boolean);
    const problem = values.join(' ') || error?.message || error?.code;
    return problem ? { problem } : { results: results.split(';').filter(Boolean).join('\n') };
  } catch (error) {
    const problem = refusalOf(error);
    if (problem === undefined) throw error;
    return { problem };
  }
}

/** What the service says against a formula; undefined for other errors. */
function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof UserError) || error.problem.kind !== 'service') return undefined;
  const { code, detail, status } = error.problem;
  return status === 400 ? (detail ?? code) : undefined;
}
