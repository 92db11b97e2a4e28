import {
  type CancellationToken,
  type Disposable,
  LanguageModelTextPart,
  type LanguageModelTool,
  type LanguageModelToolInvocationOptions,
  type LanguageModelToolInvocationPrepareOptions,
  LanguageModelToolResult,
  l10n,
  lm,
  type PreparedToolInvocation,
  Uri,
  workspace,
} from 'vscode';
import type { Accounts } from '../accounts/accounts';
import { DisposableStore } from '../disposable';
import type { ExplorerData } from '../explorer/explorerData';
import { outcomeOf } from '../runs/outcome';
import type { Runs } from '../runs/runs';
import type { Transcode } from '../transcode/transcode';
import { sentenceOf } from '../words/sentences';

/** Jobs that are told of: an assistant needs no more. */
const jobsTold = 30;

/** What a person would ask an assistant for; nothing where this VS Code has no such thing. */
export function registerLanguageTools(
  accounts: Accounts,
  explorer: ExplorerData,
  runs: Runs,
  transcode: Transcode,
): Disposable {
  const store = new DisposableStore();
  if (typeof lm?.registerTool !== 'function') return store;
  store.add(lm.registerTool('batchTranscode_listJobs', new ListJobs(accounts, explorer)));
  store.add(lm.registerTool('batchTranscode_explainFailures', new ExplainFailures(accounts, runs)));
  store.add(lm.registerTool('batchTranscode_transcode', new TranscodeFiles(transcode)));
  return store;
}

const text = (value: unknown) =>
  new LanguageModelToolResult([
    new LanguageModelTextPart(typeof value === 'string' ? value : JSON.stringify(value)),
  ]);

class ListJobs implements LanguageModelTool<Record<string, never>> {
  constructor(
    private readonly accounts: Accounts,
    private readonly explorer: ExplorerData,
  ) {}

  prepareInvocation(): PreparedToolInvocation {
    return { invocationMessage: l10n.t('Listing jobs') };
  }

  async invoke(): Promise<LanguageModelToolResult> {
    const account = this.accounts.current;
    if (account === undefined) return text(sentenceOf({ kind: 'noAccount' }).text);
    const { batch } = await this.explorer.gateways(account);
    const { items } = await batch.jobPage({ pageSize: 200, select: 'id,state,creationTime,executionInfo' });
    items.sort((one, other) => Number(other.creationTime) - Number(one.creationTime));
    const jobs = await Promise.all(
      items.slice(0, jobsTold).map(async ({ id = '', state, creationTime, executionInfo }) => ({
        id,
        state,
        created: creationTime,
        pool: executionInfo?.poolId,
        tasks: await batch.taskCounts(id).catch(() => undefined),
      })),
    );
    return text({ account: account.label, jobs });
  }
}

class ExplainFailures implements LanguageModelTool<{ run?: string }> {
  constructor(
    private readonly accounts: Accounts,
    private readonly runs: Runs,
  ) {}

  prepareInvocation(): PreparedToolInvocation {
    return { invocationMessage: l10n.t('Looking why files failed') };
  }

  async invoke({
    input,
  }: LanguageModelToolInvocationOptions<{ run?: string }>): Promise<LanguageModelToolResult> {
    const outcome = await outcomeOf(this.accounts, this.runs, input.run);
    if (outcome === undefined) return text(l10n.t('Nothing has been transcoded in this workspace yet.'));
    const { manifest, results } = outcome;
    const paths = new Map(manifest.files.map(({ id, path }) => [id, path]));
    const failures = [
      ...manifest.refused.map(({ path, problem }) => ({ file: path, reason: sentenceOf(problem).text })),
      ...results.flatMap(({ id, problem }) =>
        problem ? [{ file: paths.get(id), reason: sentenceOf(problem).text }] : [],
      ),
    ];
    return text({ run: manifest.runId, files: manifest.files.length + manifest.refused.length, failures });
  }
}

interface TranscodeInput {
  readonly files: string[];
  readonly preset?: string;
}

class TranscodeFiles implements LanguageModelTool<TranscodeInput> {
  constructor(private readonly transcode: Transcode) {}

  /** It uploads files and may cost money: nobody but a person decides that. */
  prepareInvocation({
    input,
  }: LanguageModelToolInvocationPrepareOptions<TranscodeInput>): PreparedToolInvocation {
    const names = input.files.slice(0, 10).join(', ') + (input.files.length > 10 ? ', …' : '');
    return {
      invocationMessage: l10n.t('Transcoding {0}', names),
      confirmationMessages: {
        title: l10n.t('Transcode on Azure Batch'),
        message: l10n.t(
          'Upload {0} and transcode with the preset {1}? On Azure this costs money.',
          names,
          input.preset ?? 'mp3',
        ),
      },
    };
  }

  async invoke(
    { input }: LanguageModelToolInvocationOptions<TranscodeInput>,
    token: CancellationToken,
  ): Promise<LanguageModelToolResult> {
    const { succeeded, failed, total, runId } = await this.transcode.transcodeFiles(
      input.files.map(inWorkspace),
      input.preset ?? 'mp3',
      token,
    );
    return text({ run: runId, succeeded, failed, total });
  }
}

/** A path as an assistant writes it: below a folder of the workspace, or whole. */
function inWorkspace(path: string): Uri {
  const [folder] = workspace.workspaceFolders ?? [];
  const isWhole = /^([/\\]|[A-Za-z]:)/.test(path);
  return isWhole || folder === undefined ? Uri.file(path) : Uri.joinPath(folder.uri, path);
}
