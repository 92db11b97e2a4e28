import { l10n, MarkdownString, ThemeColor, ThemeIcon, TreeItem, TreeItemCollapsibleState } from 'vscode';
import type { Job, Task, TaskCounts } from '../../core/azure/batch';
import { ownMetadata } from '../../core/azure/ownership';
import { maskSas } from '../../core/log';
import { type CommandId, commandName } from '../contributions';
import { listed } from '../words/listed';
import { bytes, count, duration, nodesOf, tasksOf, time } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import { accountIdOf, type ExplorerNode, type NodeOf, nodeId, type TaskGroup } from './explorerNode';
import { cutText, emptyText } from './listWords';
import { fullLabel, groupLabel, ownJobLabel, rowLabel, shortTime, timeLine } from './rowLabels';
import { stateWord } from './stateWords';

const { Collapsed, Expanded, None } = TreeItemCollapsibleState;

/** What a row shows beside its label. States are told by an icon and by a word, never by color alone. */
interface Row {
  readonly label?: string;
  readonly icon: ThemeIcon;
  readonly collapsible?: TreeItemCollapsibleState;
  readonly contextValue: string;
  /** Parts of the description, the state first: the end may be cut off. */
  readonly facts?: readonly (string | undefined | false)[];
  readonly tooltip?: readonly string[];
  readonly command?: CommandId;
  readonly argument?: unknown;
}

/** Draws a row. `filter` is the text by which the list below it is filtered. */
export function renderNode(node: ExplorerNode, filter = ''): TreeItem {
  const row = rowOf(node);
  const label = row.label ?? rowLabel(node);
  const facts = [filter && l10n.t('filter: {0}', filter), ...(row.facts ?? [])].filter(isText);
  const item = new TreeItem(label, row.collapsible ?? Collapsed);
  item.id = nodeId(node);
  item.iconPath = row.icon;
  item.contextValue = row.contextValue;
  item.description = facts.join(' · ');
  item.tooltip = tooltipOf(row.tooltip ?? [label, ...facts]);
  item.accessibilityInformation = { label: listed([spokenName(node, label), ...facts]) };
  if (row.command) {
    item.command = { command: commandName(row.command), title: label, arguments: [row.argument ?? node] };
  }
  return item;
}

function rowOf(node: ExplorerNode): Row {
  switch (node.kind) {
    case 'account': {
      const { signIn, batchUrl } = node.account;
      return {
        icon: new ThemeIcon(signIn === 'local' ? 'vm' : 'azure'),
        collapsible: Expanded,
        facts: [node.isInUse && l10n.t('in use'), signIn !== 'local' && new URL(batchUrl).host],
        contextValue: `account.${signIn}`,
      };
    }
    case 'pools':
      return { icon: new ThemeIcon('server'), contextValue: 'pools' };
    case 'jobs':
      return { icon: new ThemeIcon('tasklist'), contextValue: 'jobs' };
    case 'containers':
      return {
        icon: new ThemeIcon('database'),
        facts: [node.showsAll && l10n.t('all containers')],
        contextValue: `containers.${node.showsAll ? 'all' : 'own'}`,
      };
    case 'pool':
      return poolRow(node);
    case 'node':
      return nodeRow(node);
    case 'job':
      return jobRow(node);
    case 'taskGroup':
      return {
        icon: groupIcon(node.group),
        facts: [count(node.count)],
        tooltip: [groupLabel(node.group), tasksOf(node.count)],
        contextValue: 'taskGroup',
      };
    case 'task':
      return taskRow(node.task);
    case 'container':
      return {
        icon: new ThemeIcon('folder-library'),
        facts: [shortTime(node.container.modified)],
        tooltip: [node.container.name, l10n.t('Changed: {0}', time(node.container.modified))],
        contextValue: 'container',
      };
    case 'blob':
      return {
        icon: new ThemeIcon('file'),
        collapsible: None,
        facts: [bytes(node.blob.size)],
        tooltip: [node.blob.name, bytes(node.blob.size), time(node.blob.modified)],
        contextValue: 'blob',
        command: 'openFile',
      };
    case 'file':
      return fileRow(node);
    case 'problem':
      return problemRow(node);
    case 'empty':
      return {
        label: emptyText(node),
        icon: new ThemeIcon('dash'),
        collapsible: None,
        contextValue: 'empty',
      };
    case 'more':
      return {
        label: l10n.t('Load More…'),
        icon: new ThemeIcon('ellipsis'),
        collapsible: None,
        facts: [
          node.total === undefined
            ? l10n.t('{0} shown', count(node.shown))
            : l10n.t('{0} of {1} shown', count(node.shown), count(node.total)),
        ],
        contextValue: 'more',
        command: 'loadMore',
        argument: node.parent,
      };
    case 'cut':
      return {
        label: cutText(node),
        icon: new ThemeIcon('info'),
        collapsible: None,
        contextValue: 'cut',
      };
  }
}

/** What the portal can't show has no command that opens it there. */
function placeOf({ account }: NodeOf<'pool' | 'job'>): string {
  return account.signIn === 'local' ? '.local' : '';
}

function poolRow(node: NodeOf<'pool'>): Row {
  const { pool } = node;
  const { id = '', vmSize = '', resizeErrors, enableAutoScale } = pool;
  const now = (pool.currentDedicatedNodes ?? 0) + (pool.currentLowPriorityNodes ?? 0);
  const target = (pool.targetDedicatedNodes ?? 0) + (pool.targetLowPriorityNodes ?? 0);
  const state = pool.state === 'deleting' ? pool.state : pool.allocationState;
  const isSteady = state === 'steady';
  return {
    icon: resizeErrors?.length
      ? new ThemeIcon('warning', new ThemeColor('problemsWarningIcon.foreground'))
      : new ThemeIcon(isSteady ? 'server' : 'sync'),
    facts: [
      stateWord(state),
      now === target ? nodesOf(now) : l10n.t('{0} of {1}', count(now), nodesOf(target)),
      enableAutoScale && l10n.t('autoscale'),
    ],
    contextValue: `pool.${enableAutoScale ? 'autoscale' : 'fixed'}.${state}${placeOf(node)}`,
    tooltip: [
      id,
      vmSize,
      l10n.t('Spot: {0} of {1}', pool.currentLowPriorityNodes ?? 0, pool.targetLowPriorityNodes ?? 0),
      l10n.t('Dedicated: {0} of {1}', pool.currentDedicatedNodes ?? 0, pool.targetDedicatedNodes ?? 0),
      l10n.t('Task slots per node: {0}', pool.taskSlotsPerNode ?? 1),
      timeLine((when) => l10n.t('Created: {0}', when), pool.creationTime),
    ],
  };
}

const nodeIcons: Record<string, string> = {
  idle: 'circle-outline',
  running: 'play-circle',
  starttaskfailed: 'error',
  unusable: 'error',
  unknown: 'question',
  offline: 'circle-slash',
  preempted: 'debug-disconnect',
};

function nodeRow({ node }: NodeOf<'node'>): Row {
  const { id = '', state = 'unknown', runningTasksCount = 0, errors = [], schedulingState } = node;
  const isFailed = state === 'starttaskfailed' || state === 'unusable';
  const isClosed = schedulingState === 'disabled' && state !== 'offline';
  return {
    icon: new ThemeIcon(nodeIcons[state] ?? 'sync', isFailed ? errorColor() : undefined),
    facts: [
      stateWord(state),
      node.isDedicated ? l10n.t('dedicated') : l10n.t('Spot'),
      runningTasksCount > 0 && tasksOf(runningTasksCount),
      isClosed && l10n.t('scheduling disabled'),
    ],
    contextValue: `node.${schedulingState ?? 'enabled'}${state === 'starttaskfailed' ? '.failed' : ''}`,
    tooltip: [
      id,
      node.vmSize ?? '',
      node.ipAddress ?? '',
      timeLine((when) => l10n.t('Booted: {0}', when), node.lastBootTime),
      ...errors.map(({ code, message }) => l10n.t('Error {0}: {1}', code ?? '', message ?? '')),
    ],
  };
}

function groupIcon(group: TaskGroup): ThemeIcon {
  const icons = { failed: 'error', running: 'play-circle', active: 'circle-outline', succeeded: 'pass' };
  return new ThemeIcon(icons[group], group === 'failed' ? errorColor() : undefined);
}

/** `12/50`, and how many failed. */
function countFacts({ active, running, completed, failed }: TaskCounts): string[] {
  const total = active + running + completed;
  if (total === 0) return [l10n.t('no tasks')];
  const done = `${count(completed)}/${count(total)}`;
  return failed > 0 ? [l10n.t('{0} failed', count(failed)), done] : [done];
}

function jobRow(node: NodeOf<'job'>): Row {
  const { job, counts } = node;
  const { id = '', state = '', displayName, executionInfo, creationTime } = job;
  const isOwn = ownMetadata(job.metadata, 'run') !== undefined;
  const label = ownJobLabel(job);
  return {
    icon: jobIcon(job, counts),
    facts: [stateWord(state), ...(counts ? countFacts(counts) : []), creationTime && shortTime(creationTime)],
    contextValue: `job.${state}${isOwn ? '.transcode' : ''}${placeOf(node)}`,
    tooltip: [
      label ?? displayName ?? id,
      l10n.t('Job: {0}', id),
      label && displayName && displayName !== label ? l10n.t('Display name: {0}', displayName) : '',
      executionInfo?.poolId ? l10n.t('Pool: {0}', executionInfo.poolId) : '',
      timeLine((when) => l10n.t('Created: {0}', when), creationTime),
      timeLine((when) => l10n.t('Ended: {0}', when), executionInfo?.endTime),
      executionInfo?.terminateReason ? l10n.t('Reason: {0}', executionInfo.terminateReason) : '',
    ],
  };
}

/** A job that ended has the success icon only when its tasks are known to have succeeded. */
function jobIcon(job: Job, counts: TaskCounts | undefined): ThemeIcon {
  const { state, executionInfo: info } = job;
  if ((counts?.failed ?? 0) > 0 || info?.schedulingError || info?.terminateReason === 'TaskFailed')
    return new ThemeIcon('error', errorColor());
  if (state === 'disabled') return new ThemeIcon('debug-pause');
  if (state === 'active') return new ThemeIcon('run-all');
  if (state !== 'completed') return new ThemeIcon('sync');
  if (counts === undefined) return new ThemeIcon('tasklist');
  return new ThemeIcon(
    counts.active + counts.running > 0 || counts.completed === 0 ? 'circle-slash' : 'pass',
  );
}

function taskRow(task: Task): Row {
  const { id = '', displayName, state = '', executionInfo: info } = task;
  const failed = info?.result?.toLowerCase() === 'failure';
  const took = info?.startTime && info.endTime ? duration(+info.endTime - +info.startTime) : '';
  const icons: Record<string, string> = { completed: 'pass', running: 'play-circle', preparing: 'sync' };
  return {
    icon: failed ? new ThemeIcon('error', errorColor()) : new ThemeIcon(icons[state] ?? 'circle-outline'),
    facts: [
      failed ? l10n.t('failed') : stateWord(state),
      info?.exitCode !== undefined && l10n.t('exit code {0}', info.exitCode),
      took,
    ],
    contextValue: `task.${failed ? 'failed' : state}`,
    tooltip: [
      displayName ?? id,
      l10n.t('Task: {0}', id),
      task.nodeInfo?.nodeId ? l10n.t('Node: {0}', task.nodeInfo.nodeId) : '',
      timeLine((when) => l10n.t('Started: {0}', when), info?.startTime),
      timeLine((when) => l10n.t('Ended: {0}', when), info?.endTime),
      info?.failureInfo
        ? l10n.t('Error {0}: {1}', info.failureInfo.code ?? '', info.failureInfo.message ?? '')
        : '',
      info?.retryCount ? l10n.t('Retries: {0}', info.retryCount) : '',
    ],
  };
}

function fileRow(node: NodeOf<'file'>): Row {
  const { file, place } = node;
  if (file.isDirectory) return { icon: ThemeIcon.Folder, contextValue: 'folder', tooltip: [file.name ?? ''] };
  const size = bytes(Number(file.properties?.contentLength ?? 0));
  const changed = file.properties?.lastModified;
  return {
    icon: ThemeIcon.File,
    collapsible: None,
    facts: [size],
    tooltip: [file.name ?? '', size, changed ? time(new Date(changed)) : ''],
    contextValue: 'taskId' in place ? 'file.task' : 'file.node',
    command: 'openFile',
  };
}

function problemRow(node: NodeOf<'problem'>): Row {
  const { text } = sentenceOf(node.problem);
  const shown = node.asOf && l10n.t('as of {0}', shortTime(node.asOf));
  const base = {
    label: text,
    icon: node.asOf
      ? new ThemeIcon('warning', new ThemeColor('problemsWarningIcon.foreground'))
      : new ThemeIcon('error', errorColor()),
    collapsible: None,
    facts: [shown],
  };
  return node.startTaskOf && node.problem.kind === 'startTaskFailed'
    ? {
        ...base,
        label: l10n.t('Start task failed'),
        facts: [node.problem.exitCode !== undefined && l10n.t('exit code {0}', node.problem.exitCode)],
        tooltip: [text, l10n.t('Select to open the stderr.txt of the start task')],
        contextValue: 'problem.startTask',
        command: 'showStartTaskStderr',
      }
    : {
        ...base,
        tooltip: [text, node.asOf ? l10n.t('Shown as of {0}', time(node.asOf)) : ''],
        contextValue: 'problem',
        command: 'showProblem',
        argument: { problem: node.problem, accountId: accountIdOf(node) },
      };
}

/** What a screen reader reads first: the whole name, not the shortened one. */
function spokenName(node: ExplorerNode, label: string): string {
  switch (node.kind) {
    case 'pool':
      return l10n.t('{0}, pool', fullLabel(node));
    case 'node':
      return l10n.t('{0}, node', fullLabel(node));
    case 'job':
      return l10n.t('{0}, job', label);
    case 'container':
      return l10n.t('{0}, container', fullLabel(node));
    case 'task':
      return node.task.displayName ?? label;
    default:
      return label;
  }
}

/**
 * Names come from users and services: they are shown as text, never read as Markdown or commands. Services quote URLs in their
 * messages: the signatures of SAS are left out.
 */
function tooltipOf([title = '', ...lines]: readonly string[]): MarkdownString {
  const text = new MarkdownString();
  text.appendMarkdown('**').appendText(title).appendMarkdown('**');
  for (const line of lines.filter(Boolean)) text.appendMarkdown('  \n').appendText(maskSas(line));
  return text;
}

function errorColor(): ThemeColor {
  return new ThemeColor('problemsErrorIcon.foreground');
}

function isText(fact: string | undefined | false): fact is string {
  return typeof fact === 'string' && fact !== '';
}
