import { commands, type Disposable, env, type LogOutputChannel, l10n, Uri, window } from 'vscode';
import { isAbort, type Problem, UserError } from '../core/errors';
import { DisposableStore } from './disposable';
import { section } from './settings';
import { type Remedy, sentenceOf } from './words/sentences';

/** What a command does: gathers its input, calls `core`, shows the result. */
export type Handler = (...args: never[]) => unknown;

/** The one place where commands are registered and where what they throw is caught. */
export class Commands {
  constructor(private readonly log: LogOutputChannel) {}

  /** Registers `batchTranscode.<id>` for each entry. */
  register(table: Record<string, Handler>): Disposable {
    const store = new DisposableStore();
    for (const [id, handler] of Object.entries(table)) {
      store.add(
        commands.registerCommand(`${section}.${id}`, async (...args: never[]) => {
          try {
            return await handler(...args);
          } catch (error) {
            await this.show(error);
            return undefined;
          }
        }),
      );
    }
    return store;
  }

  /** Cancelled is silence, a UserError its sentence with what to do, anything else an apology with the log. */
  async show(error: unknown): Promise<void> {
    if (isAbort(error)) return;
    if (error instanceof UserError) return this.showProblem(error.problem);
    this.log.error(error instanceof Error ? error : String(error));
    const showLog = l10n.t('Show Log');
    const answer = await window.showErrorMessage(
      l10n.t(
        'Something went wrong that should not have: {0}',
        error instanceof Error ? error.message : String(error),
      ),
      showLog,
    );
    if (answer === showLog) this.log.show();
  }

  async showProblem(problem: Problem): Promise<void> {
    const { text, remedies } = sentenceOf(problem);
    this.log.error(text);
    if (problem.kind === 'service' && problem.requestId) this.log.error(`request-id: ${problem.requestId}`);
    const titles = new Map(remedies.map((remedy) => [remedyTitle(remedy), remedy]));
    const showLog = l10n.t('Show Log');
    const answer = await window.showErrorMessage(text, ...titles.keys(), showLog);
    if (answer === showLog) this.log.show();
    const remedy = answer && titles.get(answer);
    if (remedy) await apply(remedy);
  }
}

function remedyTitle(remedy: Remedy): string {
  switch (remedy) {
    case 'useLocalAccount':
      return l10n.t('Use the Local Batch Account');
    case 'connect':
      return l10n.t('Connect an Account…');
    case 'chooseAccount':
      return l10n.t('Choose an Account…');
    case 'signIn':
      return l10n.t('Sign In');
    case 'cleanUp':
      return l10n.t('Clean Up…');
    case 'openPoolSettings':
    case 'openLocalSettings':
      return l10n.t('Open Settings');
    case 'manageTrust':
      return l10n.t('Manage Workspace Trust');
    case 'getFfmpeg':
      return l10n.t('Get ffmpeg');
    case 'askQuota':
      return l10n.t('How to Ask for Quota');
    case 'attach':
      return l10n.t('Attach to Run…');
    case 'checkConnection':
      return l10n.t('Check Connection');
    case 'showServiceLog':
      return l10n.t('Show Service Log');
  }
}

async function apply(remedy: Remedy): Promise<void> {
  switch (remedy) {
    case 'openPoolSettings':
      return commands.executeCommand('workbench.action.openSettings', `${section}.pool`);
    case 'openLocalSettings':
      return commands.executeCommand('workbench.action.openSettings', `${section}.local.ffmpegPath`);
    case 'manageTrust':
      return commands.executeCommand('workbench.trust.manage');
    case 'getFfmpeg':
      await env.openExternal(Uri.parse('https://ffmpeg.org/download.html'));
      return;
    case 'askQuota':
      await env.openExternal(Uri.parse('https://learn.microsoft.com/azure/batch/batch-quota-limit'));
      return;
    default:
      return commands.executeCommand(`${section}.${remedy}`);
  }
}
