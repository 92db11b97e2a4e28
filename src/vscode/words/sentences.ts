import { l10n } from 'vscode';
import { type Problem, UserError } from '../../core/errors';
import { bytes, duration } from './numbers';
import {
  fieldWords,
  limitWords,
  quotaWords,
  serviceName,
  unauthorizedWords,
  withDetail,
} from './problemWords';

/** What a person can do about a problem: a button. */
export type Remedy =
  | 'useLocalAccount'
  | 'connect'
  | 'chooseAccount'
  | 'signIn'
  | 'checkConnection'
  | 'cleanUp'
  | 'openPoolSettings'
  | 'openLocalSettings'
  | 'manageTrust'
  | 'getFfmpeg'
  | 'askQuota'
  | 'attach'
  | 'showServiceLog';

export interface Sentence {
  readonly text: string;
  readonly remedies: readonly Remedy[];
}

/** What happened, to which file or resource, and what to do. */
export function sentenceOf(problem: Problem): Sentence {
  const [text, ...remedies] = words(problem);
  return { text, remedies };
}

/** What to say of whatever was thrown, where it is told inside something else. */
export function textOf(error: unknown): string {
  if (error instanceof UserError) return sentenceOf(error.problem).text;
  return error instanceof Error ? error.message : String(error);
}

type Words = [text: string, ...remedies: Remedy[]];

function words(problem: Problem): Words {
  switch (problem.kind) {
    case 'nothingChosen':
      return [l10n.t('No media files were chosen.')];
    case 'noMedia':
      return [l10n.t('There are no media files in {0}.', problem.folder)];
    case 'noAudioTrack':
      return [
        l10n.t(
          '{0} has no audio track, which this preset needs. Choose another preset for it.',
          problem.file,
        ),
      ];
    case 'noVideoTrack':
      return [
        l10n.t(
          '{0} has no video track, which this preset needs. Choose another preset for it.',
          problem.file,
        ),
      ];
    case 'noSubtitleTrack':
      return [
        l10n.t(
          '{0} has no subtitle track, which this preset needs. Choose another preset for it.',
          problem.file,
        ),
      ];
    case 'notMedia':
      return [
        withDetail(
          l10n.t('{0} is not a media file, or is damaged beyond reading.', problem.file),
          problem.detail,
        ),
      ];
    case 'emptyFile':
      return [l10n.t('{0} is empty.', problem.file)];
    case 'cutOff':
      return [
        l10n.t(
          '{0} is not whole: its index, which is written last, is missing. Copy or record it again.',
          problem.file,
        ),
      ];
    case 'lfsPointer':
      return [
        l10n.t('{0} is only a pointer of Git LFS. Run “git lfs pull” to get the file itself.', problem.file),
      ];
    case 'presetNotFor':
      return [
        l10n.t(
          'The preset {0} is not for {1}: it takes {2} only.',
          problem.preset,
          problem.file,
          problem.inputs.map((input) => `.${input}`).join(', '),
        ),
      ];
    case 'fileMissing':
      return [l10n.t('{0} is not there any more.', problem.file)];
    case 'fileDenied':
      return [l10n.t('{0} may not be read. Check its permissions.', problem.file)];
    case 'fileChanged':
      return [
        l10n.t('{0} changed while it was uploaded. Transcode it again once it is complete.', problem.file),
      ];
    case 'fileFailed':
      return [l10n.t('{0} could not be read or written: {1}', problem.file, problem.detail)];
    case 'outputExists':
      return [l10n.t('{0} exists already and was left as it is.', problem.file)];
    case 'folderReadOnly':
      return [
        l10n.t(
          'Nothing can be written to {0}. Check its permissions, then fetch the outputs again.',
          problem.folder,
        ),
      ];
    case 'diskFull':
      return [
        problem.neededBytes === undefined
          ? l10n.t('The disk of {0} is full. Make room, then fetch the outputs again.', problem.folder)
          : l10n.t(
              'The disk of {0} has {1} free, but {2} are needed. Make room, then fetch the outputs again.',
              problem.folder,
              bytes(problem.freeBytes ?? 0),
              bytes(problem.neededBytes),
            ),
      ];
    case 'presetInvalid':
      return [l10n.t('The preset {0} cannot be used: {1}', problem.preset, problem.detail)];
    case 'limitExceeded':
      return [limitWords(problem)];
    case 'transcodeFailed':
      return [
        problem.line
          ? l10n.t('ffmpeg failed on {0}: {1}', problem.file, problem.line)
          : l10n.t('ffmpeg failed on {0} with exit code {1}.', problem.file, problem.exitCode ?? '?'),
      ];
    case 'timeLimit':
      return [
        l10n.t(
          '{0} was not done within {1} minutes. Raise the time limit of tasks, or use larger nodes.',
          problem.file,
          problem.minutes,
        ),
        'openPoolSettings',
      ];
    case 'inputNotReachable':
      return [
        withDetail(
          l10n.t(
            'The node could not read the uploaded {0} ({1}). A storage firewall may keep nodes out.',
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
            '{0} was transcoded, but the node could not upload the output ({1}). Retry it.',
            problem.file,
            problem.code,
          ),
          problem.detail,
        ),
      ];
    case 'outputMissing':
      return [l10n.t('{0} has no output, although its task succeeded. Retry it.', problem.file)];
    case 'outputDamaged':
      return [
        problem.expectedSeconds === undefined || problem.actualSeconds === undefined
          ? l10n.t('The output of {0} is damaged: it cannot be read.', problem.file)
          : l10n.t(
              'The output of {0} is damaged: it lasts {1} instead of {2}. The source may be cut short.',
              problem.file,
              duration(problem.actualSeconds * 1000),
              duration(problem.expectedSeconds * 1000),
            ),
      ];
    case 'transferDamaged':
      return [l10n.t('{0} did not arrive as it was sent. Try again.', problem.file)];
    case 'taskFailed':
      return [
        withDetail(l10n.t('The task of {0} failed ({1}).', problem.file, problem.code), problem.detail),
      ];
    case 'ended':
      return [l10n.t('The task of {0} was ended before it was done.', problem.file)];
    case 'inputExpired':
      return [l10n.t('{0} waited longer than its access to storage lasted. Retry it.', problem.file)];
    case 'startTaskFailed':
      return [
        withDetail(
          l10n.t(
            'The start task of node {0} in pool {1} failed, so nothing can run there.',
            problem.node,
            problem.pool,
          ),
          problem.line,
        ),
        'cleanUp',
      ];
    case 'resizeFailed':
      return [
        withDetail(
          l10n.t(
            'Pool {0} does not get its nodes now ({1}). Azure may have the capacity later; dedicated nodes or another size may have it at once.',
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
          'Azure took Spot nodes of pool {0} away {1} times. Dedicated nodes are not taken away.',
          problem.pool,
          problem.times,
        ),
        'openPoolSettings',
      ];
    case 'noImage':
      return [
        l10n.t(
          'The account supports no Ubuntu LTS image that boots on {0}. Choose another size.',
          problem.vmSize,
        ),
        'openPoolSettings',
      ];
    case 'poolNotOurs':
      return [l10n.t('The pool {0} was not made by this extension and is left alone.', problem.pool)];
    case 'poolUnusable':
      return [withDetail(l10n.t('The pool {0} cannot be used.', problem.pool), problem.detail), 'cleanUp'];
    case 'jobEnded':
      return [
        l10n.t(
          'The job {0} was ended or deleted by someone else. Retry the files that are not done.',
          problem.job,
        ),
      ];
    case 'taskGone':
      return [l10n.t('Task {0} of job {1} does not exist any more.', problem.task, problem.job)];
    case 'nodeFailed':
      return [
        l10n.t(
          'Node {0}: {1} ({2}). Reimage it, or remove it so that the pool gets another.',
          problem.node,
          problem.detail ?? problem.code,
          problem.code,
        ),
      ];
    case 'runNotFound':
      return [l10n.t('The account holds no run in {0}.', problem.run), 'attach'];
    case 'runTaken':
      return [l10n.t('Another window is working on run {0}.', problem.run)];
    case 'monitoringTimeout':
      return [
        l10n.t(
          'After {0} minutes {1} tasks of job {2} are not done. They go on; attach to the run to watch them again.',
          problem.minutes,
          problem.unfinished,
          problem.job,
        ),
        'attach',
      ];
    case 'noAccount':
      return [l10n.t('No account is connected.'), 'useLocalAccount', 'connect'];
    case 'untrusted':
      return [l10n.t('Nothing is uploaded, submitted or started in an untrusted workspace.'), 'manageTrust'];
    case 'accountInvalid':
      return [withDetail(fieldWords[problem.what](), problem.detail), 'connect'];
    case 'secretMissing':
      return [
        l10n.t(
          "The key of {0} is not in this machine's secret storage. Connect the account again.",
          problem.account,
        ),
        'connect',
      ];
    case 'signedOut':
      return [l10n.t('You are signed out of {0}.', problem.account), 'signIn'];
    case 'unauthorized':
      return [unauthorizedWords(problem), 'signIn', 'checkConnection'];
    case 'storageFirewall':
      return [
        l10n.t(
          'The storage account {0} lets in only chosen networks, which keeps the nodes of a pool out. Allow all networks for it, or use one without a firewall.',
          problem.account,
        ),
      ];
    case 'clockSkew':
      return [
        problem.minutes > 0
          ? l10n.t(
              'The clock of this machine is {0} minutes ahead, so the service refuses its signatures. Set the clock.',
              problem.minutes,
            )
          : l10n.t(
              'The clock of this machine is {0} minutes behind, so the service refuses its signatures. Set the clock.',
              -problem.minutes,
            ),
      ];
    case 'unreachable':
      return [
        withDetail(
          l10n.t('{0} cannot be reached ({1}). Check the network and the proxy.', problem.host, problem.code),
          problem.detail,
        ),
        'checkConnection',
      ];
    case 'certificate':
      return [
        l10n.t(
          'The certificate of {0} is not trusted ({1}). A proxy may need its authority added to this machine.',
          problem.host,
          problem.code,
        ),
        'checkConnection',
      ];
    case 'throttled':
      return [
        l10n.t('{0} goes on throttling requests. Try again in some minutes.', serviceName(problem.service)),
      ];
    case 'service':
      return [
        withDetail(
          problem.resource
            ? l10n.t(
                '{0} refused to {1} {2} ({3}).',
                serviceName(problem.service),
                problem.operation,
                problem.resource,
                problem.code,
              )
            : l10n.t(
                '{0} refused to {1} ({2}).',
                serviceName(problem.service),
                problem.operation,
                problem.code,
              ),
          problem.detail,
        ),
      ];
    case 'noFfmpeg':
      return [
        l10n.t(
          'The local Batch account needs ffmpeg, which is not on this machine. Install it, or set its path.',
        ),
        'getFfmpeg',
        'openLocalSettings',
      ];
    case 'localServiceFailed':
      return [l10n.t('The local Batch service did not start: {0}', problem.detail), 'showServiceLog'];
  }
}

const quotaRemedies: Record<Extract<Problem, { kind: 'quota' }>['what'], Remedy[]> = {
  spotCores: ['askQuota', 'openPoolSettings'],
  dedicatedCores: ['askQuota', 'openPoolSettings'],
  pools: ['cleanUp', 'askQuota'],
  jobs: ['cleanUp', 'askQuota'],
};
