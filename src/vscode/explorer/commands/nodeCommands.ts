import { l10n } from 'vscode';
import type { NodeAction } from '../../../core/azure/batch';
import { rootProblem } from '../../../core/errors';
import { background } from '../../background';
import type { Handlers } from '../../commands';
import type { NodeCommandId } from '../../contributions';
import { showInformation } from '../../messages';
import { count } from '../../words/numbers';
import type { ShownProblem } from '../../words/remedy';
import { type ExplorerNode, type NodeOf, resourceName } from '../explorerNode';
import { rowLabel } from '../rowLabels';
import { actOnEach, confirm } from './actOnEach';
import { openRemote } from './openRemote';
import type { ExplorerParts } from './parts';
import { runningOn } from './runningWork';
import { selectedRow, selectedRows } from './selection';

type NodeRow = NodeOf<'node'>;

/** The commands on compute nodes. Commands that stop tasks ask for confirmation if tasks run. */
export function nodeCommands(parts: ExplorerParts): Handlers<NodeCommandId> {
  const { data } = parts;
  const act =
    (action: NodeAction, words: ActionWords) => async (clicked?: ExplorerNode, selected?: ExplorerNode[]) => {
      const rows = selectedRows(parts, ['node'], clicked, selected);
      const [first] = rows;
      if (first === undefined) return;
      if (words.stopsTasks) {
        const running = await runningOn(data, rows);
        const lines = [l10n.t('Running tasks are stopped and queued again:'), ...running];
        if (running.length > 0 && !(await confirm(words.question(rows, first), words.button, lines))) return;
      }
      await actOnEach(parts, rows, words.progress, async (row, signal) => {
        const { batch } = await data.gateways(row.account);
        await batch.actOnNode(row.poolId, resourceName(row), action, signal);
      });
    };
  return {
    rebootNode: act('reboot', {
      stopsTasks: true,
      progress: l10n.t('Rebooting nodes'),
      button: l10n.t('Reboot'),
      question: (rows, first) =>
        rows.length === 1
          ? l10n.t('Reboot node {0}?', rowLabel(first))
          : l10n.t('Reboot {0} nodes?', count(rows.length)),
    }),
    reimageNode: act('reimage', {
      stopsTasks: true,
      progress: l10n.t('Reimaging nodes'),
      button: l10n.t('Reimage'),
      question: (rows, first) =>
        rows.length === 1
          ? l10n.t('Reimage node {0}?', rowLabel(first))
          : l10n.t('Reimage {0} nodes?', count(rows.length)),
    }),
    disableScheduling: act('disableScheduling', {
      stopsTasks: true,
      progress: l10n.t('Disabling task scheduling'),
      button: l10n.t('Disable Scheduling'),
      question: (rows, first) =>
        rows.length === 1
          ? l10n.t('Disable task scheduling on node {0}?', rowLabel(first))
          : l10n.t('Disable task scheduling on {0} nodes?', count(rows.length)),
    }),
    enableScheduling: act('enableScheduling', {
      stopsTasks: false,
      progress: l10n.t('Enabling task scheduling'),
      button: '',
      question: () => '',
    }),
    async removeNodes(clicked?: ExplorerNode, selected?: ExplorerNode[]) {
      const rows = selectedRows(parts, ['node'], clicked, selected);
      if (rows.length === 0 || !(await confirmRemoval(parts, rows))) return;
      const pools = nodesByPool(rows);
      await actOnEach(parts, pools, l10n.t('Removing nodes'), async ({ account, poolId, ids }, signal) => {
        const { batch } = await data.gateways(account);
        const { removeNodes } = await import('../../../core/pools/poolSizes');
        await removeNodes(batch, poolId, ids, { signal });
      });
    },
    showStartTaskStdout: (clicked?: ExplorerNode, selected?: ExplorerNode[]) =>
      openStartTaskLog(parts, clicked, selected, 'stdout.txt'),
    showStartTaskStderr: (clicked?: ExplorerNode | ShownProblem, selected?: ExplorerNode[]) =>
      clicked === undefined || 'kind' in clicked
        ? openStartTaskLog(parts, clicked, selected, 'stderr.txt')
        : openStderrOf(parts, clicked),
  };
}

interface ActionWords {
  /** The action stops what runs on the node: it asks first. */
  readonly stopsTasks: boolean;
  readonly progress: string;
  readonly button: string;
  readonly question: (rows: readonly NodeRow[], first: NodeRow) => string;
}

async function confirmRemoval({ data }: ExplorerParts, rows: readonly NodeRow[]): Promise<boolean> {
  const [first] = rows;
  const pools = new Set(rows.map(({ poolId }) => poolId));
  const title =
    rows.length === 1 && first
      ? l10n.t('Remove node {0} from pool {1}?', rowLabel(first), first.poolId)
      : pools.size === 1 && first
        ? l10n.t('Remove {0} nodes from pool {1}?', count(rows.length), first.poolId)
        : l10n.t('Remove {0} nodes from {1} pools?', count(rows.length), count(pools.size));
  const running = await runningOn(data, rows);
  const lines = [
    ...(running.length > 0 ? [l10n.t('Running tasks are stopped and queued again:'), ...running, ''] : []),
    ...rows.map((row) => (pools.size > 1 ? `${row.poolId}: ${rowLabel(row)}` : rowLabel(row))),
  ];
  return confirm(title, l10n.t('Remove'), lines);
}

/** The nodes of each pool. The row stands for the pool where something fails. */
function nodesByPool(rows: readonly NodeRow[]) {
  const pools = new Map<string, NodeOf<'pool'> & { poolId: string; ids: string[] }>();
  for (const row of rows) {
    const { account, poolId } = row;
    const key = `${account.id}/${poolId}`;
    const there = pools.get(key) ?? { kind: 'pool', account, pool: { id: poolId }, poolId, ids: [] };
    there.ids.push(resourceName(row));
    pools.set(key, there);
  }
  return [...pools.values()];
}

/**
 * Opens the stderr of a start task that failed, in the account of the problem. Where that is not known, it is the account
 * that has the node, the one of this workspace first.
 */
async function openStderrOf(
  { accounts, data }: ExplorerParts,
  { problem, accountId }: ShownProblem,
): Promise<void> {
  const failed = rootProblem(problem);
  if (failed.kind !== 'startTaskFailed') return;
  const { pool, node } = failed;
  const { current, all } = accounts;
  const ordered = accountId
    ? [accounts.accountOf({ accountId })]
    : [...(current ? [current] : []), ...all.filter(({ id }) => id !== current?.id)];
  for (const account of ordered) {
    const { batch } = await data.gateways(account);
    if (await batch.node(pool, node))
      return openRemote(account, { poolId: pool, nodeId: node }, 'startup/stderr.txt');
  }
  background(showInformation(l10n.t('Node {0} no longer exists, and its files are gone.', node)));
}

async function openStartTaskLog(
  parts: ExplorerParts,
  clicked: ExplorerNode | undefined,
  selected: readonly ExplorerNode[] | undefined,
  log: string,
): Promise<void> {
  const row = selectedRow(parts, ['node', 'problem'], clicked, selected);
  const place = row?.kind === 'node' ? { ...row, nodeId: resourceName(row) } : row?.startTaskOf;
  if (place === undefined) return;
  const { account, poolId, nodeId } = place;
  await openRemote(account, { poolId, nodeId }, `startup/${log}`);
}
