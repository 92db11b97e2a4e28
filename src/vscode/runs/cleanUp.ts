import { l10n, type QuickPickItem, QuickPickItemKind, window } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { Batch } from '../../core/azure/batch';
import type { Storage } from '../../core/azure/storage';
import type { Remaining } from '../../core/cleanUp/deleteResources';
import type { OwnedResource } from '../../core/cleanUp/ownedResources';
import { outputContainerOf } from '../../core/plan/manifest';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { longWork } from '../longWork';
import { bytes, count, nodesOf, time } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import type { Runs } from './runs';

/** What to clean up: everything in an account, or one run. */
export interface CleanUpRequest {
  readonly accountId?: string;
  /** Only what belongs to this run. */
  readonly runId?: string;
  /** The user has already agreed to delete what this run created. */
  readonly confirmed?: boolean;
}

interface Gateways {
  readonly batch: Batch;
  readonly storage: Storage;
}

interface ResourceItem extends QuickPickItem {
  readonly resource?: OwnedResource;
}

/** Lists what this extension created in an account, lets the user choose, warns about losses, and deletes. */
export async function cleanUp(
  accounts: Accounts,
  runs: Runs,
  account: AccountRecord,
  request: CleanUpRequest,
): Promise<void> {
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
  const chosen = await pick(listed, account);
  if (chosen === undefined || chosen.length === 0) return;
  if (!(await confirmLosses(chosen))) return;
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
  const { planRunCleanUp, deleteFetched } = await import('../../core/cleanUp/cleanUpRun');
  const container = runs.record(runId)?.outputContainer ?? outputContainerOf(runId);
  const { storage } = gateways;
  const plan = await longWork(l10n.t('Cleaning up {0}', account.label), async (_, signal) => {
    const planned = await planRunCleanUp(storage, all, runId, container, signal);
    await deleteFetched(storage, planned.blobs, signal);
    return planned;
  });
  await remove(gateways, runs, account, plan.resources);
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
  const remaining = await longWork(l10n.t('Cleaning up {0}', account.label), (progress, signal) => {
    const report = (resource: OwnedResource, done: number) =>
      progress.report({
        message: l10n.t('{0} of {1}: {2}', done, chosen.length, resource.id),
        increment: 100 / chosen.length,
      });
    return deleteResources(batch, storage, chosen, report, signal);
  });
  const kept = new Set(remaining.map(({ resource }) => resource.id));
  for (const { runId, kind, id } of chosen) {
    if (kind === 'container' && id.endsWith('-output') && runId && !kept.has(id)) await runs.forget(runId);
  }
  await tellRemaining(remaining, chosen.length);
}

async function tellRemaining(remaining: readonly Remaining[], chosen: number): Promise<void> {
  if (remaining.length === 0) {
    const text =
      chosen === 1 ? l10n.t('Deleted 1 resource.') : l10n.t('Deleted {0} resources.', count(chosen));
    background(window.showInformationMessage(text));
    return;
  }
  const lines = remaining.map(({ resource, problem }) => `${resource.id}: ${sentenceOf(problem).text}`);
  await window.showWarningMessage(
    l10n.t("Couldn't delete {0} of {1} resources.", count(remaining.length), count(chosen)),
    { modal: true, detail: lines.join('\n') },
  );
}

async function pick(
  resources: readonly OwnedResource[],
  account: AccountRecord,
): Promise<OwnedResource[] | undefined> {
  if (resources.length === 0) {
    const text = l10n.t('{0} has no resources that this extension created.', account.label);
    background(window.showInformationMessage(text));
    return undefined;
  }
  const items: ResourceItem[] = [
    ...group(l10n.t('Jobs'), resources, 'job'),
    ...group(l10n.t('Pools'), resources, 'pool'),
    ...group(l10n.t('Containers'), resources, 'container'),
  ];
  const picked = await window.showQuickPick(items, {
    title: l10n.t('Clean up {0}: select what to delete', account.label),
    placeHolder: l10n.t('Only resources that this extension created are listed'),
    canPickMany: true,
    matchOnDescription: true,
    ignoreFocusOut: true,
  });
  return picked?.flatMap(({ resource }) => resource ?? []);
}

function group(
  label: string,
  resources: readonly OwnedResource[],
  kind: OwnedResource['kind'],
): ResourceItem[] {
  const ofKind = resources.filter((resource) => resource.kind === kind);
  if (ofKind.length === 0) return [];
  return [{ label, kind: QuickPickItemKind.Separator }, ...ofKind.map(itemOf)];
}

/** Selected unless a run needs it or it holds the only copy of an output. */
function itemOf(resource: OwnedResource): ResourceItem {
  const icons = { job: 'tasklist', pool: 'server', container: 'database' } as const;
  const { kind, id, created, state, nodes, bytes: size, isLive, unfetched = 0 } = resource;
  const facts = [
    created ? time(created) : undefined,
    state,
    nodes === undefined ? undefined : nodesOf(nodes),
    size ? bytes(size) : undefined,
    isLive ? l10n.t('in use by a run') : undefined,
    unfetched > 0 ? unfetchedOf(unfetched) : undefined,
  ];
  return {
    label: `$(${icons[kind]}) ${id}`,
    description: facts.filter(Boolean).join(' · '),
    picked: !isLive && unfetched === 0,
    resource,
  };
}

function unfetchedOf(outputs: number): string {
  return outputs === 1 ? l10n.t('1 output not fetched') : l10n.t('{0} outputs not fetched', count(outputs));
}

async function confirmLosses(chosen: readonly OwnedResource[]): Promise<boolean> {
  const unfetched = chosen.reduce((sum, resource) => sum + (resource.unfetched ?? 0), 0);
  const live = chosen.filter(({ isLive }) => isLive);
  if (unfetched === 0 && live.length === 0) return true;
  const remove = l10n.t('Delete');
  const warnings = [
    unfetched === 0
      ? undefined
      : unfetched === 1
        ? l10n.t('1 output that was not fetched will be lost.')
        : l10n.t('{0} outputs that were not fetched will be lost.', count(unfetched)),
    live.length > 0
      ? l10n.t('Runs that use these resources are canceled first: {0}', live.map(({ id }) => id).join(', '))
      : undefined,
  ];
  const text =
    chosen.length === 1
      ? l10n.t('Delete 1 resource?')
      : l10n.t('Delete {0} resources?', count(chosen.length));
  const answer = await window.showWarningMessage(
    text,
    { modal: true, detail: warnings.filter(Boolean).join('\n') },
    remove,
  );
  return answer === remove;
}
