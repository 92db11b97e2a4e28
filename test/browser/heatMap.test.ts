import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../../scripts/vscodeServer.mjs';
import type { Cell, Strings, ToPage } from '../../src/webview/messages';

const pictures = 'out/test-artifacts';
const strings: Strings = {
  title: 'Nodes of pool',
  empty: 'The pool has no nodes.',
  node: 'Node',
  state: 'State',
  kind: 'Kind',
  tasks: 'Running tasks',
  dedicated: 'dedicated',
  spot: 'Spot',
  asTable: 'Show as Table',
  asMap: 'Show as Map',
};
const states = ['idle', 'running', 'starting', 'starttaskfailed', 'preempted', 'offline', 'somethingnew'];

/** Colours as VS Code's themes set them. */
const themes = {
  light: ['#ffffff', '#3b3b3b', '#005fb8', 'vscode-light'],
  dark: ['#1f1f1f', '#cccccc', '#0078d4', 'vscode-dark'],
  highContrast: ['#000000', '#ffffff', '#f38518', 'vscode-high-contrast'],
} as const;

function cells(count: number, state = (index: number) => states[index % states.length] ?? 'idle'): Cell[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `tvmps_${index}`,
    state: state(index),
    word: state(index),
    isDedicated: index % 5 === 0,
    tasks: index % 3,
  }));
}

describe('The heat map', function () {
  this.timeout(60_000);
  let browser: Browser;
  let page: Page;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    browser = await launchBrowser();
  });

  after(() => browser?.close());

  /** The page that the host makes, with the built script, in a theme. */
  async function open(theme: keyof typeof themes = 'light'): Promise<void> {
    const [background, foreground, focus, kind] = themes[theme];
    page = await browser.newPage({ viewport: { width: 900, height: 500 } });
    const contrast = theme === 'highContrast' ? '--vscode-contrastBorder: #6fc3df;' : '';
    await page.setContent(`<!DOCTYPE html><html lang="en"><head><title>Nodes</title><style>
      :root { --vscode-editor-background: ${background}; --vscode-foreground: ${foreground}; ${contrast}
        --vscode-focusBorder: ${focus}; --vscode-button-secondaryBackground: ${background};
        --vscode-button-secondaryForeground: ${foreground}; --vscode-textLink-foreground: ${focus};
        --vscode-descriptionForeground: ${foreground}; }
      body { background: ${background}; }
      ${readFileSync('media/heatMap.css', 'utf8')}</style></head>
      <body class="${kind}"><main>
      <header><h1>Nodes of pool</h1><span id="status" role="status"></span><button id="toggle"></button></header>
      <ul id="legend"></ul><p id="empty">${strings.empty}</p>
      <div id="map" role="listbox" aria-label="Nodes of pool" hidden></div>
      <p id="details" aria-live="polite"></p><table id="table" hidden></table></main>
      <script id="strings" type="application/json">${JSON.stringify(strings)}</script></body></html>`);
    // Text rather than functions, which the bundler gives names that the page does not know.
    await page.evaluate(`
      window.told = [];
      let kept;
      window.acquireVsCodeApi = () => ({
        postMessage: (message) => window.told.push(message),
        getState: () => kept,
        setState: (state) => { kept = state; },
      });`);
    await page.addScriptTag({ content: readFileSync('dist/heatMap.js', 'utf8') });
  }

  const send = (message: ToPage) => page.evaluate(`window.postMessage(${JSON.stringify(message)}, '*')`);
  const told = () => page.evaluate<{ type: string }[]>('window.told');

  async function violations(): Promise<string[]> {
    const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    await page.evaluate(source);
    const found = await page.evaluate<AxeResults>('window.axe.run()');
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
  }

  it('asks for nodes, and shows each with a legend that counts them', async () => {
    await open();
    assert.deepEqual(await told(), [{ type: 'ready' }]);
    await page.getByText('The pool has no nodes.').waitFor();
    await send({ type: 'nodes', cells: cells(70), asOf: '70 nodes' });
    await page.locator('#map .cell').nth(69).waitFor();
    assert.deepEqual(
      await page
        .locator('#legend li')
        .allTextContents()
        .then((texts) => texts.map((text) => text.trim().slice(-3))),
      states.map(() => ': 10').map((text) => text.slice(-3)),
    );
    await page.close();
  });

  it('draws thousands, changes them in place and keeps the focus', async () => {
    await open();
    await send({ type: 'nodes', cells: cells(3000), asOf: '' });
    await page.locator('#map .cell').nth(2999).waitFor();
    await page.locator('#map .cell').first().focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    const focused = () => page.evaluate<string>("document.activeElement.getAttribute('aria-label')");
    const before = await focused();
    assert.match(before, /^tvmps_\d+, /);
    await send({ type: 'nodes', cells: cells(3000, () => 'running'), asOf: '' });
    await page.locator('#legend', { hasText: 'running: 3000' }).waitFor();
    const after = await focused();
    assert.equal(after.split(',')[0], before.split(',')[0]);
    await page.keyboard.press('Enter');
    assert.deepEqual((await told()).at(-1), { type: 'reveal', id: before.split(',')[0] });
    await send({ type: 'nodes', cells: cells(2), asOf: '' });
    await page.locator('#map .cell').nth(2).waitFor({ state: 'detached' });
    await page.close();
  });

  it('tells by text what a colour tells, as a table too', async () => {
    await open();
    await send({ type: 'nodes', cells: cells(7), asOf: '' });
    const labels = await page.evaluate<string[]>(
      "[...document.querySelectorAll('#map .cell')].map((cell) => cell.getAttribute('aria-label'))",
    );
    assert.ok(labels.every((label, index) => label.includes(states[index] ?? '')));
    await page.getByRole('button', { name: 'Show as Table' }).click();
    assert.equal(await page.locator('#table tbody tr').count(), 7);
    await page.getByRole('button', { name: 'tvmps_3' }).click();
    assert.deepEqual((await told()).at(-1), { type: 'reveal', id: 'tvmps_3' });
    assert.deepEqual(await violations(), []);
    await page.close();
  });

  it('keeps what it showed while the service cannot be reached, and says so', async () => {
    await open();
    await send({ type: 'nodes', cells: cells(5), asOf: '5 nodes' });
    await send({ type: 'problem', text: 'It cannot be reached.' });
    await page.getByText('It cannot be reached.').waitFor();
    assert.equal(await page.locator('#map .cell').count(), 5);
    await page.close();
  });

  it('takes a node’s name for text', async () => {
    await open();
    const [cell] = cells(1) as [Cell];
    await send({ type: 'nodes', cells: [{ ...cell, id: '<img src=x onerror=alert(1)>' }], asOf: '<b>x</b>' });
    await page.locator('#map .cell').first().waitFor();
    assert.equal(await page.locator('main img, main b').count(), 0);
    await page.close();
  });

  for (const theme of Object.keys(themes) as (keyof typeof themes)[]) {
    it(`can be read in ${theme}, by axe-core’s measure`, async () => {
      await open(theme);
      await send({ type: 'nodes', cells: cells(140), asOf: '140 nodes, as of now' });
      await page.locator('#map .cell').nth(139).waitFor();
      assert.deepEqual(await violations(), []);
      await page.screenshot({ path: `${pictures}/heatMap-${theme}.png` });
      await page.close();
    });
  }
});
