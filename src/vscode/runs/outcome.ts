import { commands, l10n, type QuickPickItem, Uri, window } from 'vscode';
import type { FileResult, Manifest } from '../../core/plan/manifest';
import type { Accounts } from '../accounts/accounts';
import { sentenceOf } from '../words/sentences';
import type { Runs } from './runs';

/** A run and how its files ended. */
export interface Outcome {
  readonly manifest: Manifest;
  readonly results: readonly FileResult[];
}

/** What came of a run, from the account, where it is kept. */
export async function outcomeOf(
  accounts: Accounts,
  runs: Runs,
  runId: string | undefined,
): Promise<Outcome | undefined> {
  const record = runId ? runs.records.find((record) => record.runId === runId) : runs.records[0];
  if (record === undefined) return undefined;
  const live = runs.live(record.runId);
  if (live) return { manifest: live.manifest, results: [...live.results.values()] };
  const account = accounts.byId(record.accountId);
  if (account === undefined) return undefined;
  const [{ Storage }, { readManifest, readResults }] = await Promise.all([
    import('../../core/azure/storage'),
    import('../../core/runs/runState'),
  ]);
  const storage = new Storage(await accounts.connect(account));
  const signal = AbortSignal.timeout(60_000);
  return {
    manifest: await readManifest(storage, record.outputContainer, signal),
    results: await readResults(storage, record.outputContainer, signal),
  };
}

/** Each failed file with its reason. */
export async function showFailures(accounts: Accounts, runs: Runs, runId: string | undefined): Promise<void> {
  const outcome = await outcomeOf(accounts, runs, runId);
  if (outcome === undefined) return;
  const paths = new Map(outcome.manifest.files.map(({ id, path }) => [id, path]));
  const failures: QuickPickItem[] = [
    ...outcome.manifest.refused.map(({ path, problem }) => failure(path, sentenceOf(problem).text)),
    ...outcome.results.flatMap(({ id, problem }) =>
      problem ? failure(paths.get(id) ?? id, sentenceOf(problem).text) : [],
    ),
  ];
  await window.showQuickPick(failures, {
    title: l10n.t('{0} files failed', failures.length),
    placeHolder: l10n.t('Type to filter'),
    matchOnDetail: true,
  });
}

function failure(path: string, reason: string): QuickPickItem {
  return { label: `$(error) ${path}`, detail: reason };
}

/** Shows the first output in VS Code's Explorer. */
export async function showOutputs(accounts: Accounts, runs: Runs, runId: string | undefined): Promise<void> {
  const outcome = await outcomeOf(accounts, runs, runId);
  const uri = outcome?.results.find(({ outputUri }) => outputUri)?.outputUri;
  if (uri) await commands.executeCommand('revealInExplorer', Uri.parse(uri));
}
