import { hasEnded } from '../azure/batchCall';
import { type Problem, UserError } from '../errors';
import { canceledReason, endJob, nothingUploaded } from '../jobs/jobLife';
import { type OpenAttempt, openAttempts } from '../plan/attempts';
import { type Attempt, attemptOf } from '../plan/manifest';
import { runTimeOf } from '../plan/runTime';
import { releaseNodes } from '../pools/poolSizes';
import { type GivenPool, takeBackNodes } from '../pools/takeBackNodes';
import type { RunSummary } from './runEvents';
import type { RunState } from './runState';

/** Saves the results, deletes the input containers, and only then reports the end. */
export async function finish(state: RunState, signal: AbortSignal): Promise<void> {
  const { manifest } = state;
  await state.saveResults(signal);
  for (const container of new Set(manifest.attempts.map((attempt) => attempt.inputContainer))) {
    await deleteInput(state, container, signal);
  }
  manifest.finished = new Date(state.now()).toISOString();
  await state.save(signal);
  state.progress.phase = 'done';
  state.tellProgress();
  const { succeeded, total, elapsedMs, nodeHours } = summaryOf(state);
  state.tell({ kind: 'ended', at: new Date(state.clock.now()), elapsedMs, succeeded, total, nodeHours });
}

/** Reports a refusal (a lock or a lease on the container, a missing permission): the outputs are complete all the same. */
async function deleteInput(state: RunState, container: string, signal: AbortSignal): Promise<void> {
  try {
    const isDeleted = await state.parts.storage.deleteContainer(container, signal);
    if (isDeleted) state.tell({ kind: 'containerDeleted', container });
  } catch (error) {
    const isRefused = error instanceof UserError && ['service', 'unauthorized'].includes(error.problem.kind);
    if (!isRefused) throw error;
    state.tell({ kind: 'trouble', problem: error.problem });
  }
}

/** Files that a summary names. */
const maxNamed = 3;

export function summaryOf({ manifest, results }: RunState): RunSummary {
  const all = [...results.values()];
  const failures = manifest.files.flatMap(({ id, path }) => {
    const problem = results.get(id)?.problem;
    return problem === undefined ? [] : { path, problem };
  });
  const failed = all.filter(({ problem }) => problem !== undefined).length;
  return {
    runId: manifest.runId,
    total: manifest.files.length + manifest.refused.length,
    succeeded: all.length - failed,
    failed: failed + manifest.refused.length,
    firstFiles: [...manifest.files, ...manifest.refused].slice(0, maxNamed).map(({ path }) => path),
    firstFailed: [...manifest.refused, ...failures].slice(0, maxNamed),
    unfinished: manifest.files.length - all.length,
    job: attemptOf(manifest).jobId,
    monitorMinutes: manifest.limits.monitorMinutes,
    elapsedMs: runTimeOf(manifest, all) ?? 0,
    nodeHours: manifest.nodeHours ?? 0,
  };
}

/**
 * Takes the nodes back that this process asked for before an attempt had a task, which would cost money for nothing. A later
 * process asks for nodes again. A failure to do so is reported as a problem of its own.
 */
export async function takeBackPools(
  state: RunState,
  signal: AbortSignal,
  attempts: readonly Attempt[] = [...state.poolsGiven.keys()],
): Promise<void> {
  for (const attempt of attempts) {
    const pool = state.poolsGiven.get(attempt);
    if (pool === undefined) continue;
    state.poolsGiven.delete(attempt);
    try {
      if (await takeBackPool(state, attempt, pool, signal))
        state.tell({ kind: 'nodesTakenBack', pool: pool.id });
    } catch (error) {
      if (!signal.aborted && !(error instanceof UserError)) throw error;
      const stuck: Problem = { kind: 'poolUnusable', pool: pool.id };
      state.tell({ kind: 'trouble', problem: error instanceof UserError ? error.problem : stuck });
    }
  }
}

/**
 * Terminates the empty jobs of a run that was deleted: no process adds tasks to them. A job that cannot be reached ends at its
 * time limit.
 */
export async function endEmptyJobs({ parts, poolsGiven }: RunState, signal: AbortSignal): Promise<void> {
  for (const { jobId } of poolsGiven.keys()) {
    try {
      await parts.batch.terminateJob(jobId, nothingUploaded, signal);
    } catch (error) {
      if (!signal.aborted && !(error instanceof UserError)) throw error;
    }
  }
}

async function takeBackPool(
  state: RunState,
  attempt: Attempt,
  pool: GivenPool,
  signal: AbortSignal,
): Promise<boolean> {
  const { batch } = state.parts;
  const { jobId } = attempt;
  const job = await batch.job(jobId, { select: 'id,state', signal });
  const isJobOpen = job !== undefined && !hasEnded(job);
  if (!isJobOpen) {
    attempt.poolId = undefined;
    // Nodes are taken back from a run that was deleted, too.
    await state.save(signal).catch((error) => {
      if (!(error instanceof UserError)) throw error;
    });
  }
  return takeBackNodes(batch, pool, { jobId, isJobOpen, clock: state.clock, signal });
}

/** Ends the jobs of attempts of a run that is canceled, unless they have ended. */
export async function endAttemptJobs(
  state: RunState,
  attempts: readonly Attempt[],
  signal: AbortSignal,
): Promise<void> {
  const { manifest } = state;
  const open = new Set(openAttempts(manifest, state.results).map(({ attempt }) => attempt));
  for (const attempt of attempts) {
    if (attempt.submitted !== undefined && !open.has(attempt)) continue;
    await endJob(state.parts.batch, manifest, attempt.jobId, canceledReason, {
      mayArrive: state.jobsAsked.has(attempt.jobId),
      clock: state.clock,
      signal,
    });
  }
}

/** Problems with which no task of the run can start. */
export const fatalProblems: ReadonlySet<Problem['kind']> = new Set([
  'startTaskFailed',
  'poolUnusable',
  'quota',
  'jobNotScheduled',
]);

function isFatal(error: unknown): error is UserError {
  return error instanceof UserError && fatalProblems.has(error.problem.kind);
}

/**
 * After an error that prevents all tasks from starting, ends the jobs of the run and removes the nodes of its pool, which would
 * cost money without use. The error becomes the result of files without one, unless there was no job. Failures of these steps
 * are reported separately.
 */
export async function endIfFatal(state: RunState, error: unknown, signal: AbortSignal): Promise<void> {
  if (!isFatal(error)) return;
  const { problem } = error;
  await orTrouble(state, async () => {
    for (const each of openAttempts(state.manifest, state.results)) {
      if (!(await endJobOf(state, each, problem, signal))) continue;
      settleAll(state, each, problem);
      await releasePool(state, each, signal);
    }
  });
}

/**
 * Like `endIfFatal`, for one of several attempts; the others continue. Its files always get this result, so that the run does
 * not retry them by itself. Returns whether the error was fatal.
 */
export async function endAttemptIfFatal(
  state: RunState,
  failed: OpenAttempt,
  error: unknown,
  signal: AbortSignal,
): Promise<boolean> {
  if (!isFatal(error)) return false;
  const { problem } = error;
  state.tell({ kind: 'trouble', problem });
  await orTrouble(state, () => endJobOf(state, failed, problem, signal));
  settleAll(state, failed, problem);
  await orTrouble(state, () => releasePool(state, failed, signal));
  await takeBackPools(state, signal, [failed.attempt]);
  return true;
}

async function orTrouble(state: RunState, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    state.tell({ kind: 'trouble', problem: error.problem });
  }
}

function endJobOf(
  { parts: { batch }, manifest, clock }: RunState,
  { attempt }: OpenAttempt,
  { kind }: Problem,
  signal: AbortSignal,
): Promise<boolean> {
  return endJob(batch, manifest, attempt.jobId, kind, { mayArrive: false, clock, signal });
}

/** Gives the files of an attempt that have no result this one. */
function settleAll(state: RunState, { open }: OpenAttempt, problem: Problem): void {
  const left = new Set(open.filter((id) => !state.results.has(id)));
  for (const file of state.manifest.files) {
    if (left.has(file.id)) state.settle(file, { problem, failedAt: 'task' });
  }
}

async function releasePool(
  { parts: { batch } }: RunState,
  { attempt: { jobId, poolId } }: OpenAttempt,
  signal: AbortSignal,
): Promise<void> {
  if (poolId !== undefined) await releaseNodes(batch, poolId, { jobId, signal });
}
