import type { Batch, Job, Pool } from '../azure/batch';
import type { PoolLifetime } from '../plan/manifest';
import { systemClock, whenArrived } from '../wait';
import { changePool, isDeletedPool, setSize } from './changePool';
import type { NodeTargets } from './nodeTargets';
import { currentTargets, type SizeOptions } from './poolSizes';
import { isForOthers, isNeeded, removeChosen } from './poolUse';

/** A pool that was given nodes for a run. */
export interface GivenPool {
  readonly id: string;
  readonly lifetime: PoolLifetime;
  /** What the pool aimed for before; undefined if it was made for the run. */
  readonly before?: NodeTargets;
  /** Set while the request for the nodes is not answered: the pool can get them later. */
  readonly mayArrive?: true;
  /** Set if the pool was chosen for the run, and was not asked for nodes. */
  readonly isOnlyChosen?: true;
}

interface TakeBackOptions extends SizeOptions {
  readonly jobId: string;
  readonly isJobOpen: boolean;
}

/** `unchanged`: the pool has no nodes for the run. */
type Outcome = 'takenBack' | 'kept' | 'unchanged';

/**
 * Undoes what was done to a pool for a run that has no task on it: deletes a pool that was made for the run, and returns an
 * existing pool to its earlier size. A pool that a disabled job needs is kept without nodes. While the run's job is open, the run
 * can continue: its pool is kept, and a pool that scales to zero is left to its formula. A pool that other runs use, or that a
 * formula of the user sizes, is not changed. Returns whether the pool has changed.
 */
export async function takeBackNodes(
  batch: Batch,
  given: GivenPool,
  options: TakeBackOptions,
): Promise<boolean> {
  const { clock = systemClock, signal } = options;
  const outcomes = new Set<Outcome>();
  const ask = async () => {
    const outcome = await takeBackOnce(batch, given, options);
    outcomes.add(outcome);
    return outcome !== 'unchanged';
  };
  await (given.mayArrive ? whenArrived(ask, { clock, signal }) : ask());
  return outcomes.has('takenBack');
}

/** Each change is made only to the pool as it was read: a run that chooses the pool meanwhile changes it. */
async function takeBackOnce(
  batch: Batch,
  { id, lifetime, before, isOnlyChosen }: GivenPool,
  { jobId, isJobOpen, clock, signal }: TakeBackOptions,
): Promise<Outcome> {
  const isOwnJob = (job: Job) => job.id === jobId;
  const work = async (read: Pool): Promise<Outcome> => {
    const pool = await removeChosen(batch, read, jobId, signal);
    if (isOnlyChosen) return 'unchanged';
    if (await isForOthers(batch, pool, jobId, signal)) return 'kept';
    if (before === undefined && !isJobOpen && !(await isNeeded(batch, id, isOwnJob, signal))) {
      await batch.deletePool(id, signal, pool.eTag);
      return 'takenBack';
    }
    if (lifetime === 'scaleToZero' && isJobOpen) return 'kept';
    const { dedicated, spot } = (lifetime === 'keep' && before) || { dedicated: 0, spot: 0 };
    if (lifetime === 'keep') {
      const now = currentTargets(pool);
      if (pool.enableAutoScale) return 'kept';
      if (now.dedicated <= dedicated && now.spot <= spot) return 'unchanged';
    }
    await setSize(batch, pool, { dedicated, spot }, { signal, stopsResize: true, ifUnchanged: true });
    return 'takenBack';
  };
  try {
    return await changePool(batch, id, { clock, signal }, work);
  } catch (error) {
    if (isDeletedPool(error)) return 'kept';
    throw error;
  }
}
