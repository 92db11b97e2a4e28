import { commands, FileType, l10n, type QuickPickItem, ThemeIcon, Uri, window, workspace } from 'vscode';
import type { Storage } from '../../core/azure/storage';
import { type Problem, UserError } from '../../core/errors';
import type { FileResult, Manifest } from '../../core/plan/manifest';
import type { ListedRun } from '../../core/records/runList';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { showInformation } from '../messages';
import { logLineOf } from '../words/ffmpegReasons';
import { filesOf } from '../words/numbers';
import { plainText } from '../words/plainText';
import { sentenceOf } from '../words/sentences';
import { savedOutput } from '../workspaceFiles';
import { type RunRecord, recordOf } from './runRecord';
import type { Runs } from './runs';
import { withoutName } from './runWords';

/** A run and the results of its files. */
export interface Outcome {
  readonly manifest: Manifest;
  readonly results: readonly FileResult[];
}

const timeoutMs = 60_000;

/**
 * The outcome of a run so far: from this window if it works on the run, or else from the account. The newest run if none
 * is named; undefined if there is none. Throws `noAccount` if the account of the run isn't connected, and `runAltered` if
 * something else has written its manifest: the URIs in it are opened.
 */
export async function outcomeOf(
  accounts: Accounts,
  runs: Runs,
  runId: string | undefined,
): Promise<Outcome | undefined> {
  const record = runId ? runs.record(runId) : runs.records[0];
  if (record === undefined) return undefined;
  const live = runs.live(record.runId);
  if (live) return { manifest: live.manifest, results: [...live.results.values()] };
  const account = accounts.accountOf(record);
  const [{ Storage }, { checkSeal }] = await Promise.all([
    import('../../core/azure/storage'),
    import('../../core/records/seal'),
  ]);
  const storage = new Storage(await accounts.connect(account));
  const signal = AbortSignal.timeout(timeoutMs);
  const outcome = await readOutcome(storage, record.outputContainer, signal);
  await checkSeal(storage, record.outputContainer, outcome.manifest, signal);
  return outcome;
}

async function readOutcome(storage: Storage, outputContainer: string, signal: AbortSignal): Promise<Outcome> {
  const [{ readManifest }, { readResults, resultsOf }] = await Promise.all([
    import('../../core/records/manifestStore'),
    import('../../core/records/resultJournal'),
  ]);
  const manifest = await readManifest(storage, outputContainer, signal);
  const results = await readResults(storage, outputContainer, signal);
  return { manifest, results: resultsOf(manifest, results) };
}

export interface ReadRun extends Outcome {
  readonly record: RunRecord;
}

/**
 * Reads a run from the account, for lists: one whose manifest was altered must not keep the others from being listed. Undefined
 * if its manifest was never written, or was deleted just now.
 */
export async function readRun(
  storage: Storage,
  accountId: string,
  { outputContainer }: ListedRun,
  signal: AbortSignal,
): Promise<ReadRun | undefined> {
  try {
    const { manifest, results } = await readOutcome(storage, outputContainer, signal);
    return { manifest, results, record: recordOf(accountId, manifest, results, 'stopped') };
  } catch (error) {
    if (error instanceof UserError && error.problem.kind === 'runNotFound') return undefined;
    throw error;
  }
}

/** Lists the files of a run that failed or were refused, with their reasons. */
export async function showFailures(accounts: Accounts, runs: Runs, runId: string | undefined): Promise<void> {
  const outcome = await outcomeOf(accounts, runs, runId);
  if (outcome === undefined) return;
  const paths = new Map(outcome.manifest.files.map(({ id, path }) => [id, path]));
  const failures = [
    ...outcome.manifest.refused.map(({ path, problem }) => failureItem(path, problem)),
    ...outcome.results.flatMap(({ id, problem }) =>
      problem ? failureItem(paths.get(id) ?? id, problem) : [],
    ),
  ];
  if (failures.length === 0) {
    background(showInformation(l10n.t('No file of this run failed.')));
    return;
  }
  const chosen = await window.showQuickPick(failures, {
    title: l10n.t('Failed: {0}', filesOf(failures.length)),
    placeHolder: l10n.t('Type to filter'),
    matchOnDetail: true,
  });
  if (chosen?.logLine === undefined) return;
  background(showInformation(chosen.path, { modal: true, detail: chosen.logLine }));
}

/** A file that failed and its reason. Choosing it shows the line of the log, if there is one. */
function failureItem(
  path: string,
  problem: Problem,
): QuickPickItem & { readonly path: string; readonly logLine?: string } {
  const reason = sentenceOf(problem).text;
  return {
    path,
    logLine: logLineOf(problem),
    iconPath: new ThemeIcon('error'),
    label: plainText(path),
    detail: plainText(withoutName(reason, path)),
  };
}

/** Outputs that are looked for until one is found that still exists. */
const maxTried = 100;

/** Shows the first output of a run that still exists. */
export async function showOutputs(accounts: Accounts, runs: Runs, runId: string | undefined): Promise<void> {
  const outcome = await outcomeOf(accounts, runs, runId);
  const files = new Map(outcome?.manifest.files.map((file) => [file.id, file]));
  let first: Uri | undefined;
  let tried = 0;
  for (const result of outcome?.results ?? []) {
    const file = files.get(result.id);
    const uri = file && savedOutput(file, result);
    if (uri === undefined) continue;
    if (tried++ === maxTried) break;
    first ??= uri;
    if (await doesExist(uri)) return showInExplorer(uri);
  }
  if (first) return showInExplorer(first);
  background(showInformation(l10n.t('This run has no outputs on this machine.')));
}

/** Reveals a file in the Explorer. One outside the workspace is opened; of a folder there, its first file. */
export async function showInExplorer(uri: Uri): Promise<void> {
  if (!(await doesExist(uri)))
    throw new UserError({ kind: 'fileMissing', file: workspace.asRelativePath(uri) });
  if (workspace.getWorkspaceFolder(uri)) await commands.executeCommand('revealInExplorer', uri);
  else await commands.executeCommand('vscode.open', await fileIn(uri));
}

async function doesExist(uri: Uri): Promise<boolean> {
  return workspace.fs.stat(uri).then(
    () => true,
    () => false,
  );
}

/** The file itself, or the first file of a folder, since no editor can open a folder. */
async function fileIn(uri: Uri): Promise<Uri> {
  const { type } = await workspace.fs.stat(uri);
  if (!(type & FileType.Directory)) return uri;
  const [first] = (await workspace.fs.readDirectory(uri))
    .filter(([, kind]) => kind & FileType.File)
    .map(([name]) => name)
    .sort();
  return first === undefined ? uri : Uri.joinPath(uri, first);
}
