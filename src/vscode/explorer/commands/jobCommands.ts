import { l10n } from 'vscode';
import { everyItem } from '../../../core/azure/pages';
import { background } from '../../background';
import type { Handlers } from '../../commands';
import type { JobCommandId } from '../../contributions';
import { longWork } from '../../longWork';
import { showInformation } from '../../messages';
import { listed } from '../../words/listed';
import { count, tasksOf } from '../../words/numbers';
import { groupFilters } from '../explorerData';
import { type ExplorerNode, type NodeOf, resourceName } from '../explorerNode';
import { actOnEach, confirm, namedByAccount } from './actOnEach';
import type { ExplorerParts } from './parts';
import { selectedRows } from './selection';

type JobRow = NodeOf<'job'>;

/** The commands on jobs. Commands that stop tasks ask for confirmation if tasks run or wait. */
export function jobCommands(parts: ExplorerParts): Handlers<JobCommandId> {
  const { data } = parts;
  const batchOf = async (row: JobRow) => (await data.gateways(row.account)).batch;
  return {
    async terminateJob(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['job'], clicked, selected);
      const [first] = rows;
      if (first === undefined) return;
      const unfinished = await unfinishedOf(parts, rows);
      const title =
        rows.length === 1
          ? l10n.t('Terminate job {0}?', resourceName(first))
          : l10n.t('Terminate {0} jobs?', count(rows.length));
      const lines = unfinished.map(({ line }) => line);
      if (lines.length > 0 && !(await confirm(title, l10n.t('Terminate'), lines))) return;
      await actOnEach(parts, rows, l10n.t('Terminating jobs'), async (row, signal) =>
        (await batchOf(row)).terminateJob(resourceName(row), 'UserTerminate', signal),
      );
    },
    async disableJob(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['job'], clicked, selected);
      const [first] = rows;
      if (first === undefined) return;
      const running = await unfinishedOf(parts, rows, 'running');
      const title =
        rows.length === 1
          ? l10n.t('Disable job {0}?', resourceName(first))
          : l10n.t('Disable {0} jobs?', count(rows.length));
      const lines = [
        l10n.t('Running tasks are stopped and queued again:'),
        ...running.map(({ line }) => line),
      ];
      if (running.length > 0 && !(await confirm(title, l10n.t('Disable'), lines))) return;
      await actOnEach(parts, rows, l10n.t('Disabling jobs'), async (row, signal) =>
        (await batchOf(row)).disableJob(resourceName(row), 'requeue', signal),
      );
    },
    async enableJob(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['job'], clicked, selected);
      await actOnEach(parts, rows, l10n.t('Enabling jobs'), async (row, signal) =>
        (await batchOf(row)).enableJob(resourceName(row), signal),
      );
    },
    async deleteJobs(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['job'], clicked, selected);
      const [first] = rows;
      if (first === undefined) return;
      const unfinished = await unfinishedOf(parts, rows);
      const title =
        rows.length === 1
          ? l10n.t('Delete job {0}?', resourceName(first))
          : l10n.t('Delete {0} jobs?', count(rows.length));
      const facts = new Map(unfinished.map(({ row, line }) => [row, line]));
      const lines = namedByAccount(rows, (row) => facts.get(row) ?? resourceName(row));
      if (!(await confirm(title, l10n.t('Delete'), lines))) return;
      await actOnEach(parts, rows, l10n.t('Deleting jobs'), async (row, signal) =>
        (await batchOf(row)).deleteJob(resourceName(row), signal),
      );
    },
    async retryTasks(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['job'], clicked, selected);
      let tasks = 0;
      let jobs = 0;
      await actOnEach(parts, rows, l10n.t('Retrying failed tasks'), async (row, signal) => {
        const batch = await batchOf(row);
        const jobId = resourceName(row);
        const failed = { filter: groupFilters.failed, select: 'id', signal };
        for await (const { id = '' } of everyItem((next) => batch.taskPage(jobId, failed, next))) {
          signal.throwIfAborted();
          await batch.reactivateTask(jobId, id, signal);
          tasks++;
        }
        jobs++;
      });
      // Whether a task of another job has failed is unknown.
      const isKnown = tasks > 0 || jobs === rows.length;
      if (rows.length > 0 && isKnown) background(showInformation(retriedText(tasks)));
    },
  };
}

function retriedText(tasks: number): string {
  if (tasks === 0) return l10n.t('No task has failed.');
  return tasks === 1
    ? l10n.t('1 failed task is queued again.')
    : l10n.t('{0} failed tasks are queued again.', count(tasks));
}

/** A job with running or waiting tasks, and a line that says how many. */
interface Unfinished {
  readonly row: JobRow;
  readonly line: string;
}

/** The jobs that have running or waiting tasks. Empty when all are done. */
async function unfinishedOf(
  { data }: ExplorerParts,
  rows: readonly JobRow[],
  which: 'running' | 'all' = 'all',
): Promise<Unfinished[]> {
  return longWork(l10n.t('Counting tasks'), async (_, signal) => {
    const lines = await Promise.all(
      rows.map(async (row) => {
        if (row.job.state === 'completed') return [];
        const { batch } = await data.gateways(row.account);
        const { active, running } = await batch.taskCounts(resourceName(row), signal);
        const facts = [
          running > 0 ? l10n.t('{0} running', tasksOf(running)) : '',
          which === 'all' && active > 0 ? l10n.t('{0} waiting', tasksOf(active)) : '',
        ].filter(Boolean);
        return facts.length > 0 ? [{ row, line: l10n.t('{0}: {1}', resourceName(row), listed(facts)) }] : [];
      }),
    );
    return lines.flat();
  });
}
