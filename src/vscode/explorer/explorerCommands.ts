import { commands, env, l10n, type QuickPickItem, Uri, window, workspace } from 'vscode';
import { cloudOf } from '../../core/azure/clouds';
import { everyItem } from '../../core/azure/pages';
import { maskSas } from '../../core/jobs/taskFailure';
import { background } from '../background';
import type { Handlers } from '../commands';
import type { ExplorerCommandId } from '../contributions';
import type { Documents } from '../documents';
import { longWork } from '../longWork';
import type { AccountsView } from './accountsView';
import { type ExplorerData, groupFilters } from './explorerData';
import { type ExplorerNode, type FilteredNode, nodeId } from './explorerNode';
import { remoteUri } from './remoteFiles';

type Of<Kind extends ExplorerNode['kind']> = Extract<ExplorerNode, { kind: Kind }>;

/** What the context menus of the Accounts view do. Each takes the item that was clicked and all that are selected. */
export function explorerCommands(
  explorer: ExplorerData,
  tree: AccountsView,
  documents: Documents,
  showHeatMap: (pool: Of<'pool'>) => Promise<void>,
): Handlers<ExplorerCommandId> {
  const gateways = (node: ExplorerNode & { account: Of<'account'>['account'] }) =>
    explorer.gateways(node.account);
  const forEach =
    <Kind extends ExplorerNode['kind']>(kind: Kind, act: (node: Of<Kind>) => Promise<unknown>) =>
    async (clicked: Of<Kind>, selected?: ExplorerNode[]) => {
      for (const node of chosen(kind, clicked, selected)) await act(node);
      tree.refresh();
    };
  return {
    openFile: (node: Of<'file'> | Of<'blob'>) => commands.executeCommand('vscode.open', remoteUri(node)),
    saveFile: (node: Of<'file'> | Of<'blob'>) => save(remoteUri(node)),
    copyId: (node: ExplorerNode) => env.clipboard.writeText(nameOf(node)),
    copyAsJson: (node: ExplorerNode) => env.clipboard.writeText(jsonOf(node)),
    openAsJson: (node: ExplorerNode) => documents.show(`${nameOf(node)}.json`, jsonOf(node)),
    async openAsYaml(node: ExplorerNode) {
      const { default: yaml } = await import('yaml');
      await documents.show(`${nameOf(node)}.yaml`, yaml.stringify(JSON.parse(jsonOf(node))));
    },
    openInPortal: (node: ExplorerNode & { account: Of<'account'>['account'] }) =>
      env.openExternal(Uri.parse(portalUrl(node.account))),
    showHeatMap,
    async filterList(node: FilteredNode) {
      const prefix = await window.showInputBox({
        title: l10n.t('Filter by id'),
        prompt: l10n.t('Show only ids that begin with this text; empty for all'),
        value: explorer.filterOf(node),
      });
      if (prefix === undefined) return;
      explorer.filter(node, prefix.trim());
      tree.refresh(node);
    },
    toggleTaskGroups() {
      explorer.groupsTasks = !explorer.groupsTasks;
      tree.refresh();
    },
    async newJob(node: Of<'pool'>) {
      const id = await window.showInputBox({
        title: l10n.t('New job on pool {0}', nameOf(node)),
        prompt: l10n.t('Id of the job'),
        validateInput: (text) =>
          /^[\w-]{1,64}$/.test(text)
            ? undefined
            : l10n.t('Letters, digits, hyphens and underscores, 64 at most'),
      });
      if (id === undefined) return;
      await (await gateways(node)).batch.addJob({ id, poolInfo: { poolId: nameOf(node) } });
      tree.refresh();
    },
    async autoscalePool(node: Of<'pool'>) {
      const { editAutoscale } = await import('./autoscale');
      const { batch } = await gateways(node);
      const pool = await batch.pool(nameOf(node));
      if (pool && (await editAutoscale(batch, pool))) tree.refresh();
    },
    async removeNodes(clicked: Of<'node'>, selected?: ExplorerNode[]) {
      const nodes = chosen('node', clicked, selected);
      if (!(await confirmDelete(nodes))) return;
      const { batch } = await gateways(clicked);
      const ofPool = nodes.filter(({ poolId }) => poolId === clicked.poolId).map(nameOf);
      const { removeNodes } = await import('../../core/pools/poolSizes');
      await longWork(l10n.t('Removing nodes of pool {0}', clicked.poolId), (_progress, signal) =>
        removeNodes(batch, clicked.poolId, ofPool, { signal }),
      );
      tree.refresh();
    },
    async retryTasks(node: Of<'job'>) {
      const { batch } = await gateways(node);
      const jobId = nameOf(node);
      let tasks = 0;
      for await (const { id = '' } of everyItem((next) =>
        batch.taskPage(jobId, { filter: groupFilters.failed, select: 'id' }, next),
      )) {
        await batch.reactivateTask(jobId, id);
        tasks++;
      }
      background(
        window.showInformationMessage(l10n.t('{0} failed tasks of job {1} are tried again.', tasks, jobId)),
      );
      tree.refresh();
    },
    async showTaskError({ task, ...node }: Of<'task'>) {
      const { failureInfo, exitCode } = task.executionInfo ?? {};
      const stderr = l10n.t('Show stderr.txt');
      const answer = await window.showErrorMessage(
        l10n.t(
          '{0}: {1}',
          task.displayName ?? task.id ?? '',
          failureInfo?.message ?? failureInfo?.code ?? '',
        ),
        {
          modal: true,
          detail: [
            failureInfo?.code,
            exitCode === undefined ? undefined : l10n.t('exit code {0}', exitCode),
            ...(failureInfo?.details ?? []).map(({ name, value }) => `${name}: ${maskSas(value ?? '')}`),
          ]
            .filter(Boolean)
            .join('\n'),
        },
        stderr,
      );
      if (answer === stderr) await openLog({ ...node, task }, 'stderr.txt');
    },
    async tailLog(node: Of<'task'>) {
      const logs: QuickPickItem[] = [{ label: 'stderr.txt' }, { label: 'stdout.txt' }];
      const answer = await window.showQuickPick(logs, { title: l10n.t('Follow which log?') });
      if (answer === undefined) return;
      const { showTail } = await import('./logTerminal');
      const { task, jobId } = node;
      const { batch } = await gateways(node);
      showTail(batch, jobId, task.id ?? '', task.displayName ?? task.id ?? '', answer.label);
    },
    showStartTaskStdout: (node: Of<'node'>) => openNodeLog(node, 'startup/stdout.txt'),
    showStartTaskStderr: (node: Of<'node'>) => openNodeLog(node, 'startup/stderr.txt'),
    async deletePools(clicked: Of<'pool'>, selected?: ExplorerNode[]) {
      const pools = chosen('pool', clicked, selected);
      if (await confirmDelete(pools))
        await forEach('pool', async (node) => (await gateways(node)).batch.deletePool(nameOf(node)))(
          clicked,
          pools,
        );
    },
    async deleteJobs(clicked: Of<'job'>, selected?: ExplorerNode[]) {
      const jobs = chosen('job', clicked, selected);
      if (await confirmDelete(jobs))
        await forEach('job', async (node) => (await gateways(node)).batch.deleteJob(nameOf(node)))(
          clicked,
          jobs,
        );
    },
    terminateJob: forEach('job', async (node) =>
      (await gateways(node)).batch.terminateJob(nameOf(node), 'UserTerminate'),
    ),
    disableJob: forEach('job', async (node) =>
      (await gateways(node)).batch.disableJob(nameOf(node), 'requeue'),
    ),
    enableJob: forEach('job', async (node) => (await gateways(node)).batch.enableJob(nameOf(node))),
    async deleteTasks(clicked: Of<'task'>, selected?: ExplorerNode[]) {
      const tasks = chosen('task', clicked, selected);
      if (!(await confirmDelete(tasks))) return;
      await forEach('task', async (node) =>
        (await gateways(node)).batch.deleteTask(node.jobId, node.task.id ?? ''),
      )(clicked, tasks);
    },
    terminateTask: forEach('task', async (node) =>
      (await gateways(node)).batch.terminateTask(node.jobId, node.task.id ?? ''),
    ),
    reactivateTask: forEach('task', async (node) =>
      (await gateways(node)).batch.reactivateTask(node.jobId, node.task.id ?? ''),
    ),
    showStdout: (node: Of<'task'>) => openLog(node, 'stdout.txt'),
    showStderr: (node: Of<'task'>) => openLog(node, 'stderr.txt'),
    rebootNode: forEach('node', async (node) =>
      (await gateways(node)).batch.actOnNode(node.poolId, node.node.id ?? '', 'reboot'),
    ),
    reimageNode: forEach('node', async (node) =>
      (await gateways(node)).batch.actOnNode(node.poolId, node.node.id ?? '', 'reimage'),
    ),
    disableScheduling: forEach('node', async (node) =>
      (await gateways(node)).batch.actOnNode(node.poolId, node.node.id ?? '', 'disableScheduling'),
    ),
    enableScheduling: forEach('node', async (node) =>
      (await gateways(node)).batch.actOnNode(node.poolId, node.node.id ?? '', 'enableScheduling'),
    ),
    async resizePool(node: Of<'pool'>) {
      const size = await askSize(node);
      if (size === undefined) return;
      const { batch } = await gateways(node);
      const { resizePool } = await import('../../core/pools/poolSizes');
      await longWork(l10n.t('Resizing pool {0}', nameOf(node)), (_progress, signal) =>
        resizePool(batch, nameOf(node), size, { signal }),
      );
      tree.refresh();
    },
  };
}

/** The selection when the clicked item is part of it, as VS Code hands it over; else the clicked one. */
function chosen<Kind extends ExplorerNode['kind']>(
  kind: Kind,
  clicked: Of<Kind>,
  selected: readonly ExplorerNode[] | undefined,
): Of<Kind>[] {
  const same = (selected ?? []).filter((node): node is Of<Kind> => node.kind === kind);
  return same.length > 0 ? same : [clicked];
}

/** Names everything that goes, once. */
async function confirmDelete(nodes: readonly ExplorerNode[]): Promise<boolean> {
  const remove = l10n.t('Delete');
  const names = nodes.map(nameOf);
  const shown = [...names.slice(0, 20), ...(names.length > 20 ? ['…'] : [])].join('\n');
  const title =
    names.length === 1 ? l10n.t('Delete {0}?', names[0] ?? '') : l10n.t('Delete {0} things?', names.length);
  return (await window.showWarningMessage(title, { modal: true, detail: shown }, remove)) === remove;
}

async function askSize({ pool }: Of<'pool'>) {
  const text = await window.showInputBox({
    title: l10n.t('Resize pool {0}', pool.id ?? ''),
    prompt: pool.enableAutoScale
      ? l10n.t('Dedicated and Spot nodes, like “0 5”. Autoscale is turned off.')
      : l10n.t('Dedicated and Spot nodes, like “0 5”.'),
    value: `${pool.targetDedicatedNodes ?? 0} ${pool.targetLowPriorityNodes ?? 0}`,
    validateInput: (given) =>
      /^\s*\d{1,4}\s+\d{1,4}\s*$/.test(given) ? undefined : l10n.t('Two numbers are needed.'),
  });
  if (text === undefined) return undefined;
  const [dedicated = 0, spot = 0] = text.trim().split(/\s+/).map(Number);
  return { dedicated, spot };
}

async function openLog({ account, jobId, task }: Of<'task'>, name: string): Promise<void> {
  const place = { jobId, taskId: task.id ?? '' };
  await commands.executeCommand('vscode.open', remoteUri({ kind: 'file', account, place, file: { name } }));
}

async function openNodeLog({ account, poolId, node }: Of<'node'>, name: string): Promise<void> {
  const place = { poolId, nodeId: node.id ?? '' };
  await commands.executeCommand('vscode.open', remoteUri({ kind: 'file', account, place, file: { name } }));
}

/** A SAS in a task's files is a secret: it is not shown, copied or saved. */
function jsonOf(node: ExplorerNode): string {
  return maskSas(JSON.stringify(resourceOf(node), null, 2));
}

/** The account in the portal of its cloud; the list of accounts where only its name is known. */
function portalUrl({ batchUrl, resourceId }: Of<'account'>['account']): string {
  const { portal } = cloudOf(batchUrl);
  return resourceId
    ? `${portal}/#resource${resourceId}/overview`
    : `${portal}/#browse/Microsoft.Batch%2FbatchAccounts`;
}

function resourceOf(node: ExplorerNode): unknown {
  switch (node.kind) {
    case 'pool':
      return node.pool;
    case 'node':
      return node.node;
    case 'job':
      return node.job;
    case 'task':
      return node.task;
    case 'container':
      return node.container;
    case 'blob':
      return node.blob;
    default:
      return nodeId(node);
  }
}

async function save(uri: Uri): Promise<void> {
  const name = uri.path.slice(uri.path.lastIndexOf('/') + 1);
  const [folder] = workspace.workspaceFolders ?? [];
  const target = await window.showSaveDialog({ defaultUri: folder && Uri.joinPath(folder.uri, name) });
  if (target) await workspace.fs.copy(uri, target, { overwrite: true });
}

/** The name that the service knows an item by. */
function nameOf(node: ExplorerNode): string {
  switch (node.kind) {
    case 'account':
      return node.account.batchName;
    case 'pool':
      return node.pool.id ?? '';
    case 'node':
      return node.node.id ?? '';
    case 'job':
      return node.job.id ?? '';
    case 'task':
      return node.task.id ?? '';
    case 'container':
      return node.container.name;
    case 'blob':
      return node.blob.name;
    case 'file':
      return node.file.name ?? '';
    default:
      return nodeId(node);
  }
}
