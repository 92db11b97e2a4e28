import pLimit from 'p-limit';
import type { Batch, Job } from '../azure/batch';
import { hasEnded } from '../azure/batchCall';
import { everyItem } from '../azure/pages';
import { type Problem, rootProblem, UserError } from '../errors';
import { canceledReason, nothingUploaded, outOfTime } from '../jobs/jobLife';
import { schedulingProblem } from '../jobs/poolFailure';
import { endTasks, isSplit, pieceProblem } from '../jobs/splitTasks';
import { openAttempts, retryAttempt } from '../plan/attempts';
import type { Attempt, ManifestFile, Until } from '../plan/manifest';
import { pieceOfTask, piecesOf, pieceTaskId } from '../plan/pieces';
import { together } from '../wait';
import { fetchesAtOnce, fetchOfDeleted } from './fetch';
import { fatalProblems } from './finish';
import type { RunState } from './runState';

/**
 * Prepares attempts whose job ended before all their tasks were added. If its time was over, for example because the machine
 * was off, a new attempt with the same uploads follows for the files that were not transcoded. If somebody ended or deleted
 * the job, the run adds nothing to the account: files without an output fail, and the user can retry them. Throws `jobEnded`
 * for such a job unless outputs are `fetched`.
 */
export async function repairAttempts(state: RunState, until: Until, signal: AbortSignal): Promise<void> {
  const { manifest } = state;
  for (const attempt of manifest.attempts) {
    if (attempt.submitted !== undefined) continue;
    const job = await state.parts.batch.job(attempt.jobId, { select: 'id,state,executionInfo', signal });
    if (job === undefined && !attempt.hasJob) continue;
    if (job !== undefined && !hasEnded(job)) {
      await respectDeleted(state, attempt, until, signal);
      continue;
    }
    if (isEndedByOthers(job)) {
      if (until !== 'fetched') throw new UserError({ kind: 'jobEnded', job: attempt.jobId });
      attempt.submitted = { at: new Date(state.now()).toISOString(), tasks: 0 };
      state.tell({ kind: 'trouble', problem: { kind: 'jobEnded', job: attempt.jobId } });
      await state.save(signal);
      continue;
    }
    if (job?.executionInfo?.terminateReason === outOfTime) forgetEnded(state, attempt);
    await follow(state, attempt, until, signal);
  }
}

/** Ends the job of an attempt whose files all have a result now: it would wait for tasks, and its pool keep its nodes. */
async function respectDeleted(
  state: RunState,
  attempt: Attempt,
  until: Until,
  signal: AbortSignal,
): Promise<void> {
  const { batch } = state.parts;
  if (state.addedTasks.of(attempt.jobId).size > 0)
    await settleDeleted(state, attempt, { until, listed: await listedTasks(batch, attempt, signal) }, signal);
  if (openFiles(state, attempt).length > 0) return;
  await batch.terminateJob(attempt.jobId, nothingUploaded, signal);
  attempt.submitted = { at: new Date(state.now()).toISOString(), tasks: 0 };
  await state.save(signal);
}

/**
 * Gives files whose tasks were added and no longer exist their results: somebody has deleted them, and they are not added
 * again. The other tasks of a split file would serve nothing: they end. Files that belong to a later attempt are left to it.
 */
async function settleDeleted(
  state: RunState,
  attempt: Attempt,
  { until, listed }: { readonly until: Until; readonly listed: ReadonlySet<string> },
  signal: AbortSignal,
): Promise<void> {
  const { manifest, results, addedTasks, parts } = state;
  const { jobId } = attempt;
  const own = new Set(openFiles(state, attempt));
  const files = new Map(manifest.files.filter(({ id }) => own.has(id)).map((file) => [file.id, file]));
  const toFetch = new Set<ManifestFile>();
  for (const id of addedTasks.of(jobId)) {
    const { fileId, piece } = pieceOfTask(id) ?? { fileId: id };
    const file = files.get(fileId);
    if (listed.has(id) || file === undefined || results.has(fileId) || toFetch.has(file)) continue;
    // A list may lag behind.
    if ((await parts.batch.task(jobId, id, signal)) !== undefined) continue;
    const problem: Problem = { kind: 'taskDeleted', file: file.path };
    if (isSplit(file) && piece !== undefined)
      state.settle(file, { problem: pieceProblem(file, piece, problem), failedAt: 'task' });
    // Whether it has left an output is found out when outputs are fetched.
    else if (until !== 'fetched') state.settle(file, { problem, failedAt: 'download' });
    else toFetch.add(file);
    if (!isSplit(file)) continue;
    const others = [fileId, ...piecesOf(file.split).map((each) => pieceTaskId(fileId, each))];
    await endTasks(parts.batch, jobId, others, signal);
  }
  const limit = pLimit(fetchesAtOnce);
  const fetch = async (file: ManifestFile, own: AbortSignal) => {
    const problem: Problem = { kind: 'taskDeleted', file: file.path };
    const result = await fetchOfDeleted(state, file, attempt, own);
    state.settle(file, result ?? { problem, failedAt: 'task' });
    state.tellProgress();
    await state.saveResultsInTime(own);
  };
  await together(signal, ...[...toFetch].map((file) => (own: AbortSignal) => limit(() => fetch(file, own))));
}

/** Ids of the files of an attempt that have no result and belong to no later attempt. */
function openFiles({ manifest, results }: RunState, attempt: Attempt): readonly string[] {
  return openAttempts(manifest, results).find((each) => each.attempt === attempt)?.open ?? [];
}

async function listedTasks(batch: Batch, { jobId }: Attempt, signal: AbortSignal): Promise<Set<string>> {
  const listed = new Set<string>();
  const options = { select: 'id', signal };
  for await (const { id = '' } of everyItem((next) => batch.taskPage(jobId, options, next))) listed.add(id);
  return listed;
}

/** Reasons for which the run, or Batch for the run, ends its job. Batch ends a closed job with its tasks. */
const ownReasons: ReadonlySet<string> = new Set([
  ...[outOfTime, canceledReason, nothingUploaded, ...fatalProblems],
  ...['AllTasksComplete', 'AllTasksCompleted'],
]);

/** Whether a job that has ended, or no longer exists, was ended or deleted by somebody else. */
function isEndedByOthers(job: Job | undefined): boolean {
  if (job === undefined || job.state === 'deleting') return true;
  return schedulingProblem(job) === undefined && !ownReasons.has(job.executionInfo?.terminateReason ?? '');
}

/** Tasks that the end of the job interrupted are no failures of their files. */
function forgetEnded(state: RunState, { fileIds }: Attempt): void {
  state.forget(fileIds.filter((id) => state.results.get(id)?.problem?.kind === 'ended'));
}

async function follow(state: RunState, attempt: Attempt, until: Until, signal: AbortSignal): Promise<void> {
  const { manifest } = state;
  const { completed, listed } = await endedTasks(state, attempt, signal);
  await settleDeleted(state, attempt, { until, listed }, signal);
  attempt.submitted = { at: new Date(state.now()).toISOString(), tasks: listed.size };
  const left = openFiles(state, attempt).filter((id) => !completed.has(id));
  if (left.length > 0) {
    const next = { ...retryAttempt(manifest, left, state.results), inputContainer: attempt.inputContainer };
    manifest.attempts.push(next);
    state.tell({ kind: 'jobReplaced', job: attempt.jobId, by: next.jobId });
  }
  await state.save(signal);
}

/** Ids of tasks that came to an end of their own, and of all tasks. */
async function endedTasks(
  { parts: { batch } }: RunState,
  { jobId }: Attempt,
  signal: AbortSignal,
): Promise<{ completed: Set<string>; listed: Set<string> }> {
  const completed = new Set<string>();
  const listed = new Set<string>();
  const options = { select: 'id,state,executionInfo', signal };
  for await (const { id = '', state, executionInfo } of everyItem((next) =>
    batch.taskPage(jobId, options, next),
  )) {
    listed.add(id);
    if (state === 'completed' && executionInfo?.failureInfo?.code !== 'TaskEnded') completed.add(id);
  }
  return { completed, listed };
}

/** Problems between a node and the storage account, which an outage causes: Batch itself does not try such tasks again. */
const transferProblems = new Set<Problem['kind']>(['inputNotReachable', 'outputNotUploaded', 'inputExpired']);

function kindOf(problem: Problem | undefined): Problem['kind'] {
  return problem ? rootProblem(problem).kind : 'nothingChosen';
}

/** Pauses before such tasks are tried again, in minutes; their number is the number of tries. */
const retryPauses = [0, 1, 5];

/** Makes a new attempt for tasks that failed to read or write the storage account. False if there are none to try again. */
export async function retryTransfers(state: RunState, signal: AbortSignal): Promise<boolean> {
  const { manifest, results } = state;
  const attemptsOf = new Map<string, number>();
  for (const id of manifest.attempts.flatMap(({ fileIds }) => fileIds))
    attemptsOf.set(id, (attemptsOf.get(id) ?? 0) + 1);
  const tries = (id: string) => attemptsOf.get(id) ?? 0;
  const failed = manifest.files
    .map(({ id }) => id)
    .filter((id) => transferProblems.has(kindOf(results.get(id)?.problem)))
    .filter((id) => tries(id) <= retryPauses.length);
  if (failed.length === 0 || manifest.canceled) return false;
  const attempt = retryAttempt(manifest, failed, results);
  state.tell({ kind: 'transfersRetried', count: failed.length, job: attempt.jobId });
  const pauseMinutes = retryPauses[failed.reduce((max, id) => Math.max(max, tries(id)), 0) - 1] ?? 0;
  if (pauseMinutes > 0) await state.clock.pause(pauseMinutes * 60_000, signal);
  manifest.attempts.push(attempt);
  state.forget(failed);
  await state.save(signal);
  return true;
}

/**
 * Whether an error says that a job ended before all its tasks were added, after which the run goes on: `repairAttempts`
 * has the next step. Throws the reason if the service did not schedule the job.
 */
export async function canBeRepaired(
  state: RunState,
  error: unknown,
  until: Until,
  signal: AbortSignal,
): Promise<boolean> {
  if (!(error instanceof UserError) || error.problem.kind !== 'jobEnded') return false;
  const { job: jobId } = error.problem;
  const attempt = state.manifest.attempts.find((each) => each.jobId === jobId);
  if (attempt === undefined || attempt.submitted !== undefined) return false;
  const job = await state.parts.batch.job(jobId, { select: 'id,state,executionInfo', signal });
  const problem = job && schedulingProblem(job);
  if (problem) throw new UserError(problem, { cause: error });
  if (job?.executionInfo?.terminateReason === outOfTime) return true;
  return until === 'fetched' && (job === undefined || hasEnded(job)) && isEndedByOthers(job);
}
