import { l10n, type QuickPickItem, QuickPickItemKind, window } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { Owned } from '../../core/runs/cleanUp';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { longWork } from '../longWork';
import { bytes, count, nodesOf, time } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import type { Runs } from './runs';

/** What a clean-up is asked for: everything, or one run's. */
export interface CleanUpRequest {
  readonly accountId?: string;
  /** Only what belongs to this run. */
  readonly runId?: string;
  /** The person has already said yes to deleting what this run made. */
  readonly confirmed?: boolean;
}

interface ThingItem extends QuickPickItem {
  readonly thing?: Owned;
}

/** Lists everything this extension made on an account, lets the person tick, warns about outputs not fetched, deletes. */
export async function cleanUp(
  accounts: Accounts,
  runs: Runs,
  account: AccountRecord,
  request: CleanUpRequest,
): Promise<void> {
  const [{ Batch }, { Storage }, { ownedThings, deleteOwned }] = await Promise.all([
    import('../../core/azure/batch'),
    import('../../core/azure/storage'),
    import('../../core/runs/cleanUp'),
  ]);
  const connection = await accounts.connect(account);
  const batch = new Batch(connection);
  const storage = new Storage(connection);
  const all = await longWork(l10n.t('Looking for what can be cleaned up'), (_, signal) =>
    ownedThings(batch, storage, signal),
  );
  const things = request.runId ? ofRun(all, request.runId, runs) : all;
  const chosen = request.confirmed ? things : await pick(things, account);
  if (chosen === undefined || chosen.length === 0) return;
  if (!request.confirmed && !(await confirmUnfetched(chosen))) return;
  const remaining = await longWork(l10n.t('Cleaning up {0}', account.label), (progress, signal) => {
    const report = (thing: Owned, done: number) =>
      progress.report({
        message: l10n.t('{0} of {1}: {2}', done, chosen.length, thing.id),
        increment: 100 / chosen.length,
      });
    return deleteOwned(batch, storage, chosen, report, signal);
  });
  for (const { runId, kind, id } of chosen) {
    if (kind === 'container' && id.endsWith('-output') && runId) await runs.forget(runId);
  }
  if (remaining.length === 0) {
    background(
      window.showInformationMessage(l10n.t('Cleaned up: {0} things deleted.', count(chosen.length))),
    );
    return;
  }
  const lines = remaining.map(({ thing, problem }) => `${thing.id}: ${sentenceOf(problem).text}`);
  await window.showWarningMessage(
    l10n.t('{0} of {1} things could not be deleted.', remaining.length, chosen.length),
    { modal: true, detail: lines.join('\n') },
  );
}

/** A run's own things, and the pool it used when nobody else's job is on it. */
function ofRun(all: readonly Owned[], runId: string, runs: Runs): Owned[] {
  const others = all.some((thing) => thing.kind === 'job' && thing.busy && thing.runId !== runId);
  const pools = new Set(
    others || runs.liveRuns.length > 0 ? [] : all.filter((thing) => thing.kind === 'pool' && !thing.busy),
  );
  return all.filter((thing) => thing.runId === runId || pools.has(thing));
}

async function pick(things: readonly Owned[], account: AccountRecord): Promise<Owned[] | undefined> {
  if (things.length === 0) {
    background(
      window.showInformationMessage(l10n.t('{0} holds nothing that this extension made.', account.label)),
    );
    return undefined;
  }
  const items: ThingItem[] = [
    ...group(l10n.t('Jobs'), things, 'job'),
    ...group(l10n.t('Pools'), things, 'pool'),
    ...group(l10n.t('Containers'), things, 'container'),
  ];
  const picked = await window.showQuickPick(items, {
    title: l10n.t('Clean up {0}: what should be deleted?', account.label),
    placeHolder: l10n.t('Only what this extension made is listed'),
    canPickMany: true,
    matchOnDescription: true,
    ignoreFocusOut: true,
  });
  return picked?.flatMap(({ thing }) => thing ?? []);
}

function group(label: string, things: readonly Owned[], kind: Owned['kind']): ThingItem[] {
  const ofKind = things.filter((thing) => thing.kind === kind);
  if (ofKind.length === 0) return [];
  return [{ label, kind: QuickPickItemKind.Separator }, ...ofKind.map(item)];
}

/** Ticked unless it is at work or holds outputs that nobody has. */
function item(thing: Owned): ThingItem {
  const icons = { job: 'tasklist', pool: 'server', container: 'database' } as const;
  const facts = [
    thing.created ? time(thing.created) : undefined,
    thing.state,
    thing.nodes === undefined ? undefined : nodesOf(thing.nodes),
    thing.bytes ? bytes(thing.bytes) : undefined,
    thing.busy ? l10n.t('still at work') : undefined,
    thing.unfetched ? l10n.t('{0} outputs not fetched', thing.unfetched) : undefined,
  ];
  return {
    label: `$(${icons[thing.kind]}) ${thing.id}`,
    description: facts.filter(Boolean).join(' · '),
    picked: !thing.busy && !thing.unfetched,
    thing,
  };
}

async function confirmUnfetched(chosen: readonly Owned[]): Promise<boolean> {
  const unfetched = chosen.reduce((sum, thing) => sum + (thing.unfetched ?? 0), 0);
  const busy = chosen.filter((thing) => thing.busy);
  if (unfetched === 0 && busy.length === 0) return true;
  const remove = l10n.t('Delete');
  const warnings = [
    unfetched > 0 ? l10n.t('{0} outputs were not fetched and will be lost.', unfetched) : undefined,
    busy.length > 0 ? l10n.t('Still at work: {0}', busy.map(({ id }) => id).join(', ')) : undefined,
  ];
  const answer = await window.showWarningMessage(
    l10n.t('Delete {0} things?', chosen.length),
    { modal: true, detail: warnings.filter(Boolean).join('\n') },
    remove,
  );
  return answer === remove;
}
