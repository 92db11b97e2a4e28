import type { Batch, Pool } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { type Problem, UserError } from '../errors';
import { type Clock, waitFor } from '../wait';
import type { NodeTargets } from './nodeTargets';

/** Minutes after which a pool that refuses every change is reported. Batch's default for a resize is 15. */
const conflictMinutes = 20;

/** Refusals that pass by themselves; the last is a change by another client since the pool was read. */
export const conflicts: readonly string[] = [
  'PoolBeingResized',
  'TooManyEnableAutoScaleRequests',
  'AutoScaleTooManyRequestsToEnable',
  'ConditionNotMet',
];

export interface ChangeOptions {
  readonly signal: AbortSignal;
  /** Default: the system clock. */
  readonly clock?: Clock;
  /** Called once if Azure refuses changes of the pool for now, for example while it allocates nodes. */
  readonly onRefused?: () => void;
}

/** Another client has changed the pool since it was read. */
class Overtaken extends Error {}

/**
 * Reads a pool and changes it with `work`; repeats both, after growing pauses, while the service temporarily refuses the change.
 * Throws `poolUnusable`: with the code of the refusal after `conflictMinutes`, with `deleted` if the pool does not exist.
 */
export async function changePool<T>(
  batch: Batch,
  poolId: string,
  { signal, clock, onRefused }: ChangeOptions,
  work: (pool: Pool) => Promise<T>,
): Promise<T> {
  let refusal: string | undefined;
  const attempt = async (): Promise<{ value: T | undefined; done: boolean }> => {
    const pool = await batch.pool(poolId, { signal });
    if (pool === undefined || pool.state === 'deleting') throw deleted(poolId);
    try {
      return { value: await work(pool), done: true };
    } catch (error) {
      if (isBatchCode(error, 'PoolNotFound', 'PoolBeingDeleted')) throw deleted(poolId);
      const isOvertaken = error instanceof Overtaken;
      if (!isOvertaken && !isBatchCode(error, ...conflicts)) throw error;
      // A change by another client is no reason to wait.
      if (refusal === undefined && !isOvertaken && !isBatchCode(error, 'ConditionNotMet')) onRefused?.();
      refusal = codeOf(isOvertaken ? error.cause : error) ?? 'refused';
      return { value: undefined, done: false };
    }
  };
  const stuck = () => new UserError({ kind: 'poolUnusable', pool: poolId, detail: refusal });
  return (await waitFor(attempt, { signal, minutes: conflictMinutes, stuck, clock })) as T;
}

/** Sets the number of nodes of a pool without autoscale, as a part of the work of `changePool`. */
export async function resizeFixed(
  batch: Batch,
  poolId: string,
  { dedicated, spot }: NodeTargets,
  signal: AbortSignal,
  ifMatch?: string,
): Promise<void> {
  const size = { targetDedicatedNodes: dedicated, targetLowPriorityNodes: spot };
  try {
    await batch.resizePool(poolId, size, signal, ifMatch);
  } catch (error) {
    const isConflict =
      error instanceof UserError && error.problem.kind === 'service' && error.problem.status === 409;
    if (!isConflict || isBatchCode(error, ...conflicts)) throw error;
    const pool = await batch.pool(poolId, { select: 'id,enableAutoScale', signal });
    throw pool?.enableAutoScale ? new Overtaken(undefined, { cause: error }) : error;
  }
}

/**
 * Sets the number of nodes of a pool that was read for that, as a part of the work of `changePool`. Autoscale is turned off
 * first. `stopsResize` stops a resize that goes on. `ifUnchanged`: only if no other client has changed the pool meanwhile.
 */
export async function setSize(
  batch: Batch,
  { id = '', enableAutoScale, allocationState, eTag }: Pool,
  targets: NodeTargets,
  {
    signal,
    stopsResize,
    ifUnchanged,
  }: { readonly signal: AbortSignal; readonly stopsResize?: boolean; readonly ifUnchanged?: boolean },
): Promise<void> {
  let ifMatch = ifUnchanged ? eTag : undefined;
  if (enableAutoScale) {
    // Batch accepts no condition for this request.
    if (ifMatch !== undefined && (await batch.pool(id, { signal }))?.eTag !== ifMatch) throw new Overtaken();
    await batch.disableAutoScale(id, signal);
    ifMatch = undefined;
  }
  if (stopsResize && allocationState === 'resizing') {
    await stopResize(batch, id, signal, ifMatch);
    ifMatch = undefined;
  }
  await resizeFixed(batch, id, targets, signal, ifMatch);
}

/** Stops a resize. It is no error that the resize has ended by itself. */
async function stopResize(
  batch: Batch,
  poolId: string,
  signal: AbortSignal,
  ifMatch?: string,
): Promise<void> {
  try {
    await batch.stopResize(poolId, signal, ifMatch);
  } catch (error) {
    if (
      !isBatchCode(
        error,
        'OperationInvalidForCurrentState',
        'PoolNotEligibleForStopResize',
        'PoolNotResizing',
      )
    )
      throw error;
  }
}

function deleted(pool: string): UserError {
  return new UserError({ kind: 'poolUnusable', pool, why: 'deleted' });
}

/** Whether `changePool` failed because the pool is deleted. */
export function isDeletedPool(error: unknown): boolean {
  return isUnusable(error) && error.problem.why === 'deleted';
}

/** Whether `changePool` failed because Azure refused every change for `conflictMinutes`: the pool works as it is. */
export function isUnchangeable(error: unknown): boolean {
  return isUnusable(error) && error.problem.why !== 'deleted';
}

function isUnusable(
  error: unknown,
): error is UserError & { problem: Extract<Problem, { kind: 'poolUnusable' }> } {
  return error instanceof UserError && error.problem.kind === 'poolUnusable';
}

function codeOf(error: unknown): string | undefined {
  return error instanceof UserError && error.problem.kind === 'service' ? error.problem.code : undefined;
}
