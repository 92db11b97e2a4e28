import { l10n } from 'vscode';
import type { RunProgress, Step } from '../../core/runs/runEvents';
import { noteSentence } from './notes';
import { bytes, count, duration, filesOf, nodesOf, time } from './numbers';
import { serviceName } from './problemWords';
import { sentenceOf } from './sentences';

/** One line of a run's story in the log, as the tutorial's console tells it. */
export function storyLine(step: Step): string {
  switch (step.kind) {
    case 'started':
      return l10n.t(
        'Start: {0}. Run {1}: {2} files, {3}',
        time(step.at),
        step.run,
        count(step.files),
        step.preset,
      );
    case 'resumed':
      return l10n.t('Run {0} taken up again: {1}', step.run, time(step.at));
    case 'noted':
      return noteSentence(step.note);
    case 'containerCreated':
      return l10n.t('Container [{0}] created.', step.container);
    case 'containerDeleted':
      return l10n.t('Container [{0}] deleted.', step.container);
    case 'picturesLeft':
      return l10n.t(
        'The preset looks at no pictures: of {0}, {1} are uploaded instead of {2}.',
        filesOf(step.files),
        bytes(step.bytes),
        bytes(step.of),
      );
    case 'uploading':
      return l10n.t('Uploading file {0} to container [{1}]...', step.file, step.container);
    case 'alreadyUploaded':
      return l10n.t('File {0} is in container [{1}] already.', step.file, step.container);
    case 'poolCreated':
      return l10n.t(
        'Creating pool [{0}] with {1} dedicated and {2} Spot nodes...',
        step.pool,
        step.dedicated,
        step.spot,
      );
    case 'poolReused':
      return l10n.t(
        'Using pool [{0}] again, with {1} dedicated and {2} Spot nodes...',
        step.pool,
        step.dedicated,
        step.spot,
      );
    case 'jobCreated':
      return step.autoPool
        ? l10n.t('Creating job [{0}] with a pool of its own...', step.job)
        : l10n.t('Creating job [{0}]...', step.job);
    case 'tasksAdded':
      return l10n.t('Added {0} tasks to job [{1}].', count(step.count), step.job);
    case 'monitoring':
      return l10n.t(
        "Monitoring all tasks of job [{0}] for 'completed' state, for {1} minutes...",
        step.job,
        step.minutes,
      );
    case 'trouble':
      return sentenceOf(step.problem).text;
    case 'waiting':
      return l10n.t(
        '{0} does not answer as it should ({1}); trying again.',
        serviceName(step.service),
        step.notice.reason,
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
      return l10n.t('The output of {0} is there already: {1}', step.file, decodeURIComponent(step.output));
    case 'fileFailed':
      return sentenceOf(step.problem).text;
    case 'timeLimit':
      return l10n.t(
        'After {0} minutes job [{1}] is not watched any more; its tasks go on.',
        step.minutes,
        step.job,
      );
    case 'ended':
      return l10n.t(
        'End: {0}. {1} of {2} files in {3}; about {4} node-hours used.',
        time(step.at),
        count(step.succeeded),
        count(step.total),
        duration(step.elapsedMs),
        step.nodeHours.toFixed(2),
      );
  }
}

/** Whether a line tells of something gone wrong. */
export function isTrouble({ kind }: Step): boolean {
  return kind === 'trouble' || kind === 'fileFailed' || kind === 'waiting' || kind === 'timeLimit';
}

/** A guess is worth telling once so much is done: percent. */
const tellingPercent = 5;
const shortestGuessMs = 5_000;

/**
 * One line for the progress notification: where the run stands, in numbers, and how long it may still take, going by the
 * pace since it began at `since` (milliseconds since 1970).
 */
export function progressLine(progress: RunProgress, since: number, now = Date.now()): string {
  const line = numbersLine(progress);
  const percent = percentDone(progress);
  const elapsed = now - since;
  if (progress.phase !== 'tasks' || percent < tellingPercent || elapsed < shortestGuessMs) return line;
  return l10n.t('{0}, about {1} left', line, duration((elapsed * (100 - percent)) / percent));
}

function numbersLine({ phase, upload, nodes, tasks, fetch }: RunProgress): string {
  switch (phase) {
    case 'uploading':
      return l10n.t(
        'uploading {0} of {1}, {2} of {3} files',
        bytes(upload.bytes),
        bytes(upload.bytesTotal),
        count(upload.files),
        count(upload.filesTotal),
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
      return l10n.t(
        'fetching outputs: {0} of {1}, {2}',
        count(fetch.files),
        count(tasks.total),
        bytes(fetch.bytes),
      );
    case 'done':
      return l10n.t('done');
  }
}

/** 0 to 100: uploads, tasks and fetching weigh alike. */
export function percentDone({ upload, tasks, fetch }: RunProgress): number {
  const shares = [
    [upload.bytes, upload.bytesTotal],
    [tasks.completed, tasks.total],
    [fetch.files, tasks.total],
  ] as const;
  const done = shares.reduce((sum, [part, whole]) => sum + (whole > 0 ? Math.min(part / whole, 1) : 0), 0);
  return (100 * done) / shares.length;
}
