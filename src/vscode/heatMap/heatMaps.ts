import { l10n, Uri, ViewColumn, type WebviewPanel, window } from 'vscode';
import type { Node } from '../../core/azure/batch';
import { everyItem } from '../../core/azure/pages';
import { isAbort } from '../../core/errors';
import type { Cell, ToHost, ToPage } from '../../webview/messages';
import { background } from '../background';
import { DisposableStore } from '../disposable';
import type { AccountsView } from '../explorer/accountsView';
import { openRemote } from '../explorer/commands/openRemote';
import type { ExplorerData } from '../explorer/explorerData';
import { isChanging, type NodeOf, nodeId } from '../explorer/explorerNode';
import { stateWord } from '../explorer/stateWords';
import { showInformation } from '../messages';
import { nodesOf, time } from '../words/numbers';
import { textOf } from '../words/sentences';
import { heatMapPage } from './heatMapPage';
import { hourOfNode, hourOfPool } from './historyWords';
import { NodeHistory } from './nodeHistory';

type PoolNode = NodeOf<'pool'>;

/** Milliseconds between two requests for the nodes, which take one for each thousand. */
const changingMs = 5_000;
const settledMs = 15_000;
const unfocusedMs = 60_000;
/** From this many nodes on, the pause of settled pools is kept while nodes change. */
const large = 1_000;

/** Up to this many nodes the first request asks for recent tasks too, which tell of the hour before. */
const maxNodesWithTasks = 500;

const select = [
  ...['id', 'state', 'isDedicated', 'runningTasksCount', 'runningTaskSlotsCount', 'startTaskInfo'],
  ...['stateTransitionTime', 'allocationTime'],
].join();

/** What a heat map asks of the Accounts view. */
interface HeatMapActions {
  reveal(pool: PoolNode, id: string): Promise<unknown>;
  showStartTaskLog(pool: PoolNode, id: string): Promise<unknown>;
}

/** Heat maps of pools, a panel for each. */
export class HeatMaps {
  readonly #panels = new Map<string, HeatMap>();
  readonly #actions: HeatMapActions;

  constructor(
    private readonly data: ExplorerData,
    accountsView: AccountsView,
    private readonly extensionUri: Uri,
  ) {
    this.#actions = {
      reveal: async (pool, id) => {
        if (!(await accountsView.revealComputeNode(pool, id)))
          await showInformation(l10n.t('Node {0} no longer exists.', id));
      },
      showStartTaskLog: ({ account, pool }, id) =>
        openRemote(account, { poolId: pool.id ?? '', nodeId: id }, 'startup/stderr.txt'),
    };
  }

  show(node: PoolNode): void {
    const key = nodeId(node);
    const there = this.#panels.get(key);
    if (there) {
      there.panel.reveal();
      return;
    }
    const map = new HeatMap(this.data, this.extensionUri, node, this.#actions);
    this.#panels.set(key, map);
    map.panel.onDidDispose(() => this.#panels.delete(key));
  }

  dispose(): void {
    for (const map of this.#panels.values()) map.panel.dispose();
  }
}

/** Every node of a pool as a cell, kept current while the panel can be seen. */
class HeatMap {
  readonly panel: WebviewPanel;
  readonly #disposables = new DisposableStore();
  readonly #closed = new AbortController();
  readonly #history = new NodeHistory();
  #timer: NodeJS.Timeout | undefined;
  #isReady = false;
  #slotsPerNode: number | undefined;

  constructor(
    private readonly data: ExplorerData,
    extensionUri: Uri,
    private readonly pool: PoolNode,
    private readonly actions: HeatMapActions,
  ) {
    const poolId = pool.pool.id ?? '';
    const dist = Uri.joinPath(extensionUri, 'dist');
    const media = Uri.joinPath(extensionUri, 'media');
    this.panel = this.#disposables.add(
      window.createWebviewPanel('batchTranscode.heatMap', l10n.t('Nodes of {0}', poolId), ViewColumn.Active, {
        enableScripts: true,
        localResourceRoots: [dist, media],
      }),
    );
    const { webview } = this.panel;
    webview.html = heatMapPage(
      { poolId, isLocal: pool.account.signIn === 'local' },
      {
        script: webview.asWebviewUri(Uri.joinPath(dist, 'heatMap.js')).toString(),
        style: webview.asWebviewUri(Uri.joinPath(media, 'heatMap.css')).toString(),
        source: webview.cspSource,
      },
    );
    this.#disposables.add(webview.onDidReceiveMessage((message: ToHost) => this.#receive(message)));
    this.#disposables.add(this.panel.onDidChangeViewState(() => this.#schedule(0)));
    this.panel.onDidDispose(() => {
      this.#closed.abort();
      clearTimeout(this.#timer);
      this.#disposables.dispose();
    });
  }

  #receive(message: ToHost): void {
    switch (message.type) {
      case 'ready':
        this.#isReady = true;
        this.#schedule(0);
        return;
      case 'reveal':
        background(this.actions.reveal(this.pool, message.id));
        return;
      case 'showStartTaskLog':
        background(this.actions.showStartTaskLog(this.pool, message.id));
    }
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#isReady && this.panel.visible) this.#timer = setTimeout(() => background(this.#refresh()), ms);
  }

  async #refresh(): Promise<void> {
    let pause = settledMs;
    try {
      const nodes = await this.#nodes();
      // A panel that was closed takes no message.
      if (this.#closed.signal.aborted) return;
      if (nodes.length <= large && nodes.some((node) => this.#isChanging(node))) pause = changingMs;
      this.#send(this.#message(nodes));
    } catch (error) {
      if (isAbort(error) || this.#closed.signal.aborted) return;
      this.#send({ type: 'problem', text: textOf(error) });
    }
    this.#schedule(window.state.focused ? pause : unfocusedMs);
  }

  async #nodes(): Promise<Node[]> {
    const { batch } = await this.data.gateways(this.pool.account);
    const poolId = this.pool.pool.id ?? '';
    const { signal } = this.#closed;
    let selected = select;
    if (this.#slotsPerNode === undefined) {
      const pool = await batch.pool(poolId, { signal });
      const count = (pool?.currentDedicatedNodes ?? 0) + (pool?.currentLowPriorityNodes ?? 0);
      if (count <= maxNodesWithTasks) selected = `${select},recentTasks`;
      this.#slotsPerNode = pool?.taskSlotsPerNode ?? 1;
    }
    const nodes: Node[] = [];
    const page = (next?: string) => batch.nodePage(poolId, { select: selected, signal }, next);
    for await (const node of everyItem(page)) nodes.push(node);
    return nodes;
  }

  #message(nodes: readonly Node[]): ToPage {
    const now = new Date();
    this.#history.record(nodes, now);
    const cells = nodes.map((node) => this.#cell(node, now));
    const asOf = l10n.t('{0}, as of {1}', nodesOf(cells.length), time(now));
    const hour = hourOfPool(cells.map((cell) => cell.hour));
    return { type: 'nodes', cells, slotsPerNode: this.#slotsPerNode ?? 1, asOf, hour };
  }

  #cell(node: Node, now: Date): Cell {
    const { id = '', state = 'unknown', isDedicated, runningTasksCount, runningTaskSlotsCount } = node;
    const hour = this.#history.hour(id, now);
    return {
      id,
      state,
      word: stateWord(state),
      isDedicated: isDedicated ?? false,
      runningSlots: runningTaskSlotsCount ?? runningTasksCount ?? 0,
      startTaskFailed: node.startTaskInfo?.result?.toLowerCase() === 'failure',
      hour,
      hourText: hourOfNode(hour),
    };
  }

  #isChanging(node: Node): boolean {
    return isChanging({ kind: 'node', account: this.pool.account, poolId: this.pool.pool.id ?? '', node });
  }

  #send(message: ToPage): void {
    background(this.panel.webview.postMessage(message));
  }
}
