import { l10n, ThemeIcon, window } from 'vscode';
import type { Handlers } from '../../commands';
import type { PoolCommandId } from '../../contributions';
import { longWork } from '../../longWork';
import { askNodeCounts } from '../../nodeCounts';
import { count, nodesOf } from '../../words/numbers';
import { type ExplorerNode, type NodeOf, resourceName } from '../explorerNode';
import { actOnEach, confirm, namedByAccount } from './actOnEach';
import type { ExplorerParts } from './parts';
import { selectedRow, selectedRows } from './selection';

type Pool = NodeOf<'pool'>;

/** The commands on pools. */
export function poolCommands(parts: ExplorerParts): Handlers<PoolCommandId> {
  const { data, accountsView, autoscale, heatMaps } = parts;
  return {
    async showHeatMap(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const row = selectedRow(parts, ['pool'], clicked, selected);
      if (row) await heatMaps.use((maps) => maps.show(row));
    },
    async resizePool(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const row = selectedRow(parts, ['pool'], clicked, selected);
      const size = row && (await askSize(row));
      if (row === undefined || size === undefined) return;
      const { batch } = await data.gateways(row.account);
      const id = resourceName(row);
      const { resizePool } = await import('../../../core/pools/poolSizes');
      try {
        await longWork(l10n.t('Resizing pool {0}', id), (_, signal) =>
          resizePool(batch, id, size, { signal }),
        );
      } finally {
        accountsView.update(row.account);
      }
    },
    async autoscalePool(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const row = selectedRow(parts, ['pool'], clicked, selected);
      if (row === undefined) return;
      const { batch } = await data.gateways(row.account);
      const id = resourceName(row);
      const pool = await batch.pool(id, { select: 'enableAutoScale' });
      const choice = pool?.enableAutoScale ? await askAutoscale(id) : 'edit';
      if (choice === 'edit') await autoscale.use((documents) => documents.open(row.account, id));
      if (choice !== 'off') return;
      const { disableAutoscale } = await import('../../../core/pools/poolSizes');
      try {
        await longWork(l10n.t('Turning autoscale off'), (_, signal) =>
          disableAutoscale(batch, id, { signal }),
        );
      } finally {
        accountsView.update(row.account);
      }
    },
    async newJob(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const row = selectedRow(parts, ['pool'], clicked, selected);
      if (row === undefined) return;
      const id = await window.showInputBox({
        title: l10n.t('New job on pool {0}', resourceName(row)),
        prompt: l10n.t('Job ID'),
        validateInput: (text) =>
          /^[\w-]{1,64}$/.test(text)
            ? undefined
            : l10n.t('Use 1 to 64 letters, digits, hyphens, and underscores.'),
      });
      if (id === undefined) return;
      const { batch } = await data.gateways(row.account);
      await batch.addJob({ id, poolInfo: { poolId: resourceName(row) } });
      accountsView.update(row.account);
    },
    async deletePools(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const pools = selectedRows(parts, ['pool'], clicked, selected);
      const [first] = pools;
      if (first === undefined) return;
      const title =
        pools.length === 1
          ? l10n.t('Delete pool {0}?', resourceName(first))
          : l10n.t('Delete {0} pools?', count(pools.length));
      if (!(await confirm(title, l10n.t('Delete'), namedByAccount(pools, poolLine)))) return;
      await actOnEach(parts, pools, l10n.t('Deleting pools'), async (row, signal) => {
        const { batch } = await data.gateways(row.account);
        await batch.deletePool(resourceName(row), signal);
      });
    },
  };
}

/** A pool with its nodes, which go with it and with what runs on them. */
function poolLine({ pool }: Pool): string {
  const nodes = (pool.currentDedicatedNodes ?? 0) + (pool.currentLowPriorityNodes ?? 0);
  return nodes === 0
    ? (pool.id ?? '')
    : l10n.t('{0}: {1} and what runs on them', pool.id ?? '', nodesOf(nodes));
}

async function askAutoscale(id: string): Promise<'edit' | 'off' | undefined> {
  const edit = l10n.t('Edit the Formula…');
  const off = l10n.t('Turn Autoscale Off');
  const answer = await window.showQuickPick(
    [
      {
        label: edit,
        iconPath: new ThemeIcon('edit'),
        detail: l10n.t('Opens the formula in an editor. It is evaluated when you save it.'),
      },
      {
        label: off,
        iconPath: new ThemeIcon('circle-slash'),
        detail: l10n.t('The pool keeps the nodes that it has.'),
      },
    ],
    { title: l10n.t('Autoscale of pool {0}', id) },
  );
  if (answer === undefined) return undefined;
  return answer.label === edit ? 'edit' : 'off';
}

function askSize({ pool }: Pool) {
  return askNodeCounts(
    l10n.t('Resize pool {0}', pool.id ?? ''),
    pool.enableAutoScale
      ? l10n.t('Number of Spot nodes and of dedicated nodes. Autoscale is turned off.')
      : l10n.t('Number of Spot nodes and of dedicated nodes'),
    { spot: pool.targetLowPriorityNodes ?? 0, dedicated: pool.targetDedicatedNodes ?? 0 },
    0,
  );
}
