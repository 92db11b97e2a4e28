import { l10n } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { Batch } from '../../core/azure/batch';
import type { Storage } from '../../core/azure/storage';
import type { Remaining } from '../../core/cleanUp/deleteResources';
import type { OwnedResource } from '../../core/cleanUp/ownedResources';
import { isAbort } from '../../core/errors';
import { outputContainerOf } from '../../core/plan/manifest';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { longWork } from '../longWork';
import { showInformation, showWarning } from '../messages';
import { isToContinue } from '../runs/runRecord';
import type { Runs } from '../runs/runs';
import { count } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import { confirmCleanUp, pickResources } from './cleanUpPicker';

/** What to clean up: everything in an account, or one run. */
export interface CleanUpRequest {
  readonly accountId?: string;
  /** Only what belongs to this run. */
  readonly runId?: string;
  /** Runs that did not finish, whose resources the user was offered to clean up. */
  readonly leftBy?: readonly string[];
  /** The user has already agreed to delete what this run created. */
  readonly confirmed?: boolean;
}

interface Gateways {
  readonly batch: Batch;
  readonly storage: Storage;
}

/**
 * Lists what this extension created in an account, lets the user choose, warns about losses, and deletes. Throws `noAccount` if
 * the account was removed since the clean-up was offered: no keys are asked for that no account would use.
 */
export async function cleanUp(
  accounts: Pick<Accounts, 'accountOf' | 'connect'>,
  runs: Runs,
  { id: accountId }: Pick<AccountRecord, 'id'>,
  request: CleanUpRequest,
): Promise<void> {
  const account = accounts.accountOf({ accountId });
  const [{ Batch }, { Storage }, { ownedResources }] = await Promise.all([
    import('../../core/azure/batch'),
    import('../../core/azure/storage'),
    import('../../core/cleanUp/ownedResources'),
  ]);
  const connection = await accounts.connect(account);
  const gateways = { batch: new Batch(connection), storage: new Storage(connection) };
  const { batch, storage } = gateways;
  const all = await longWork(l10n.t('Looking for resources to clean up'), (_, signal) =>
    ownedResources(batch, storage, signal),
  );
  if (request.runId && request.confirmed) return cleanUpRun(gateways, runs, account, all, request.runId);
  const listed = request.runId ? all.filter(({ runId }) => runId === request.runId) : all;
  // A message about leftovers may stay open for hours: what continues meanwhile is not selected.
  const left = request.leftBy?.filter((runId) => {
    const record = runs.record(runId);
    return record === undefined || !isToContinue(record);
  });
  const asked = new Set(request.runId ? [request.runId] : left);
  const chosen = await pickResources(
    listed,
    account,
    { find: (runId) => runs.record(runId), asked },
    request.runId,
  );
  if (chosen === undefined || !(await confirmCleanUp(chosen))) return;
  await endLiveRuns(gateways, runs, all, chosen);
  await remove(gateways, runs, account, chosen);
}

/** Deletes what a run created; keeps outputs that were not fetched, and the record of a run with failures. */
async function cleanUpRun(
  gateways: Gateways,
  runs: Runs,
  account: AccountRecord,
  all: readonly OwnedResource[],
  runId: string,
): Promise<void> {
  const { planRunCleanUp, deleteFetched, withoutPoolsOfOthers } = await import(
    '../../core/cleanUp/cleanUpRun'
  );
  const container = runs.record(runId)?.outputContainer ?? outputContainerOf(runId);
  const { batch, storage } = gateways;
  const resources = await longWork(l10n.t('Cleaning up {0}', account.label), async (_, signal) => {
    const planned = await planRunCleanUp(storage, all, runId, container, signal);
    await deleteFetched(storage, planned.blobs, signal);
    return withoutPoolsOfOthers(batch, planned.resources, runId, signal);
  });
  await remove(gateways, runs, account, resources);
}

/** Runs that the chosen resources belong to end first: in this window as a cancel, elsewhere by the end of their jobs. */
async function endLiveRuns(
  { batch }: Gateways,
  runs: Runs,
  all: readonly OwnedResource[],
  chosen: readonly OwnedResource[],
): Promise<void> {
  const live = new Set(
    chosen.flatMap(({ isLive, runId, usedBy = [] }) =>
      isLive ? [...(runId ? [runId] : []), ...usedBy] : [],
    ),
  );
  if (live.size === 0) return;
  const { endJobs } = await import('../../core/cleanUp/deleteResources');
  await longWork(l10n.t('Canceling runs'), async (_, signal) => {
    await Promise.all([...live].map((runId) => runs.cancel(runId)));
    await endJobs(batch, all, live, signal);
  });
}

async function remove(
  { batch, storage }: Gateways,
  runs: Runs,
  account: AccountRecord,
  chosen: readonly OwnedResource[],
): Promise<void> {
  if (chosen.length === 0) return;
  const { deleteResources } = await import('../../core/cleanUp/deleteResources');
  const deleted: OwnedResource[] = [];
  const removed = longWork(l10n.t('Cleaning up {0}', account.label), (progress, signal) => {
    const report = (resource: OwnedResource, done: number) => {
      deleted.push(resource);
      progress.report({
        message: l10n.t('{0} of {1}: {2}', done, chosen.length, resource.id),
        increment: 100 / chosen.length,
      });
    };
    return deleteResources(batch, storage, chosen, report, signal);
  });
  let remaining: Remaining[];
  try {
    remaining = await removed;
  } catch (error) {
    if (isAbort(error)) showCleanUpCanceled(deleted.length, chosen.length);
    throw error;
  } finally {
    for (const { runId, kind, id } of deleted) {
      if (kind === 'container' && id.endsWith('-output') && runId) await runs.forget(runId);
    }
  }
  await tellRemaining(remaining, chosen.length);
}

function showCleanUpCanceled(deleted: number, chosen: number): void {
  const text = l10n.t('Canceled. Deleted {0} of {1} resources.', count(deleted), count(chosen));
  background(showInformation(text));
}

async function tellRemaining(remaining: readonly Remaining[], chosen: number): Promise<void> {
  if (remaining.length === 0) {
    const text =
      chosen === 1 ? l10n.t('Deleted 1 resource.') : l10n.t('Deleted {0} resources.', count(chosen));
    background(showInformation(text));
    return;
  }
  const lines = remaining.map(({ resource, problem }) => `${resource.id}: ${sentenceOf(problem).text}`);
  await showWarning(l10n.t("Couldn't delete {0} of {1} resources.", count(remaining.length), count(chosen)), {
    modal: true,
    detail: lines.join('\n'),
  });
}
