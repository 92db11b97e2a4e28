import { commands, env, l10n, Uri, window, workspace } from 'vscode';
import type { Handler } from './commands';
import { type Explorer, type ExplorerNode, nodeId } from './explorer';
import { remoteUri } from './remoteFiles';
import type { Tree } from './tree';

type Of<Kind extends ExplorerNode['kind']> = Extract<ExplorerNode, { kind: Kind }>;

/** What the context menus of the Accounts view do. Each takes the item that was clicked and all that are selected. */
export function explorerActions(explorer: Explorer, tree: Tree): Record<string, Handler> {
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
    openAsJson: (node: ExplorerNode) => openAsJson(node),
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
      if (node.pool.enableAutoScale) await batch.disableAutoScale(nameOf(node));
      await batch.resizePool(nameOf(node), size);
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
  const [targetDedicatedNodes = 0, targetLowPriorityNodes = 0] = text.trim().split(/\s+/).map(Number);
  return { targetDedicatedNodes, targetLowPriorityNodes };
}

async function openLog({ account, jobId, task }: Of<'task'>, name: string): Promise<void> {
  const place = { jobId, taskId: task.id ?? '' };
  await commands.executeCommand('vscode.open', remoteUri({ kind: 'file', account, place, file: { name } }));
}

async function openAsJson(node: ExplorerNode): Promise<void> {
  const content = JSON.stringify(resourceOf(node), null, 2);
  await window.showTextDocument(await workspace.openTextDocument({ language: 'json', content }), {
    preview: true,
  });
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
