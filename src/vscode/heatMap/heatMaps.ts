import { randomBytes } from 'node:crypto';
import { env, l10n, Uri, ViewColumn, type WebviewPanel, window } from 'vscode';
import { everyItem } from '../../core/azure/pages';
import { isAbort } from '../../core/errors';
import type { Cell, Strings, ToHost, ToPage } from '../../webview/messages';
import { background } from '../background';
import { DisposableStore } from '../disposable';
import type { ExplorerData } from '../explorer/explorerData';
import type { ExplorerNode } from '../explorer/explorerNode';
import { stateWord } from '../explorer/stateWords';
import { nodesOf, time } from '../words/numbers';
import { textOf } from '../words/sentences';

type PoolNode = Extract<ExplorerNode, { kind: 'pool' }>;

/** Pauses between two looks at a pool: one page of nodes takes a request, a page has a thousand. */
const everyMs = 5_000;
const everyMsWhenLarge = 15_000;
const large = 1_000;

/** Heat maps of pools, one panel for each. */
export class HeatMaps {
  readonly #panels = new Map<string, HeatMap>();

  constructor(
    private readonly explorer: ExplorerData,
    private readonly extensionUri: Uri,
    private readonly reveal: (pool: PoolNode, id: string) => Promise<boolean>,
  ) {}

  show(node: PoolNode): void {
    const key = `${node.account.id}/${node.pool.id}`;
    const there = this.#panels.get(key);
    if (there) {
      there.panel.reveal();
      return;
    }
    const map = new HeatMap(this.explorer, this.extensionUri, node, this.reveal);
    this.#panels.set(key, map);
    map.panel.onDidDispose(() => this.#panels.delete(key));
  }

  dispose(): void {
    for (const map of this.#panels.values()) map.panel.dispose();
  }
}

/** Every node of a pool as a cell; looked at again and again while the panel can be seen. */
class HeatMap {
  readonly panel: WebviewPanel;
  readonly #disposables = new DisposableStore();
  readonly #closed = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #isReady = false;

  constructor(
    private readonly explorer: ExplorerData,
    extensionUri: Uri,
    private readonly node: PoolNode,
    private readonly reveal: (pool: PoolNode, id: string) => Promise<boolean>,
  ) {
    const poolId = node.pool.id ?? '';
    const roots = [Uri.joinPath(extensionUri, 'dist'), Uri.joinPath(extensionUri, 'media')];
    this.panel = this.#disposables.add(
      window.createWebviewPanel('batchTranscode.heatMap', l10n.t('Nodes of {0}', poolId), ViewColumn.Active, {
        enableScripts: true,
        localResourceRoots: roots,
      }),
    );
    const { webview } = this.panel;
    const [dist, media] = roots as [Uri, Uri];
    webview.html = pageOf(poolId, {
      script: webview.asWebviewUri(Uri.joinPath(dist, 'heatMap.js')).toString(),
      style: webview.asWebviewUri(Uri.joinPath(media, 'heatMap.css')).toString(),
      source: webview.cspSource,
    });
    this.#disposables.add(webview.onDidReceiveMessage((message: ToHost) => this.#heard(message)));
    this.#disposables.add(this.panel.onDidChangeViewState(() => this.#schedule(0)));
    this.panel.onDidDispose(() => {
      this.#closed.abort();
      clearTimeout(this.#timer);
      this.#disposables.dispose();
    });
  }

  #heard(message: ToHost): void {
    if (message.type === 'ready') {
      this.#isReady = true;
      this.#schedule(0);
    } else {
      background(this.reveal(this.node, message.id));
    }
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#isReady && this.panel.visible) this.#timer = setTimeout(() => void this.#look(), ms);
  }

  async #look(): Promise<void> {
    let nodes = 0;
    try {
      const cells = await this.#cells();
      nodes = cells.length;
      this.#send({ type: 'nodes', cells, asOf: l10n.t('{0}, as of {1}', nodesOf(nodes), time(new Date())) });
    } catch (error) {
      if (isAbort(error)) return;
      const text = textOf(error);
      this.#send({ type: 'problem', text });
    }
    this.#schedule(nodes > large ? everyMsWhenLarge : everyMs);
  }

  async #cells(): Promise<Cell[]> {
    const { batch } = await this.explorer.gateways(this.node.account);
    const options = { select: 'id,state,isDedicated,runningTasksCount', signal: this.#closed.signal };
    const cells: Cell[] = [];
    for await (const { id = '', state = 'unknown', isDedicated, runningTasksCount = 0 } of everyItem((next) =>
      batch.nodePage(this.node.pool.id ?? '', options, next),
    )) {
      cells.push({
        id,
        state,
        word: stateWord(state),
        isDedicated: isDedicated ?? false,
        tasks: runningTasksCount,
      });
    }
    return cells;
  }

  #send(message: ToPage): void {
    void this.panel.webview.postMessage(message);
  }
}

/** A page that may load its own script and style and nothing else. */
function pageOf(
  poolId: string,
  { script, style, source }: Record<'script' | 'style' | 'source', string>,
): string {
  const nonce = randomBytes(16).toString('base64');
  const strings: Strings = {
    title: l10n.t('Nodes of {0}', poolId),
    empty: l10n.t('The pool has no nodes.'),
    node: l10n.t('Node'),
    state: l10n.t('State'),
    kind: l10n.t('Kind'),
    tasks: l10n.t('Running tasks'),
    dedicated: l10n.t('dedicated'),
    spot: l10n.t('Spot'),
    asTable: l10n.t('Show as Table'),
    asMap: l10n.t('Show as Map'),
  };
  return `<!DOCTYPE html>
<html lang="${env.language}">
<head>
<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${source}; script-src 'nonce-${nonce}'">
<title>${escapeHtml(strings.title)}</title>
<link rel="stylesheet" href="${style}">
</head>
<body>
<main>
<header><h1>${escapeHtml(strings.title)}</h1><span id="status" role="status"></span><button id="toggle"></button></header>
<ul id="legend"></ul>
<p id="empty">${escapeHtml(strings.empty)}</p>
<div id="map" role="listbox" aria-label="${escapeHtml(strings.title)}" hidden></div>
<p id="details" aria-live="polite"></p>
<table id="table" hidden></table>
</main>
<script nonce="${nonce}" id="strings" type="application/json">${JSON.stringify(strings).replaceAll('<', '\\u003c')}</script>
<script nonce="${nonce}" src="${script}"></script>
</body>
</html>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
