import { l10n } from 'vscode';
import { type Problem, UserError } from '../../core/errors';
import { maskSas } from '../../core/log';
import { failureWords } from './ffmpegReasons';
import { fileWords, isFileProblem } from './fileSentences';
import { isMediaProblem, mediaSentence } from './mediaSentences';
import { duration, minutesOf, tasksOf, timesOf } from './numbers';
import {
  clockWords,
  endedPoolWords,
  endedWords,
  fieldWords,
  keptWords,
  limitWords,
  localServiceWords,
  nodeFailedWords,
  noFfmpegWords,
  notFfmpegWords,
  presetFaultWords,
  quotaWords,
  runAlteredWords,
  serviceName,
  serviceWords,
  unauthorizedWords,
  unknownWords,
  waitWords,
  withDetail,
} from './problemWords';
import type { Remedy, Words } from './remedy';

export interface Sentence {
  readonly text: string;
  readonly remedies: readonly Remedy[];
}

/**
 * Returns what happened, to which file or resource, and what to do, in the user's language. Services quote URLs in their
 * messages: the signatures of SAS are left out.
 */
export function sentenceOf(problem: Problem): Sentence {
  const [text, ...remedies] = knownWords(problem) ?? [unknownWords(problem)];
  return { text: maskSas(text), remedies };
}

/** Undefined for a problem that the account holds and that has another kind or other members than this version knows. */
function knownWords(problem: Problem): Words | undefined {
  try {
    return words(problem);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Returns the message of any error, for use inside another message. */
export function textOf(error: unknown): string {
  if (error instanceof UserError) return sentenceOf(error.problem).text;
  return maskSas(error instanceof Error ? error.message : String(error));
}

function words(problem: Problem): Words {
  if (isMediaProblem(problem)) return [mediaSentence(problem)];
  if (isFileProblem(problem)) return fileWords(problem);
  switch (problem.kind) {
    case 'presetInvalid':
      return [
        l10n.t('The preset {0} is invalid: {1}', problem.preset, presetFaultWords(problem)),
        'openPresetSettings',
      ];
    case 'limitExceeded':
      return [limitWords(problem)];
    case 'timeLimit':
      return [
        l10n.t(
          "{0} wasn't transcoded within {1}. Increase the task time limit, or use a larger VM size.",
          problem.file,
          minutesOf(problem.minutes),
        ),
        'openTaskSettings',
      ];
    case 'inputNotReachable':
      return [
        withDetail(
          l10n.t(
            "The node couldn't download {0} from storage ({1}). A storage firewall might block the nodes.",
            problem.file,
            problem.code,
          ),
          problem.detail,
        ),
      ];
    case 'outputNotUploaded':
      return [
        withDetail(
          l10n.t(
            "{0} was transcoded, but the node couldn't upload the output ({1}). Retry the file.",
            problem.file,
            problem.code,
          ),
          problem.detail,
        ),
      ];
    case 'outputMissing':
      return [l10n.t('The task for {0} succeeded, but its output is missing. Retry the file.', problem.file)];
    case 'outputNameUnsafe':
      return [
        l10n.t(
          "The output of {0} wasn't downloaded, because a name in it leads out of its folder: {1}. Check the preset.",
          problem.file,
          problem.name,
        ),
      ];
    case 'transferDamaged':
      return [l10n.t('{0} was corrupted in transfer. Try again.', problem.file)];
    case 'taskFailed':
      return [
        withDetail(l10n.t('The task for {0} failed ({1}).', problem.file, problem.code), problem.detail),
      ];
    case 'ended':
      return [endedWords(problem)];
    case 'partFailed':
      return [
        l10n.t(
          '{0}, part {1}–{2}: {3}',
          problem.file,
          duration(problem.startSeconds * 1000),
          duration(problem.endSeconds * 1000),
          sentenceOf(problem.problem).text,
        ),
        ...sentenceOf(problem.problem).remedies,
      ];
    case 'inputExpired':
      return [
        l10n.t(
          'The access token (SAS) for {0} expired before its task started. Retry the file.',
          problem.file,
        ),
      ];
    case 'startTaskFailed':
      return [
        withDetail(
          l10n.t(
            'The start task of node {0} in pool {1} failed, so no tasks can run on the node.',
            problem.node,
            problem.pool,
          ),
          failureWords(problem),
        ),
        'showStartTaskStderr',
        'cleanUp',
      ];
    case 'resizeFailed':
      return [
        withDetail(
          l10n.t(
            "Azure can't allocate nodes for pool {0} right now ({1}). Try again later, or use dedicated nodes or another VM size.",
            problem.pool,
            problem.code,
          ),
          problem.detail,
        ),
        'openPoolSettings',
      ];
    case 'quota':
      return [quotaWords(problem), ...quotaRemedies[problem.what]];
    case 'preempted':
      return [
        l10n.t(
          "Azure preempted Spot nodes of pool {0} {1}. Dedicated nodes aren't preempted.",
          problem.pool,
          timesOf(problem.times),
        ),
        'openPoolSettings',
      ];
    case 'noImage':
      return [
        l10n.t(
          'The account supports no Ubuntu LTS image for the VM size {0}. Choose another size.',
          problem.vmSize,
        ),
        'openPoolSettings',
      ];
    case 'poolNotOurs':
      return [l10n.t("Pool {0} wasn't created by this extension, so it isn't changed.", problem.pool)];
    case 'resourceKept':
      return [keptWords(problem.why)];
    case 'poolGone':
      return [l10n.t('Pool {0} no longer exists.', problem.pool)];
    case 'poolUnusable':
      return problem.why === undefined
        ? [withDetail(l10n.t("Pool {0} can't be used.", problem.pool), problem.detail), 'cleanUp']
        : [endedPoolWords(problem.pool, problem.why)];
    case 'taskDeleted':
      return [
        l10n.t('The task for {0} was deleted before its output was fetched. Retry the file.', problem.file),
      ];
    case 'jobDisabled':
      return [l10n.t('Job {0} is disabled. Enable it to let its tasks run.', problem.job)];
    case 'jobNotScheduled': {
      const text = l10n.t("Azure Batch couldn't schedule job {0} ({1}).", problem.job, problem.code);
      return [withDetail(text, problem.detail)];
    }
    case 'jobEnded':
      return [
        l10n.t('Job {0} was terminated or deleted outside this run. Retry the remaining files.', problem.job),
      ];
    case 'taskGone':
      return [l10n.t('Task {0} of job {1} no longer exists.', problem.task, problem.job)];
    case 'nodeFailed':
      return [nodeFailedWords(problem)];
    case 'runNotFound':
      return [l10n.t('No run found in container {0}. It might have been deleted.', problem.run), 'attach'];
    case 'runAltered':
      return [runAlteredWords(problem)];
    case 'runNewer':
      return [
        l10n.t(
          'The run in container {0} was written by a later version of this extension. Update the extension.',
          problem.run,
        ),
      ];
    case 'runTaken':
      return [
        problem.here
          ? l10n.t('This window is already working on run {0}.', problem.run)
          : l10n.t('Run {0} is in use by another window.', problem.run),
      ];
    case 'monitoringTimeout':
      return [
        l10n.t(
          'Monitoring stopped after {0}. Job {2} still has {1} to complete; nothing is stopped. Continue monitoring to fetch the outputs.',
          minutesOf(problem.minutes),
          tasksOf(problem.unfinished),
          problem.job,
        ),
        'attach',
      ];
    case 'noAccount':
      if (problem.account === undefined)
        return [l10n.t('No account is connected.'), 'useLocalAccount', 'connect'];
      // The local account has no URL that could be its id.
      return problem.account === 'local'
        ? [l10n.t("The local Batch account isn't connected."), 'useLocalAccount']
        : [l10n.t("The account {0} isn't connected. Connect it to continue.", problem.account), 'connect'];
    case 'untrusted':
      return [
        l10n.t(
          "The workspace isn't trusted, so files can't be uploaded, submitted, or transcoded, and the local Batch service can't be started.",
        ),
        'manageTrust',
      ];
    case 'settingNotSaved':
      return [l10n.t("Couldn't change the setting {0}: {1}", problem.setting, problem.detail)];
    case 'accountInvalid':
      return [withDetail(fieldWords[problem.what](), problem.detail), 'connect'];
    case 'secretMissing':
      return [
        l10n.t(
          "The keys of {0} aren't in VS Code's secret storage on this machine. Enter them again.",
          problem.account,
        ),
        'enterKeys',
      ];
    case 'runWaits': {
      const [text, ...remedies] = words(problem.problem);
      return [l10n.t('{0} {1}', text, waitWords(problem)), ...remedies];
    }
    case 'signedOut':
      return [l10n.t('You are signed out of {0}.', problem.account), 'signIn'];
    case 'unauthorized':
      return [unauthorizedWords(problem), 'updateCredentials', 'checkConnection'];
    case 'storageFirewall':
      return [
        l10n.t(
          'The firewall of storage account {0} allows selected networks only, which blocks the nodes of a pool. Allow all networks, put the nodes in a subnet that it allows (batchTranscode.pool.subnetId), or use a storage account without a firewall.',
          problem.account,
        ),
        'openPoolSettings',
      ];
    case 'subnetInvalid':
      return [
        l10n.t(
          '{0} is not the resource ID of a subnet. It has the form {1}.',
          problem.subnet,
          '/subscriptions/…/resourceGroups/…/providers/Microsoft.Network/virtualNetworks/…/subnets/…',
        ),
        'openPoolSettings',
      ];
    case 'subnetNeedsSignIn':
      return [
        l10n.t(
          'Batch puts nodes in a subnet only for users who sign in, but {0} is connected with keys. Connect the account by signing in with Microsoft, or clear the subnet in the settings.',
          problem.account,
        ),
        'connect',
        'openPoolSettings',
      ];
    case 'clockSkew':
      return [clockWords(problem)];
    case 'unreachable':
      return [
        withDetail(
          l10n.t(
            "Couldn't connect to {0} ({1}). Check the network connection and the proxy settings.",
            problem.host,
            problem.code,
          ),
          // It says no more than this code: “socket hang up”, for example.
          problem.code === 'ECONNRESET' ? undefined : problem.detail,
        ),
        'checkConnection',
      ];
    case 'certificate':
      return [
        l10n.t(
          "The certificate of {0} isn't trusted ({1}). If a proxy is in use, add its certificate authority to this machine.",
          problem.host,
          problem.code,
        ),
        'checkConnection',
      ];
    case 'throttled':
      return [
        l10n.t('{0} is still throttling requests. Try again in a few minutes.', serviceName(problem.service)),
      ];
    case 'service':
      return [serviceWords(problem)];
    case 'noFfmpeg':
      return [noFfmpegWords(problem), 'getFfmpeg', 'openLocalSettings'];
    case 'notFfmpeg':
      return [notFfmpegWords(problem), 'openLocalSettings'];
    case 'localServiceFailed':
      return [
        localServiceWords(problem),
        ...(problem.canReset ? (['resetLocalAccount'] as const) : []),
        'showServiceLog',
      ];
  }
}

const quotaRemedies: Record<Extract<Problem, { kind: 'quota' }>['what'], Remedy[]> = {
  spotCores: ['askQuota', 'openPoolSettings'],
  dedicatedCores: ['askQuota', 'openPoolSettings'],
  pools: ['cleanUp', 'askQuota'],
  jobs: ['cleanUp', 'askQuota'],
};
