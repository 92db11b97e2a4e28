import { commands, env, l10n, Uri, window } from 'vscode';
import type { AccountRecord } from '../../../core/azure/account';
import { cloudOf } from '../../../core/azure/clouds';
import { ownPrefix } from '../../../core/azure/ownership';
import { maskSas } from '../../../core/log';
import type { Handlers } from '../../commands';
import type { ResourceCommandId } from '../../contributions';
import { count } from '../../words/numbers';
import type { ExplorerData } from '../explorerData';
import { type ExplorerNode, type NodeOf, resourceName } from '../explorerNode';
import { remoteUri } from '../remoteFiles';
import { actOnEach, confirm, namedByAccount } from './actOnEach';
import type { ExplorerParts } from './parts';
import { selectedRow, selectedRows } from './selection';

const resourceKinds = ['pool', 'node', 'job', 'task', 'container', 'blob'] as const;
type Resource = NodeOf<(typeof resourceKinds)[number]>;

/** The commands that many kinds of rows have, and those on files and containers. */
export function resourceCommands(parts: ExplorerParts): Handlers<ResourceCommandId> {
  const { data, accountsView, documents } = parts;
  const resources = async (clicked?: ExplorerNode, selected?: ExplorerNode[]) => {
    const rows = selectedRows(parts, resourceKinds, clicked, selected);
    const [first] = rows;
    if (first === undefined) return undefined;
    const all = await Promise.all(rows.map((row) => resourceOf(data, row)));
    const name = rows.length === 1 ? resourceName(first) : l10n.t('{0} resources', count(rows.length));
    return { name, value: rows.length === 1 ? all[0] : all };
  };
  return {
    async openFile(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      for (const row of selectedRows(parts, ['file', 'blob'], clicked, selected))
        await commands.executeCommand('vscode.open', remoteUri(row), { preview: false });
    },
    async saveFile(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['file', 'blob'], clicked, selected);
      const [first] = rows;
      if (first === undefined) return;
      const { saveAs, saveInFolder } = await import('./saveRemote');
      if (rows.length === 1) await saveAs(data, first);
      else await saveInFolder(data, rows);
    },
    async copyId(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const kinds = ['account', ...resourceKinds, 'file'] as const;
      const ids = selectedRows(parts, kinds, clicked, selected).map(resourceName);
      if (ids.length > 0) await env.clipboard.writeText(ids.join('\n'));
    },
    async copyAsJson(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const found = await resources(clicked, selected);
      if (found) await env.clipboard.writeText(jsonOf(found.value));
    },
    async openAsJson(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const found = await resources(clicked, selected);
      if (found) await documents.show(`${found.name}.json`, jsonOf(found.value));
    },
    async openAsYaml(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const found = await resources(clicked, selected);
      if (found === undefined) return;
      // The bundle of a CommonJS package has its exports in `default` only.
      const { default: yaml } = await import('yaml');
      await documents.show(`${found.name}.yaml`, yaml.stringify(JSON.parse(jsonOf(found.value))));
    },
    async openInPortal(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const row = selectedRow(parts, ['account', 'pool', 'job'], clicked, selected);
      if (row) await env.openExternal(Uri.parse(portalUrl(row.account)));
    },
    async filterList(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const kinds = ['pools', 'jobs', 'containers', 'pool', 'job', 'taskGroup', 'container'] as const;
      const row = selectedRow(parts, kinds, clicked, selected);
      if (row === undefined) return;
      const text = await window.showInputBox({
        title: l10n.t('Filter by name'),
        prompt: l10n.t('Show only rows whose name or ID contains this text. Leave it empty to show all.'),
        value: data.filterOf(row),
      });
      if (text === undefined) return;
      data.filter(row, text.trim());
      accountsView.refresh(row);
    },
    toggleTaskGroups() {
      data.groupsTasks = !data.groupsTasks;
      accountsView.refresh();
    },
    showAllContainers: (clicked?: ExplorerNode) => toggleContainers(parts, clicked),
    showOwnContainers: (clicked?: ExplorerNode) => toggleContainers(parts, clicked),
    async deleteContainers(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['container'], clicked, selected);
      const [first] = rows;
      if (first === undefined) return;
      const title =
        rows.length === 1
          ? l10n.t('Delete container {0}?', resourceName(first))
          : l10n.t('Delete {0} containers?', count(rows.length));
      const isForeign = (row: NodeOf<'container'>) => !resourceName(row).startsWith(ownPrefix);
      const lines = [
        l10n.t('All blobs in them are deleted.'),
        ...namedByAccount(rows, (row) =>
          isForeign(row) ? l10n.t('{0}: not made by this extension', resourceName(row)) : resourceName(row),
        ),
      ];
      if (!(await confirm(title, l10n.t('Delete'), lines))) return;
      await actOnEach(parts, rows, l10n.t('Deleting containers'), async (row, signal) => {
        const { storage } = await data.gateways(row.account);
        await storage.deleteContainer(resourceName(row), signal);
      });
    },
  };
}

function toggleContainers(parts: ExplorerParts, clicked: ExplorerNode | undefined): void {
  const row = selectedRow(parts, ['containers'], clicked);
  if (row === undefined) return;
  parts.data.toggleAllContainers(row);
  parts.accountsView.refresh({ kind: 'account', account: row.account });
}

/** The whole resource as the service returns it now, or the data of the row if it no longer exists. */
async function resourceOf(data: ExplorerData, row: Resource): Promise<unknown> {
  const { batch } = await data.gateways(row.account);
  switch (row.kind) {
    case 'pool':
      return bodyOf(await batch.pool(resourceName(row))) ?? row.pool;
    case 'node':
      return bodyOf(await batch.node(row.poolId, resourceName(row))) ?? row.node;
    case 'job':
      return bodyOf(await batch.job(resourceName(row))) ?? row.job;
    case 'task':
      return bodyOf(await batch.task(row.jobId, resourceName(row))) ?? row.task;
    case 'container':
      return row.container;
    case 'blob':
      return row.blob;
  }
}

/** The resource without the headers of the response, which the client adds to it. */
function bodyOf(resource: object | undefined): unknown {
  const { _response: response } = (resource ?? {}) as { _response?: { parsedBody?: object } };
  if (response?.parsedBody === undefined) return resource;
  return Object.fromEntries(
    Object.entries(response.parsedBody).filter(([name]) => !name.startsWith('odata.')),
  );
}

/** A SAS in a task's files is a secret: it is not shown, copied or saved. */
function jsonOf(value: unknown): string {
  return maskSas(JSON.stringify(value, null, 2));
}

/** The account in the portal of its cloud; the list of accounts where only its name is known. */
function portalUrl({ batchUrl, resourceId }: AccountRecord): string {
  const { portal } = cloudOf(batchUrl);
  return resourceId
    ? `${portal}/#resource${resourceId}/overview`
    : `${portal}/#browse/Microsoft.Batch%2FbatchAccounts`;
}
