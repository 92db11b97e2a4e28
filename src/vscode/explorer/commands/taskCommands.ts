import { l10n, type QuickPickItem, window } from 'vscode';
import { maskSas } from '../../../core/log';
import { progressFile } from '../../../core/presets/ffmpegCommand';
import type { Handlers } from '../../commands';
import type { TaskCommandId } from '../../contributions';
import { showError } from '../../messages';
import { count } from '../../words/numbers';
import { type ExplorerNode, type NodeOf, resourceName } from '../explorerNode';
import { actOnEach, confirm } from './actOnEach';
import { openRemote } from './openRemote';
import type { ExplorerParts } from './parts';
import { selectedRow, selectedRows } from './selection';

type TaskRow = NodeOf<'task'>;

/** The commands on tasks. */
export function taskCommands(parts: ExplorerParts): Handlers<TaskCommandId> {
  const { data } = parts;
  const batchOf = async (row: TaskRow) => (await data.gateways(row.account)).batch;
  return {
    async terminateTask(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['task'], clicked, selected);
      const [first] = rows;
      if (first === undefined) return;
      const running = rows.filter(isRunning).map(taskLine);
      const title =
        rows.length === 1
          ? l10n.t('Terminate task {0}?', nameOf(first))
          : l10n.t('Terminate {0} tasks?', count(rows.length));
      const lines = [l10n.t('These tasks are running:'), ...running];
      if (running.length > 0 && !(await confirm(title, l10n.t('Terminate'), lines))) return;
      await actOnEach(parts, rows, l10n.t('Terminating tasks'), async (row, signal) =>
        (await batchOf(row)).terminateTask(row.jobId, resourceName(row), signal),
      );
    },
    async reactivateTask(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['task'], clicked, selected);
      await actOnEach(parts, rows, l10n.t('Reactivating tasks'), async (row, signal) =>
        (await batchOf(row)).reactivateTask(row.jobId, resourceName(row), signal),
      );
    },
    async deleteTasks(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['task'], clicked, selected);
      const [first] = rows;
      if (first === undefined) return;
      const title =
        rows.length === 1
          ? l10n.t('Delete task {0}?', nameOf(first))
          : l10n.t('Delete {0} tasks?', count(rows.length));
      const lines = rows.map((row) =>
        isRunning(row) ? l10n.t('{0}: running', taskLine(row)) : taskLine(row),
      );
      if (!(await confirm(title, l10n.t('Delete'), lines))) return;
      await actOnEach(parts, rows, l10n.t('Deleting tasks'), async (row, signal) =>
        (await batchOf(row)).deleteTask(row.jobId, resourceName(row), signal),
      );
    },
    showStdout: (clicked?: ExplorerNode, selected?: ExplorerNode[]) =>
      openTaskLog(parts, clicked, selected, 'stdout.txt'),
    showStderr: (clicked?: ExplorerNode, selected?: ExplorerNode[]) =>
      openTaskLog(parts, clicked, selected, 'stderr.txt'),
    async showTaskError(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const row = selectedRow(parts, ['task'], clicked, selected);
      if (row) await showTaskError(row);
    },
    async tailLog(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const row = selectedRow(parts, ['task'], clicked, selected);
      const log = row && (await askLog());
      if (row === undefined || log === undefined) return;
      const { showTail } = await import('./logTerminal');
      showTail(await batchOf(row), row.jobId, resourceName(row), nameOf(row), log);
    },
  };
}

async function askLog(): Promise<string | undefined> {
  const logs: QuickPickItem[] = [
    { label: 'stderr.txt', description: l10n.t('messages of ffmpeg or another program') },
    { label: 'stdout.txt' },
    { label: progressFile, description: l10n.t('progress of ffmpeg, in tasks of a transcode') },
  ];
  return (await window.showQuickPick(logs, { title: l10n.t('Follow which log?') }))?.label;
}

async function showTaskError(row: TaskRow): Promise<void> {
  const { account, jobId, task } = row;
  const { failureInfo, exitCode } = task.executionInfo ?? {};
  const stderr = l10n.t('Show stderr.txt');
  const message =
    (failureInfo?.message && maskSas(failureInfo.message)) ??
    failureInfo?.code ??
    (exitCode === undefined ? '' : l10n.t('exit code {0}', exitCode));
  const detail = [
    failureInfo?.code,
    exitCode === undefined ? undefined : l10n.t('exit code {0}', exitCode),
    ...(failureInfo?.details ?? []).map(({ name, value }) => `${name}: ${maskSas(value ?? '')}`),
  ].filter(Boolean);
  const answer = await showError(
    `${nameOf(row)}: ${message}`,
    { modal: true, detail: detail.join('\n') },
    stderr,
  );
  if (answer === stderr) await openRemote(account, { jobId, taskId: task.id ?? '' }, 'stderr.txt');
}

async function openTaskLog(
  parts: ExplorerParts,
  clicked: ExplorerNode | undefined,
  selected: readonly ExplorerNode[] | undefined,
  log: string,
): Promise<void> {
  const row = selectedRow(parts, ['task'], clicked, selected);
  if (row) await openRemote(row.account, { jobId: row.jobId, taskId: resourceName(row) }, log);
}

function isRunning({ task }: TaskRow): boolean {
  return task.state === 'running' || task.state === 'preparing';
}

function nameOf({ task }: TaskRow): string {
  return task.displayName ?? task.id ?? '';
}

function taskLine(row: TaskRow): string {
  return `${row.jobId} / ${nameOf(row)}`;
}
