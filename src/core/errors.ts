import type { FailureReason } from './failureReasons';

/**
 * A problem that users can act on, as data: it can be stored in a manifest and compared in a test. Its message is in
 * `src/vscode/words/sentences.ts`, which does not compile until each kind has one.
 */
export type Problem =
  // Selected files
  | { kind: 'nothingChosen' }
  | {
      kind: 'noMedia';
      folder: string;
      /** How many files or folders a scan left out, and why. */
      outputs?: number;
      excluded?: number;
      unreadable?: number;
    }
  | { kind: 'noAudioTrack'; file: string }
  | { kind: 'noVideoTrack'; file: string }
  | { kind: 'noSubtitleTrack'; file: string }
  | { kind: 'notMedia'; file: string; detail?: string }
  | { kind: 'emptyFile'; file: string }
  | { kind: 'playlist'; file: string }
  | { kind: 'referenceMovie'; file: string }
  | { kind: 'cutOff'; file: string }
  | { kind: 'protectedContent'; file: string }
  | { kind: 'dolbyVisionOnly'; file: string }
  | { kind: 'animatedWebp'; file: string }
  | { kind: 'pictureSubtitles'; file: string; codec: string }
  | { kind: 'audioUndecodable'; file: string; codec: string }
  | { kind: 'lfsPointer'; file: string }
  | { kind: 'presetNotFor'; file: string; preset: string; inputs: readonly string[] }
  | { kind: 'fileMissing'; file: string }
  | { kind: 'fileDenied'; file: string }
  | { kind: 'fileChanged'; file: string }
  | { kind: 'fileFailed'; file: string; detail: string }
  | { kind: 'outputExists'; file: string }
  /** `isSave`, here and below: one file is saved where the user chose. Else the outputs of a run are fetched. */
  | { kind: 'folderMissing'; folder: string; isSave?: boolean }
  | { kind: 'folderReadOnly'; folder: string; isSave?: boolean }
  /** Found before the run: nothing has been uploaded. */
  | { kind: 'outputReadOnly'; folder: string }
  | { kind: 'diskFull'; folder: string; neededBytes?: number; freeBytes?: number; isSave?: boolean }
  | { kind: 'presetInvalid'; preset: string; fault: PresetFault; subject?: string }
  | { kind: 'limitExceeded'; what: 'path' | 'tasks' | 'commandLine'; limit: number; name: string }
  // One file of a run
  | {
      kind: 'transcodeFailed';
      file: string;
      exitCode?: number;
      /** The line of ffmpeg's log with the reason. */
      line?: string;
      /** Undefined for a line that is not known. */
      reason?: FailureReason;
      /** What the line names: an encoder, a size. */
      subject?: string;
    }
  | { kind: 'timeLimit'; file: string; minutes: number }
  | { kind: 'inputNotReachable'; file: string; code: string; detail?: string }
  | { kind: 'outputNotUploaded'; file: string; code: string; detail?: string }
  | { kind: 'outputMissing'; file: string }
  /** The name of an output leads out of the folder of its source. */
  | { kind: 'outputNameUnsafe'; file: string; name: string }
  | { kind: 'outputDamaged'; file: string; expectedSeconds?: number; actualSeconds?: number }
  /** ffmpeg could not decode a considerable share (0 to 1) of the source. */
  | { kind: 'sourceDamaged'; file: string; share?: number; line?: string }
  /** The output is silent, or black, throughout while its source is not. */
  | { kind: 'outputBlank'; file: string; what: 'audio' | 'video' }
  /** Audio or video in tracks that begin in the middle of the source is not in the output. */
  | { kind: 'tracksChange'; file: string }
  /**
   * The channels of the source change, and the filters of the preset lost seconds of audio there. Without `lostSeconds`: the
   * channels or the sample rate change, and ffmpeg read no further.
   */
  | { kind: 'channelsChange'; file: string; lostSeconds?: number }
  | { kind: 'transferDamaged'; file: string }
  | { kind: 'taskFailed'; file: string; code: string; detail?: string }
  /** `isOutOfTime`: by Batch, because the time of its job was over; otherwise by somebody. */
  | { kind: 'ended'; file: string; isOutOfTime?: true }
  /** One part of a split video failed; the seconds say where it is in the video. */
  | { kind: 'partFailed'; file: string; startSeconds: number; endSeconds: number; problem: Problem }
  | { kind: 'inputExpired'; file: string }
  | { kind: 'taskDeleted'; file: string }
  // Pools and jobs
  | {
      kind: 'startTaskFailed';
      pool: string;
      node: string;
      exitCode?: number;
      line?: string;
      reason?: FailureReason;
      subject?: string;
    }
  | { kind: 'resizeFailed'; pool: string; code: string; detail?: string }
  | {
      kind: 'quota';
      what: 'spotCores' | 'dedicatedCores' | 'pools' | 'jobs';
      needed?: number;
      available?: number;
    }
  | { kind: 'preempted'; pool: string; times: number }
  | { kind: 'noImage'; vmSize: string }
  | { kind: 'poolNotOurs'; pool: string }
  | { kind: 'poolGone'; pool: string }
  /** `detail` is the code or the message of the service. */
  | { kind: 'poolUnusable'; pool: string; why?: 'deleted' | 'deleting'; detail?: string }
  /** A resource that was selected for deletion is kept: it is in use, or has been replaced, since it was listed. */
  | { kind: 'resourceKept'; why: 'used' | 'changed' }
  | { kind: 'jobEnded'; job: string }
  | { kind: 'jobDisabled'; job: string }
  | { kind: 'jobNotScheduled'; job: string; code: string; detail?: string }
  | { kind: 'taskGone'; task: string; job: string }
  | { kind: 'nodeFailed'; node: string; code: string; detail?: string }
  | { kind: 'runNotFound'; run: string }
  /** Something other than this extension has changed its manifest. */
  | { kind: 'runAltered'; run: string }
  /** A later version of the extension wrote it. */
  | { kind: 'runNewer'; run: string }
  /** Another window works on it, or this one if `here` is set. */
  | { kind: 'runTaken'; run: string; here?: boolean }
  /** It continues, or is canceled, by itself as soon as the account with this id can be used again. */
  | { kind: 'runWaits'; account: string; waitsFor: WaitReason; isCanceling?: boolean; problem: Problem }
  | { kind: 'monitoringTimeout'; minutes: number; job: string; unfinished: number }
  // Accounts, services and the network
  /** `account` is the id of the account that is needed; without it any account would do. */
  | { kind: 'noAccount'; account?: string }
  | { kind: 'untrusted' }
  | { kind: 'settingNotSaved'; setting: string; detail: string }
  | { kind: 'accountInvalid'; what: AccountField; detail?: string }
  /** `account` is the label of the account. */
  | { kind: 'secretMissing'; account: string; id: string }
  | { kind: 'signedOut'; account: string }
  | { kind: 'unauthorized'; account: string; service: Service; code: string; detail?: string }
  | { kind: 'storageFirewall'; account: string }
  | { kind: 'subnetInvalid'; subnet: string }
  | { kind: 'subnetNeedsSignIn'; account: string }
  | { kind: 'clockSkew'; minutes: number }
  | { kind: 'unreachable'; host: string; code: string; detail?: string }
  | { kind: 'certificate'; host: string; code: string }
  | { kind: 'throttled'; service: Service }
  | {
      kind: 'service';
      service: Service;
      operation: string;
      resource?: string;
      status?: number;
      code: string;
      detail?: string;
      requestId?: string;
    }
  // The local Batch account
  /** `path` is that of the setting, where there is none. */
  | { kind: 'noFfmpeg'; path?: string }
  /** A program that has another name, or that doesn't answer as ffmpeg does: `detail` is what it says instead. */
  | { kind: 'notFfmpeg'; path: string; fault: 'name' | 'version'; detail?: string }
  | { kind: 'localServiceFailed'; detail: string; canReset?: boolean };

/** The problem behind a failed part of a split file. */
export function rootProblem(problem: Problem): Problem {
  return problem.kind === 'partFailed' ? rootProblem(problem.problem) : problem;
}

/** A problem with reading a source, which names its path on this machine, with the path that the user knows it by. */
export function aboutSource(problem: Problem, path: string): Problem {
  switch (problem.kind) {
    case 'fileMissing':
    case 'fileDenied':
    case 'fileChanged':
    case 'fileFailed':
      return { ...problem, file: path };
    default:
      return problem;
  }
}

/** What is wrong with a preset. `subject` names the property or the placeholder. */
export type PresetFault =
  | 'name'
  | 'nameTaken'
  | 'unknownPreset'
  | 'unknownProperty'
  | 'arguments'
  | 'missingPlaceholder'
  | 'unknownPlaceholder'
  | 'nullCharacter'
  | 'extension'
  | 'needs'
  | 'inputs'
  | 'boolean';

/** What a run waits for: credentials of the user, permission for them, or that the services of the account answer. */
export type WaitReason = 'signIn' | 'access' | 'connection';

export type Service = 'batch' | 'storage' | 'identity' | 'arm';

export type AccountField =
  | 'batchUrl'
  | 'batchKey'
  | 'storageName'
  | 'storageKey'
  | 'storageUrl'
  | 'connectionString';

/** An error that users can act on. Any other error is a bug. */
export class UserError extends Error {
  /** The id of the account that it is about, if that is known. */
  accountId?: string;

  constructor(
    readonly problem: Problem,
    options?: { cause?: unknown },
  ) {
    super(`${problem.kind} ${JSON.stringify(problem)}`, options);
    this.name = 'UserError';
  }
}

/** Runs work on an account. A `UserError` that it throws names the account. */
export async function onAccount<T>({ id }: { readonly id: string }, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UserError) error.accountId ??= id;
    throw error;
  }
}

/** Whether an error is that of an AbortSignal, as `fetch`, Node and both Azure SDKs throw it. */
export function isAbort(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  return error.name === 'AbortError' || code === 'ABORT_ERR' || code === 'REQUEST_ABORTED_ERROR';
}

/**
 * What to throw when the signal of a request to a host has aborted: an `unreachable` UserError after a time limit
 * (`AbortSignal.timeout`), otherwise the signal's reason as it is.
 */
export function endedBy(reason: unknown, host: string): unknown {
  const isTimeLimit = reason instanceof DOMException && reason.name === 'TimeoutError';
  if (!isTimeLimit) return reason;
  return new UserError({ kind: 'unreachable', host, code: 'ETIMEDOUT' }, { cause: reason });
}

/** Returns the `code` of a Node or Azure error (`ENOENT`, `ContainerNotFound`), or undefined. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
