import type { Storage } from '../../core/azure/storage';
import { UserError } from '../../core/errors';
import type { ListedRun } from '../../core/records/runList';
import type { Outcome } from './outcome';
import { type RunRecord, recordOf } from './runRecord';

export interface ReadRun extends Outcome {
  readonly record: RunRecord;
}

/** Reads a run from the account. Undefined if its manifest was never written, or was deleted just now. */
export async function readRun(
  storage: Storage,
  accountId: string,
  { outputContainer }: ListedRun,
  signal: AbortSignal,
): Promise<ReadRun | undefined> {
  const [{ readManifest }, { readResults }] = await Promise.all([
    import('../../core/records/manifestStore'),
    import('../../core/records/resultJournal'),
  ]);
  try {
    const manifest = await readManifest(storage, outputContainer, signal);
    const results = await readResults(storage, outputContainer, signal);
    return { manifest, results, record: recordOf(accountId, manifest, results, 'stopped') };
  } catch (error) {
    if (error instanceof UserError && error.problem.kind === 'runNotFound') return undefined;
    throw error;
  }
}
