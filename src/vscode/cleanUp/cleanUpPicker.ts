import { l10n, type QuickPickItem, QuickPickItemKind, ThemeIcon, window } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { OwnedResource } from '../../core/cleanUp/ownedResources';
import { background } from '../background';
import { showInformation, showWarning } from '../messages';
import { isToContinue, type RunRecord } from '../runs/runRecord';
import { runTitle } from '../runs/runWords';
import { listed } from '../words/listed';
import { age, bytes, count, nodesOf } from '../words/numbers';

interface ResourceItem extends QuickPickItem {
  readonly resource?: OwnedResource;
}

interface KnownRuns {
  /** Finds the record of a run in this workspace. */
  readonly find: (runId: string) => RunRecord | undefined;
  /** Runs that the user wants to clean up although they have not finished. */
  readonly asked: ReadonlySet<string>;
}

/**
 * Lets the user select what to delete, grouped by run. Selected at first is what can be deleted without a loss: nothing of
 * a run that goes on or can be continued, unless that is what the user asked for, and no output that was not fetched. Undefined
 * if the user canceled or selected nothing. `ofRun`: they are those of one run only.
 */
export async function pickResources(
  resources: readonly OwnedResource[],
  account: AccountRecord,
  known: KnownRuns,
  ofRun?: string,
): Promise<OwnedResource[] | undefined> {
  if (resources.length === 0) {
    const text = ofRun
      ? l10n.t('{0} has no resources of run {1}.', account.label, ofRun)
      : l10n.t('{0} has no resources that this extension created.', account.label);
    background(showInformation(text));
    return undefined;
  }
  const items = groupsOf(resources).flatMap(([runId, ofRun]): ResourceItem[] => [
    { label: groupLabel(runId, ofRun, known), kind: QuickPickItemKind.Separator },
    ...ofRun.map((resource) => itemOf(resource, known)),
  ]);
  const picked = await window.showQuickPick(items, {
    title: l10n.t('Clean up {0}: select what to delete', account.label),
    placeHolder: l10n.t('You can review the deletion in the next step'),
    canPickMany: true,
    matchOnDescription: true,
    matchOnDetail: true,
    ignoreFocusOut: true,
  });
  if (picked?.length === 0) {
    background(showInformation(l10n.t('Nothing was deleted, because no resources were selected.')));
    return undefined;
  }
  return picked?.flatMap(({ resource }) => resource ?? []);
}

/**
 * Asks for confirmation, with what is deleted, the bytes that are freed, and what is lost. The button repeats what is
 * deleted.
 */
export async function confirmCleanUp(chosen: readonly OwnedResource[]): Promise<boolean> {
  const remove =
    chosen.length === 1 ? l10n.t('Delete 1 Resource') : l10n.t('Delete {0} Resources', count(chosen.length));
  const title =
    chosen.length === 1
      ? l10n.t('Delete 1 resource?')
      : l10n.t('Delete {0} resources?', count(chosen.length));
  const detail = [l10n.t('To be deleted: {0}', kindsOf(chosen)), freedBy(chosen), ...lossesOf(chosen)].filter(
    Boolean,
  );
  const answer = await showWarning(title, { modal: true, detail: detail.join('\n') }, remove);
  return answer === remove;
}

/** The resources of each run, the newest run first; those of no run come last. */
function groupsOf(resources: readonly OwnedResource[]): [string, OwnedResource[]][] {
  const groups = new Map<string, OwnedResource[]>();
  for (const resource of resources) {
    const { runId = '' } = resource;
    groups.set(runId, [...(groups.get(runId) ?? []), resource]);
  }
  const newest = ([runId, ofRun]: [string, OwnedResource[]]) =>
    runId === '' ? 0 : Math.max(...ofRun.map(({ created }) => Number(created ?? 0)));
  return [...groups].sort((one, other) => newest(other) - newest(one));
}

/** `5 files, MP3 audio · 2 days ago · 1.2 GB`. */
function groupLabel(runId: string, ofRun: readonly OwnedResource[], { find }: KnownRuns): string {
  if (runId === '') {
    return ofRun.every(({ kind }) => kind === 'pool')
      ? l10n.t('Pools that runs share')
      : l10n.t('Resources that belong to no run');
  }
  const run = find(runId);
  const created = Math.min(...ofRun.map((resource) => Number(resource.created ?? Number.POSITIVE_INFINITY)));
  const size = sum(ofRun, (resource) => resource.bytes);
  return [
    run ? runTitle(run) : l10n.t('Run {0}', runId),
    Number.isFinite(created) ? age(new Date(created)) : '',
    size > 0 ? bytes(size) : '',
    ofRun.some(({ isLive }) => isLive)
      ? l10n.t('in progress')
      : ofRun.some(({ isUnfinished }) => isUnfinished)
        ? l10n.t('not finished')
        : '',
  ]
    .filter(Boolean)
    .join(' · ');
}

function itemOf(resource: OwnedResource, known: KnownRuns): ResourceItem {
  const icons = { job: 'tasklist', pool: 'server', container: 'database' } as const;
  const { kind, id, created, nodes, bytes: size, isLive, unfetched = 0 } = resource;
  const facts = [
    unfetched > 0 ? unfetchedOf(unfetched) : '',
    isLive ? (runsOf(resource).length > 0 ? l10n.t('in use by a run') : l10n.t('in use')) : '',
    nodes === undefined ? '' : nodesOf(nodes),
    size === undefined ? '' : bytes(size),
    created ? age(created) : '',
  ];
  return {
    label: roleOf(resource),
    iconPath: new ThemeIcon(icons[kind]),
    description: facts.filter(Boolean).join(' · '),
    detail: id,
    picked: !isLive && unfetched === 0 && !isForRun(resource, known),
    resource,
  };
}

/** Whether a run can be continued with a resource, and the user has not asked to clean it up. */
export function isForRun(
  { runId = '', isUnfinished = false }: Pick<OwnedResource, 'runId' | 'isUnfinished'>,
  { find, asked }: KnownRuns,
): boolean {
  if (asked.has(runId)) return false;
  const record = find(runId);
  return isUnfinished || (record !== undefined && isToContinue(record));
}

/** The role of a resource in its run. */
function roleOf({ kind, id, runId }: OwnedResource): string {
  switch (kind) {
    case 'job':
      return l10n.t('Job');
    case 'pool':
      return l10n.t('Pool');
    case 'container':
      if (!runId) return l10n.t('Container of a connection check');
      return id.endsWith('-output') ? l10n.t('Outputs and record of the run') : l10n.t('Uploaded files');
  }
}

/** `2 jobs, 1 pool, 3 containers`. */
function kindsOf(chosen: readonly OwnedResource[]): string {
  const of = (kind: OwnedResource['kind']) => chosen.filter((resource) => resource.kind === kind).length;
  const [jobs, pools, containers] = [of('job'), of('pool'), of('container')];
  return listed([
    jobs === 1 ? l10n.t('1 job') : jobs > 0 ? l10n.t('{0} jobs', count(jobs)) : '',
    pools === 1 ? l10n.t('1 pool') : pools > 0 ? l10n.t('{0} pools', count(pools)) : '',
    containers === 1
      ? l10n.t('1 container')
      : containers > 0
        ? l10n.t('{0} containers', count(containers))
        : '',
  ]);
}

function freedBy(chosen: readonly OwnedResource[]): string {
  const size = sum(chosen, (resource) => resource.bytes);
  const nodes = sum(chosen, (resource) => resource.nodes);
  if (size > 0 && nodes > 0) return l10n.t('Frees {0} of storage and {1}.', bytes(size), nodesOf(nodes));
  if (size > 0) return l10n.t('Frees {0} of storage.', bytes(size));
  return nodes > 0 ? l10n.t('Frees {0}.', nodesOf(nodes)) : '';
}

/** The runs that need a resource. */
function runsOf({ runId, usedBy = [] }: OwnedResource): string[] {
  return [...(runId ? [runId] : []), ...usedBy];
}

function lossesOf(chosen: readonly OwnedResource[]): string[] {
  const unfetched = sum(chosen, (resource) => resource.unfetched);
  const live = chosen.filter(({ isLive }) => isLive);
  const runIds = new Set(live.flatMap(runsOf));
  const others = live.filter((resource) => runsOf(resource).length === 0);
  const unfinished = new Set(
    chosen.flatMap(({ isUnfinished, isLive, runId }) => (isUnfinished && !isLive && runId ? runId : [])),
  );
  return [
    unfetched === 1 ? l10n.t('1 output that was not fetched will be lost.') : '',
    unfetched > 1 ? l10n.t('{0} outputs that were not fetched will be lost.', count(unfetched)) : '',
    runIds.size > 0
      ? l10n.t('Runs that use these resources are canceled first: {0}', [...runIds].join(', '))
      : '',
    unfinished.size > 0
      ? l10n.t("These runs can't be continued afterwards: {0}", [...unfinished].join(', '))
      : '',
    others.length > 0
      ? l10n.t('Tasks of other programs run here, and end: {0}', others.map(({ id }) => id).join(', '))
      : '',
  ].filter(Boolean);
}

function unfetchedOf(outputs: number): string {
  return outputs === 1 ? l10n.t('1 output not fetched') : l10n.t('{0} outputs not fetched', count(outputs));
}

function sum(
  resources: readonly OwnedResource[],
  value: (resource: OwnedResource) => number | undefined,
): number {
  return resources.reduce((total, resource) => total + (value(resource) ?? 0), 0);
}
