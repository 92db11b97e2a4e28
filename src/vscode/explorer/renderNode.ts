import { l10n, MarkdownString, ThemeColor, ThemeIcon, TreeItem, TreeItemCollapsibleState } from 'vscode';
import type { Job, Node, Pool, Task, TaskCounts } from '../../core/azure/batch';
import { ownMetadata } from '../../core/azure/ownership';
import { section } from '../settings';
import { bytes, count, duration, nodesOf, time } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import { type ExplorerNode, nodeId, type TaskGroup } from './explorerNode';

const { Collapsed, Expanded, None } = TreeItemCollapsibleState;

/** What a node looks like. States are told by icon and word, never by colour alone. */
export function renderNode(node: ExplorerNode): TreeItem {
  const item = itemOf(node);
  item.id = nodeId(node);
  item.accessibilityInformation ??= { label: [labelOf(item), item.description].filter(Boolean).join(', ') };
  return item;
}

function itemOf(node: ExplorerNode): TreeItem {
  switch (node.kind) {
    case 'account':
      return make(node.account.label, Expanded, {
        icon: new ThemeIcon(node.account.signIn === 'local' ? 'vm' : 'azure'),
        description: node.account.signIn === 'local' ? '' : new URL(node.account.batchUrl).host,
        contextValue: `account.${node.account.signIn}`,
      });
    case 'pools':
      return make(l10n.t('Pools'), Collapsed, { icon: new ThemeIcon('server'), contextValue: 'pools' });
    case 'jobs':
      return make(l10n.t('Jobs'), Collapsed, { icon: new ThemeIcon('tasklist'), contextValue: 'jobs' });
    case 'containers':
      return make(l10n.t('Storage'), Collapsed, {
        icon: new ThemeIcon('database'),
        contextValue: 'containers',
      });
    case 'pool':
      return poolItem(node.pool);
    case 'node':
      return nodeItem(node.node);
    case 'job':
      return jobItem(node.job, node.counts);
    case 'taskGroup':
      return make(groupWords(node.group), Collapsed, {
        icon: groupIcon(node.group),
        description: count(node.count),
        contextValue: 'taskGroup',
      });
    case 'task':
      return taskItem(node.task);
    case 'container':
      return make(node.container.name, Collapsed, {
        icon: new ThemeIcon('folder-library'),
        description: time(node.container.modified),
        contextValue: 'container',
      });
    case 'blob':
      return make(node.blob.name, None, {
        icon: new ThemeIcon('file'),
        description: bytes(node.blob.size),
        contextValue: 'blob',
        tooltip: facts(node.blob.name, [time(node.blob.modified), bytes(node.blob.size)]),
        command: 'openFile',
        argument: node,
      });
    case 'file': {
      const name = node.file.name ?? '';
      const base = name.slice(name.lastIndexOf('/') + 1);
      if (node.file.isDirectory)
        return make(base, Collapsed, { icon: ThemeIcon.Folder, contextValue: 'folder' });
      const size = Number(node.file.properties?.contentLength ?? 0);
      return make(base, None, {
        icon: ThemeIcon.File,
        description: bytes(size),
        contextValue: 'taskId' in node.place ? 'file.task' : 'file.node',
        command: 'openFile',
        argument: node,
      });
    }
    case 'problem': {
      const { text } = sentenceOf(node.problem);
      return make(text, None, {
        icon: new ThemeIcon('error', new ThemeColor('problemsErrorIcon.foreground')),
        contextValue: 'problem',
        description: node.asOf && l10n.t('shown as of {0}', time(node.asOf)),
        tooltip: text,
        command: 'showProblem',
        argument: node.problem,
      });
    }
    case 'empty':
      return make(emptyWords(node.what), None, { icon: new ThemeIcon('dash'), contextValue: 'empty' });
    case 'more':
      return make(l10n.t('Load More…'), None, {
        icon: new ThemeIcon('ellipsis'),
        contextValue: 'more',
        command: 'loadMore',
        argument: node.parent,
      });
  }
}

interface Look {
  readonly icon: ThemeIcon;
  readonly contextValue: string;
  readonly description?: string;
  readonly tooltip?: string | MarkdownString;
  readonly command?: string;
  readonly argument?: unknown;
}

function make(label: string, state: TreeItemCollapsibleState, look: Look): TreeItem {
  const item = new TreeItem(label, state);
  item.iconPath = look.icon;
  item.contextValue = look.contextValue;
  item.description = look.description;
  item.tooltip = look.tooltip;
  if (look.command) {
    item.command = { command: `${section}.${look.command}`, title: label, arguments: [look.argument] };
  }
  return item;
}

function poolItem(pool: Pool): TreeItem {
  const { id = '', state, allocationState, vmSize = '', resizeErrors } = pool;
  const now = (pool.currentDedicatedNodes ?? 0) + (pool.currentLowPriorityNodes ?? 0);
  const target = (pool.targetDedicatedNodes ?? 0) + (pool.targetLowPriorityNodes ?? 0);
  const shown = state === 'deleting' ? state : allocationState;
  return make(id, Collapsed, {
    icon: resizeErrors?.length
      ? new ThemeIcon('warning', new ThemeColor('problemsWarningIcon.foreground'))
      : new ThemeIcon(shown === 'steady' ? 'server' : 'sync'),
    description: [
      l10n.t('{0} of {1}', count(now), nodesOf(target)),
      stateWord(shown),
      pool.enableAutoScale ? l10n.t('autoscale') : '',
    ]
      .filter(Boolean)
      .join(' · '),
    contextValue: `pool.${pool.enableAutoScale ? 'autoscale' : 'fixed'}.${shown}`,
    tooltip: facts(id, [
      vmSize,
      l10n.t('Dedicated: {0} of {1}', pool.currentDedicatedNodes ?? 0, pool.targetDedicatedNodes ?? 0),
      l10n.t('Spot: {0} of {1}', pool.currentLowPriorityNodes ?? 0, pool.targetLowPriorityNodes ?? 0),
      l10n.t('Task slots per node: {0}', pool.taskSlotsPerNode ?? 1),
      pool.creationTime ? l10n.t('Created: {0}', time(pool.creationTime)) : '',
    ]),
  });
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

function nodeItem(node: Node): TreeItem {
  const { id = '', state = 'unknown', runningTasksCount = 0, errors = [] } = node;
  const isBad = state === 'starttaskfailed' || state === 'unusable';
  return make(id, Collapsed, {
    icon: new ThemeIcon(
      nodeIcons[state] ?? 'sync',
      isBad ? new ThemeColor('problemsErrorIcon.foreground') : undefined,
    ),
    description: [
      stateWord(state),
      node.isDedicated ? l10n.t('dedicated') : l10n.t('Spot'),
      runningTasksCount > 0 ? l10n.t('{0} tasks', runningTasksCount) : '',
    ]
      .filter(Boolean)
      .join(' · '),
    contextValue: `node.${node.schedulingState ?? 'enabled'}`,
    tooltip: facts(id, [
      node.vmSize ?? '',
      node.ipAddress ?? '',
      node.lastBootTime ? l10n.t('Booted: {0}', time(node.lastBootTime)) : '',
      ...errors.map(({ code, message }) => `$(error) ${code}: ${message}`),
    ]),
  });
}

function groupWords(group: TaskGroup): string {
  switch (group) {
    case 'failed':
      return l10n.t('Failed');
    case 'running':
      return l10n.t('Running');
    case 'active':
      return l10n.t('Waiting');
    case 'succeeded':
      return l10n.t('Succeeded');
  }
}

function groupIcon(group: TaskGroup): ThemeIcon {
  const icons = { failed: 'error', running: 'play-circle', active: 'circle-outline', succeeded: 'pass' };
  const color = group === 'failed' ? new ThemeColor('problemsErrorIcon.foreground') : undefined;
  return new ThemeIcon(icons[group], color);
}

/** `12/50, 1 failed` */
function countWords({ active, running, completed, failed }: TaskCounts): string {
  const total = active + running + completed;
  if (total === 0) return l10n.t('no tasks');
  const done = `${count(completed)}/${count(total)}`;
  return failed > 0 ? l10n.t('{0}, {1} failed', done, count(failed)) : done;
}

function jobItem(job: Job, counts: TaskCounts | undefined): TreeItem {
  const { id = '', state = '', displayName, executionInfo, creationTime } = job;
  const isOurs = ownMetadata(job.metadata, 'run') !== undefined;
  return make((isOurs && displayName) || id, Collapsed, {
    icon: new ThemeIcon(state === 'active' ? 'run-all' : state === 'completed' ? 'pass' : 'sync'),
    description: [
      counts && countWords(counts),
      stateWord(state),
      isOurs && creationTime ? time(creationTime) : executionInfo?.poolId,
    ]
      .filter(Boolean)
      .join(' · '),
    contextValue: `job.${state}${isOurs ? '.ours' : ''}`,
    tooltip: facts(displayName ?? id, [
      l10n.t('Job: {0}', id),
      executionInfo?.poolId ? l10n.t('Pool: {0}', executionInfo.poolId) : '',
      job.creationTime ? l10n.t('Created: {0}', time(job.creationTime)) : '',
      executionInfo?.endTime ? l10n.t('Ended: {0}', time(executionInfo.endTime)) : '',
      executionInfo?.terminateReason ? l10n.t('Reason: {0}', executionInfo.terminateReason) : '',
    ]),
  });
}

function taskItem(task: Task): TreeItem {
  const { id = '', displayName, state = '', executionInfo: info } = task;
  const failed = info?.result?.toLowerCase() === 'failure';
  const took = info?.startTime && info.endTime ? duration(+info.endTime - +info.startTime) : '';
  return make(displayName ?? id, Collapsed, {
    icon: failed
      ? new ThemeIcon('error', new ThemeColor('problemsErrorIcon.foreground'))
      : new ThemeIcon(
          state === 'completed' ? 'pass' : state === 'running' ? 'play-circle' : 'circle-outline',
        ),
    description: [
      failed ? l10n.t('failed') : stateWord(state),
      info?.exitCode === undefined ? '' : l10n.t('exit code {0}', info.exitCode),
      took,
    ]
      .filter(Boolean)
      .join(' · '),
    contextValue: `task.${failed ? 'failed' : state}`,
    tooltip: facts(displayName ?? id, [
      l10n.t('Task: {0}', id),
      task.nodeInfo?.nodeId ? l10n.t('Node: {0}', task.nodeInfo.nodeId) : '',
      info?.startTime ? l10n.t('Started: {0}', time(info.startTime)) : '',
      info?.endTime ? l10n.t('Ended: {0}', time(info.endTime)) : '',
      info?.failureInfo ? `$(error) ${info.failureInfo.code}: ${info.failureInfo.message}` : '',
      info?.retryCount ? l10n.t('Retries: {0}', info.retryCount) : '',
    ]),
  });
}

/** A state of Batch's, in the user's language. */
export function stateWord(state: string | undefined): string {
  const words: Record<string, () => string> = {
    active: () => l10n.t('active'),
    completed: () => l10n.t('completed'),
    creating: () => l10n.t('creating'),
    deleting: () => l10n.t('deleting'),
    disabled: () => l10n.t('disabled'),
    disabling: () => l10n.t('disabling'),
    enabling: () => l10n.t('enabling'),
    idle: () => l10n.t('idle'),
    leavingpool: () => l10n.t('leaving pool'),
    offline: () => l10n.t('offline'),
    preempted: () => l10n.t('preempted'),
    preparing: () => l10n.t('preparing'),
    rebooting: () => l10n.t('rebooting'),
    reimaging: () => l10n.t('reimaging'),
    resizing: () => l10n.t('resizing'),
    running: () => l10n.t('running'),
    starting: () => l10n.t('starting'),
    starttaskfailed: () => l10n.t('start task failed'),
    steady: () => l10n.t('steady'),
    stopping: () => l10n.t('stopping'),
    terminating: () => l10n.t('terminating'),
    unknown: () => l10n.t('unknown'),
    unusable: () => l10n.t('unusable'),
    waitingforstarttask: () => l10n.t('waiting for start task'),
  };
  return state === undefined ? '' : (words[state]?.() ?? state);
}

function emptyWords(what: Extract<ExplorerNode, { kind: 'empty' }>['what']): string {
  switch (what) {
    case 'pools':
      return l10n.t('No pools');
    case 'jobs':
      return l10n.t('No jobs');
    case 'nodes':
      return l10n.t('No nodes');
    case 'tasks':
      return l10n.t('No tasks');
    case 'files':
      return l10n.t('No files');
    case 'containers':
      return l10n.t('No containers of transcodes');
    case 'blobs':
      return l10n.t('No blobs');
  }
}

/** Names come from people and services: shown as text, never read as Markdown or as commands. */
function facts(title: string, lines: string[]): MarkdownString {
  const text = new MarkdownString('', true);
  text.appendMarkdown('**').appendText(title).appendMarkdown('**');
  for (const line of lines.filter(Boolean)) text.appendMarkdown('  \n').appendText(line);
  return text;
}

function labelOf({ label }: TreeItem): string {
  return typeof label === 'string' ? label : (label?.label ?? '');
}
