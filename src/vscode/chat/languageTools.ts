import {
  type CancellationToken,
  LanguageModelTextPart,
  type LanguageModelTool,
  type LanguageModelToolInvocationOptions,
  type LanguageModelToolInvocationPrepareOptions,
  LanguageModelToolResult,
  l10n,
  MarkdownString,
  type PreparedToolInvocation,
  Uri,
  workspace,
} from 'vscode';
import { UserError } from '../../core/errors';
import type { RunSummary } from '../../core/runs/runEvents';
import type { Accounts } from '../accounts/accounts';
import type { ExplorerData } from '../explorer/explorerData';
import { outcomeOf } from '../runs/outcome';
import type { Runs } from '../runs/runs';
import type { Transcode } from '../transcode/transcode';
import { count } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import type { Tool, ToolName } from './registerTools';

/** The newest jobs, whose tasks are counted with a request each. */
const maxJobs = 30;

/** The tools that assistants can use, by their names without the prefix. */
export function languageTools(
  accounts: Accounts,
  explorer: ExplorerData,
  runs: Runs,
  transcode: Transcode,
): Record<ToolName, Tool> {
  return {
    listJobs: new ListJobs(accounts, explorer),
    explainFailures: new ExplainFailures(accounts, runs),
    transcode: new TranscodeFiles(accounts, transcode),
  };
}

/** Gives the assistant the sentence of a problem, as the user would read it, instead of an error. */
async function orSentence(work: () => Promise<LanguageModelToolResult>): Promise<LanguageModelToolResult> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UserError) return text(sentenceOf(error.problem).text);
    throw error;
  }
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

  invoke(): Promise<LanguageModelToolResult> {
    return orSentence(() => this.#list());
  }

  async #list(): Promise<LanguageModelToolResult> {
    const account = this.accounts.current;
    if (account === undefined) return text(sentenceOf({ kind: 'noAccount' }).text);
    const { batch } = await this.explorer.gateways(account);
    const { newestJobs } = await import('../../core/jobs/newestJobs');
    const newest = await newestJobs(batch, { select: 'state,executionInfo' });
    const jobs = await Promise.all(
      newest.jobs.slice(0, maxJobs).map(async ({ id = '', state, creationTime, executionInfo }) => ({
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
    return { invocationMessage: l10n.t('Finding out why files failed') };
  }

  invoke({ input }: LanguageModelToolInvocationOptions<{ run?: string }>): Promise<LanguageModelToolResult> {
    return orSentence(() => this.#explain(input.run));
  }

  async #explain(runId: string | undefined): Promise<LanguageModelToolResult> {
    const outcome = await outcomeOf(this.accounts, this.runs, runId);
    if (outcome === undefined) {
      return text(
        runId
          ? l10n.t('This workspace has no run {0}.', runId)
          : l10n.t('No files have been transcoded in this workspace yet.'),
      );
    }
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

/** Files that the question before a transcode names. */
const maxNamed = 10;

/** A chat reads texts as Markdown, and names of files can look like that. */
const asText = (text: string) => new MarkdownString().appendText(text);

class TranscodeFiles implements LanguageModelTool<TranscodeInput> {
  constructor(
    private readonly accounts: Accounts,
    private readonly transcode: Transcode,
  ) {}

  /** The tool uploads files and may cost money, so the user confirms it. */
  prepareInvocation({
    input,
  }: LanguageModelToolInvocationPrepareOptions<TranscodeInput>): PreparedToolInvocation {
    const first = input.files.slice(0, maxNamed).join(', ');
    const others = input.files.length - maxNamed;
    const names = others > 0 ? l10n.t('{0} and {1} more', first, count(others)) : first;
    const { preset = 'mp3' } = input;
    return {
      invocationMessage: asText(l10n.t('Transcoding {0}', names)),
      confirmationMessages: {
        title: l10n.t('Transcode on Azure Batch'),
        message: asText(
          this.accounts.current?.signIn === 'local'
            ? l10n.t('Transcode {0} with the preset {1} on this machine?', names, preset)
            : l10n.t('Upload {0} and transcode with the preset {1}? This may cost money.', names, preset),
        ),
      },
    };
  }

  invoke(
    { input }: LanguageModelToolInvocationOptions<TranscodeInput>,
    token: CancellationToken,
  ): Promise<LanguageModelToolResult> {
    return orSentence(() => this.#transcode(input, token));
  }

  async #transcode(input: TranscodeInput, token: CancellationToken): Promise<LanguageModelToolResult> {
    const summary = await this.transcode.transcodeFiles(
      input.files.map((path) => inWorkspace(path)),
      input.preset ?? 'mp3',
      token,
    );
    return text(summaryFor(summary));
  }
}

/** What an assistant learns of a run that has ended: with the reasons of the first failures, for which it would ask next. */
export function summaryFor({ succeeded, failed, total, runId, firstFailed }: RunSummary): object {
  const failures = firstFailed.map(({ path, problem }) => ({ file: path, reason: sentenceOf(problem).text }));
  return { run: runId, succeeded, failed, total, ...(failed > 0 && { failures }) };
}

/**
 * A path as an assistant writes it: absolute, or relative to the first folder of the workspace. Where there are several
 * folders, a path can begin with the name of one, as the paths that VS Code shows do.
 */
export function inWorkspace(path: string, folders = workspace.workspaceFolders ?? []): Uri {
  const [first] = folders;
  const isAbsolute = /^([/\\]|[A-Za-z]:)/.test(path);
  if (isAbsolute || first === undefined) return Uri.file(path);
  const named = folders.find(({ name }) => folders.length > 1 && path.startsWith(`${name}/`));
  return named ? Uri.joinPath(named.uri, path.slice(named.name.length + 1)) : Uri.joinPath(first.uri, path);
}
