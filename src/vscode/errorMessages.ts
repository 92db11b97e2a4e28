import { commands, env, type LogOutputChannel, l10n, Uri } from 'vscode';
import { UserError } from '../core/errors';
import { maskSas } from '../core/log';
import { commandName, section } from './contributions';
import { showError } from './messages';
import type { Remedy, ShownProblem } from './words/remedy';
import { sentenceOf } from './words/sentences';

/** Shows errors as messages, with buttons for what the user can do about them. Loaded when the first error is shown. */
export class ErrorMessages {
  constructor(private readonly log: LogOutputChannel) {}

  /** Shows an error once and logs it. Resolves with true if a remedy says that it has helped. */
  async show(error: unknown): Promise<boolean> {
    if (error instanceof UserError) return this.#showProblem(error, error);
    this.log.error(['An unexpected error occurred', ...causesOf(error)].join('\n'));
    const message = maskSas(error instanceof Error ? error.message : String(error));
    await this.#ask(l10n.t('An unexpected error occurred: {0}', message), []);
    return false;
  }

  /** Shows a problem that was recorded earlier, with what the user can do about it. */
  async showProblem(shown: ShownProblem): Promise<void> {
    await this.#showProblem(shown, undefined);
  }

  async #showProblem({ problem, accountId }: ShownProblem, error: UserError | undefined): Promise<boolean> {
    const { text } = sentenceOf(problem);
    const requestId = problem.kind === 'service' ? problem.requestId : undefined;
    this.log.error([text, ...(requestId ? [`request id: ${requestId}`] : []), ...causesOf(error)].join('\n'));
    const titles = new Map(remediesOf({ problem, accountId }).map((remedy) => [remedyTitle(remedy), remedy]));
    const answer = await this.#ask(text, [...titles.keys()]);
    const remedy = answer ? titles.get(answer) : undefined;
    return remedy !== undefined && (await this.#apply(remedy, { problem, accountId })) === true;
  }

  /** Shows an error. Resolves with the button that the user pressed, except Show Log. VS Code closes an equal message. */
  async #ask(text: string, buttons: readonly string[]): Promise<string | undefined> {
    const showLog = l10n.t('Show Log');
    const answer = await showError(text, ...buttons, showLog);
    if (answer === showLog) this.log.show();
    return answer;
  }

  async #apply(remedy: Remedy, shown: ShownProblem): Promise<unknown> {
    switch (remedy) {
      case 'openMediaSettings':
        return openSettings('media.extensions');
      case 'openPoolSettings':
        return openSettings('pool');
      case 'openPresetSettings':
        return openSettings('presets');
      case 'openTaskSettings':
        return openSettings('task');
      case 'openLocalSettings':
        return openSettings('local.ffmpegPath');
      case 'manageTrust':
        return commands.executeCommand('workbench.trust.manage');
      case 'getFfmpeg':
        return openPage('https://ffmpeg.org/download.html');
      case 'askQuota':
        return openPage('https://learn.microsoft.com/azure/batch/batch-quota-limit');
      case 'enterKeys':
      case 'updateCredentials':
        return commands.executeCommand(commandName('signIn'), shown);
      default:
        return commands.executeCommand(commandName(remedy), shown);
    }
  }
}

/** What helps with a problem of this account. The local account has keys of its own, which a user can't update. */
export function remediesOf({ problem, accountId }: ShownProblem): Remedy[] {
  const account = accountId ?? (problem.kind === 'runWaits' ? problem.account : undefined);
  return sentenceOf(problem).remedies.filter(
    (remedy) => remedy !== 'updateCredentials' || account !== 'local',
  );
}

/** The stack of an error and of each of its causes, without signatures; empty for undefined. */
function causesOf(error: unknown): string[] {
  const stacks: string[] = [];
  for (let cause = error; cause !== undefined && stacks.length < 10; ) {
    const stack = cause instanceof Error ? (cause.stack ?? String(cause)) : String(cause);
    stacks.push(`${stacks.length > 0 ? 'Caused by: ' : ''}${maskSas(stack)}`);
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return stacks;
}

function remedyTitle(remedy: Remedy): string {
  switch (remedy) {
    case 'useLocalAccount':
      return l10n.t('Use the Local Batch Account');
    case 'connect':
      return l10n.t('Connect an Account…');
    case 'signIn':
      return l10n.t('Sign In');
    case 'enterKeys':
      return l10n.t('Enter Keys…');
    case 'updateCredentials':
      return l10n.t('Update Credentials…');
    case 'cleanUp':
      return l10n.t('Clean Up…');
    case 'openMediaSettings':
    case 'openPoolSettings':
    case 'openPresetSettings':
    case 'openTaskSettings':
    case 'openLocalSettings':
      return l10n.t('Open Settings');
    case 'manageTrust':
      return l10n.t('Manage Workspace Trust');
    case 'getFfmpeg':
      return l10n.t('Get ffmpeg');
    case 'askQuota':
      return l10n.t('Request a Quota Increase');
    case 'attach':
      return l10n.t('Attach to Run…');
    case 'checkConnection':
      return l10n.t('Check Connection');
    case 'resetLocalAccount':
      return l10n.t('Reset the Local Batch Account…');
    case 'showServiceLog':
      return l10n.t('Show Service Log');
    case 'showStartTaskStderr':
      return l10n.t('Show Start Task stderr');
  }
}

async function openSettings(name: string): Promise<void> {
  await commands.executeCommand('workbench.action.openSettings', `${section}.${name}`);
}

async function openPage(url: string): Promise<void> {
  await env.openExternal(Uri.parse(url));
}
