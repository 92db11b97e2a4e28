import { l10n } from 'vscode';
import type { RetryNotice } from '../../core/azure/retry';
import type { RunProgress, Step } from '../../core/runs/runEvents';
import { nodesByKind } from './costWords';
import { noteSentence } from './notes';
import { bytes, count, duration, filesOf, minutesOf, nodeHoursOf, nodesOf, tasksOf, time } from './numbers';
import { presetName } from './presetLabels';
import { serviceName } from './problemWords';
import { sentenceOf } from './sentences';

/** One line of a run's log, in the order and wording of the tutorial's console output. */
export function storyLine(step: Step): string {
  switch (step.kind) {
    case 'started':
      return l10n.t(
        'Start: {0}. Run {1}: {2}, {3}',
        time(step.at),
        step.run,
        filesOf(step.files),
        presetName({ id: step.presetId, label: step.preset }),
      );
    case 'resumed':
      return l10n.t('Run {0} resumed: {1}', step.run, time(step.at));
    case 'noted':
      return noteSentence(step.note);
    case 'containerCreated':
      return l10n.t('Container [{0}] created.', step.container);
    case 'containerDeleted':
      return l10n.t('Container [{0}] deleted.', step.container);
    case 'picturesLeft':
      return l10n.t(
        'Audio-only preset: {1} of {2} is uploaded for {0}.',
        filesOf(step.files),
        bytes(step.bytes),
        bytes(step.of),
      );
    case 'uploading':
      return l10n.t('Uploading file {0} to container [{1}]...', step.file, step.container);
    case 'alreadyUploaded':
      return l10n.t('File {0} is already in container [{1}].', step.file, step.container);
    case 'poolCreated':
      return l10n.t('Creating pool [{0}] with {1}...', step.pool, nodesByKind(step));
    case 'poolReused':
      return l10n.t('Reusing pool [{0}] with {1}...', step.pool, nodesByKind(step));
    case 'jobCreated':
      return step.autoPool
        ? l10n.t('Creating job [{0}] with its own pool...', step.job)
        : l10n.t('Creating job [{0}]...', step.job);
    case 'tasksAdded':
      return l10n.t('Added {0} to job [{1}].', tasksOf(step.count), step.job);
    case 'poolBusy':
      return l10n.t(
        'Pool [{0}] is being resized, and gets {1} after that.',
        step.pool,
        nodesOf(step.dedicated + step.spot),
      );
    case 'nodesTakenBack':
      return l10n.t('Removed the nodes of pool [{0}], on which the run has no task.', step.pool);
    case 'resizeRetried':
      return l10n.t(
        'Requested the missing nodes of pool [{0}] again. Next attempt in {1}.',
        step.pool,
        minutesOf(step.nextTryMinutes),
      );
    case 'tasksRenewed':
      return l10n.t('Renewed the access token (SAS) of {0} in job [{1}].', tasksOf(step.count), step.job);
    case 'transfersRetried':
      return l10n.t(
        "Trying {0} again in job [{1}]: the node couldn't read from or write to the storage account.",
        tasksOf(step.count),
        step.job,
      );
    case 'jobReplaced':
      return l10n.t('Job [{0}] ended before all its tasks were added. Job [{1}] follows.', step.job, step.by);
    case 'monitoring':
      return l10n.t(
        "Monitoring all tasks of job [{0}] for 'completed' state, for {1}...",
        step.job,
        minutesOf(step.minutes),
      );
    case 'trouble':
      return sentenceOf(step.problem).text;
    case 'waiting':
      return l10n.t(
        "{0} isn't responding as expected ({1}). Retrying...",
        serviceName(step.service),
        reasonWords(step.notice.reason),
      );
    case 'tasksCompleted':
      return l10n.t(
        'All tasks completed: {0} succeeded, {1} failed.',
        count(step.succeeded),
        count(step.failed),
      );
    case 'fetched':
      return l10n.t('Fetched {0}: {1}, {2}', step.file, decodeURIComponent(step.output), bytes(step.bytes));
    case 'alreadyFetched':
      return l10n.t('The output of {0} already exists: {1}', step.file, decodeURIComponent(step.output));
    case 'fileFailed':
      return sentenceOf(step.problem).text;
    case 'timeLimit':
      return l10n.t(
        'Monitoring of job [{0}] stopped after {1}. Its tasks keep running.',
        step.job,
        minutesOf(step.minutes),
      );
    case 'ended':
      return l10n.t(
        'End: {0}. {1} of {2} in {3}; about {4} used.',
        time(step.at),
        count(step.succeeded),
        filesOf(step.total),
        duration(step.elapsedMs),
        nodeHoursOf(step.nodeHours),
      );
  }
}

/** True for a step that is logged as a warning. */
export function isTrouble({ kind }: Step): boolean {
  return kind === 'trouble' || kind === 'fileFailed' || kind === 'waiting' || kind === 'timeLimit';
}

/** How many files a run has, and how many of them succeeded and failed. */
export interface FileNumbers {
  readonly files: number;
  readonly succeeded: number;
  readonly failed: number;
}

/** The state of a run in numbers, for its notification; with the time that it still takes, if that is known. */
export function progressLine(
  progress: RunProgress,
  numbers: FileNumbers,
  leftMs: number | undefined,
): string {
  return withTimeLeft(numbersLine(progress, numbers), progress, leftMs);
}

/** Adds the time that a run still takes, unless that is unknown or nothing. */
export function withTimeLeft(words: string, { phase }: RunProgress, leftMs = 0): string {
  const isOver = phase === 'done' || Math.round(leftMs / 1000) <= 0;
  return isOver ? words : l10n.t('{0}, about {1} left', words, duration(leftMs));
}

/** `95 of 100 done, 2 failed` */
export function doneWords({ files, succeeded, failed }: FileNumbers): string {
  const words = l10n.t('{0} of {1} done', count(succeeded), count(files));
  return failed > 0 ? l10n.t('{0}, {1} failed', words, count(failed)) : words;
}

/** Why a run that has no numbers yet gets no further: `no connection, retrying`. */
export function noAnswerReason(reason: RetryNotice['reason']): string {
  return l10n.t('{0}, retrying', reasonWords(reason));
}

/** The state of a run that gets no further because a service does not answer: `no connection, retrying: 1 of 5 done`. */
export function noAnswerWords(reason: RetryNotice['reason'], numbers: FileNumbers): string {
  return l10n.t('{0}, retrying: {1}', reasonWords(reason), doneWords(numbers));
}

/** Why a call is made again. */
function reasonWords(reason: RetryNotice['reason']): string {
  switch (reason) {
    case 'unreachable':
      return l10n.t('no connection');
    case 'throttled':
      return l10n.t('throttled');
    case 'failing':
      return l10n.t('service error');
  }
}

function numbersLine({ phase, upload, nodes, tasks, fetch }: RunProgress, numbers: FileNumbers): string {
  switch (phase) {
    case 'uploading':
      return l10n.t(
        'uploading {0} of {1}, {2} of {3}',
        bytes(upload.bytes),
        bytes(upload.bytesTotal),
        count(upload.files),
        filesOf(upload.filesTotal),
      );
    case 'pool':
      return nodes.total === 0
        ? l10n.t('pool: waiting for {0}', nodesOf(nodes.target))
        : l10n.t('pool: {0} of {1} ready', count(nodes.idle + nodes.running), nodesOf(nodes.target));
    case 'tasks':
      return l10n.t(
        'tasks: {0} completed, {1} running, {2} failed of {3}',
        count(tasks.completed),
        count(tasks.running),
        count(tasks.failed),
        count(tasks.total),
      );
    case 'fetching':
      return l10n.t('fetching outputs: {0}, {1}', doneWords(numbers), bytes(fetch.bytes));
    case 'done':
      return l10n.t('done');
  }
}
