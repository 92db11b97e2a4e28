import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser, patienceMs } from '../../scripts/vscodeServer.mjs';
import { heatMapBody } from '../../src/vscode/heatMap/heatMapBody';
import type { Cell, Strings, ToPage } from '../../src/webview/messages';

const pictures = 'out/test-artifacts';
const strings: Strings = {
  title: 'Nodes of pool',
  empty: 'The pool has no nodes.',
  node: 'Node',
  state: 'State',
  kind: 'Kind',
  slots: 'Running slots',
  slotsOf: '{0} of {1} slots running',
  hour: 'Last hour',
  dedicated: 'dedicated',
  spot: 'Spot',
  asTable: 'Show as Table',
  asMap: 'Show as Map',
  startTaskFailed: 'start task failed',
  showStartTaskLog: 'Show Start Task stderr',
  reveal: 'Show in Accounts View',
  slotLegend: 'task slots, filled while a task runs',
  hourLegend: 'last hour, now at the right',
  minutes: {
    i: 'idle: costs money without work',
    r: 'running a task',
    s: 'being started',
    f: 'failed then',
    g: 'not available',
    '?': 'not known',
  },
};
const states = ['idle', 'running', 'starting', 'starttaskfailed', 'preempted', 'offline', 'somethingnew'];
const hour = `${' '.repeat(10)}${'s'.repeat(5)}${'r'.repeat(25)}${'i'.repeat(15)}${'?'.repeat(5)}`;

/** Where an element lies on the page. */
interface Box {
  readonly left: number;
  readonly right: number;
  readonly height: number;
}

/** Colors as VS Code's themes set them. */
const themes = {
  light: ['#ffffff', '#3b3b3b', '#005fb8', 'vscode-light'],
  dark: ['#1f1f1f', '#cccccc', '#0078d4', 'vscode-dark'],
  highContrast: ['#000000', '#ffffff', '#f38518', 'vscode-high-contrast'],
  highContrastLight: ['#ffffff', '#292929', '#006bbd', 'vscode-high-contrast-light'],
} as const;

function cells(count: number, state = (index: number) => states[index % states.length] ?? 'idle'): Cell[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `tvmps_${index}`,
    state: state(index),
    word: state(index),
    isDedicated: index % 5 === 0,
    runningSlots: state(index) === 'running' ? 1 + (index % 2) : 0,
    startTaskFailed: state(index) === 'starttaskfailed',
    hour,
    hourText: '25 minutes running, 15 minutes idle',
  }));
}

describe('The heat map', () => {
  let browser: Browser;
  let page: Page;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    browser = await launchBrowser();
  });

  after(() => browser?.close());

  afterEach(() => page?.close());

  /** The page that the host makes, with the built script, in a theme. */
  async function open(theme: keyof typeof themes = 'light', width = 900): Promise<void> {
    const [background, foreground, focus, kind] = themes[theme];
    page = await browser.newPage({ viewport: { width, height: 500 } });
    page.setDefaultTimeout(patienceMs);
    const contrast = theme.startsWith('high') ? '--vscode-contrastBorder: #6fc3df;' : '';
    await page.setContent(`<!DOCTYPE html><html lang="en"><head><title>Nodes</title><style>
      :root { --vscode-editor-background: ${background}; --vscode-foreground: ${foreground}; ${contrast}
        --vscode-focusBorder: ${focus}; --vscode-button-secondaryBackground: ${background};
        --vscode-button-secondaryForeground: ${foreground}; --vscode-textLink-foreground: ${focus};
        --vscode-descriptionForeground: ${foreground}; --vscode-font-size: 13px; --vscode-font-family: sans-serif; }
      body { background: ${background}; }
      ${readFileSync('media/heatMap.css', 'utf8')}</style></head>
      <body class="${kind}">${heatMapBody(strings)}
      <script id="strings" type="application/json">${JSON.stringify(strings)}</script></body></html>`);
    // Text rather than functions, which the bundler gives names that the page does not know.
    await page.evaluate(`
      window.received = [];
      let kept;
      window.acquireVsCodeApi = () => ({
        postMessage: (message) => window.received.push(message),
        getState: () => kept,
        setState: (state) => { kept = state; },
      });`);
    await page.addScriptTag({ content: readFileSync('dist/heatMap.js', 'utf8') });
  }

  const send = (message: ToPage) => page.evaluate(`window.postMessage(${JSON.stringify(message)}, '*')`);
  const sendNodes = (shown: Cell[], asOf = '', slotsPerNode = 2) =>
    send({ type: 'nodes', cells: shown, slotsPerNode, asOf, hour: '25 node-minutes running, 15 idle' });
  const received = () => page.evaluate<{ type: string }[]>('window.received');

  async function violations(): Promise<string[]> {
    const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    await page.evaluate(source);
    const found = await page.evaluate<AxeResults>('window.axe.run()');
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
  }

  it('asks for nodes and shows each, with a legend that explains every mark', async () => {
    await open();
    assert.deepEqual(await received(), [{ type: 'ready' }]);
    await page.getByText(strings.empty).waitFor();
    await sendNodes(cells(70), '70 nodes');
    await page.locator('#map .cell').nth(69).waitFor();
    const legend = (await page.locator('#legend li').allTextContents()).map((text) => text.trim());
    for (const state of states)
      assert.ok(
        legend.some((text) => text.endsWith(`${state}: 10`)),
        state,
      );
    const explained = ['dedicated: 14', 'Spot: 56', strings.slotLegend, strings.hourLegend];
    for (const text of [...explained, strings.minutes.i, strings.minutes['?']])
      assert.ok(legend.includes(text), `${text} in ${legend}`);
  });

  it('sizes its cells to the number of nodes and fills the width', async () => {
    await open();
    for (const count of [1, 5, 60, 700, 5000]) {
      await sendNodes(cells(count));
      await page
        .locator('#map .cell')
        .nth(count - 1)
        .waitFor();
      await page.locator('#map .cell').nth(count).waitFor({ state: 'detached' });
      const [frame, first, row] = await page.evaluate<[Box, Box, number]>(`(() => {
        const cells = [...document.querySelectorAll('#map .cell')].map((cell) => cell.getBoundingClientRect());
        return [document.querySelector('#frame').getBoundingClientRect(), cells[0],
          Math.max(...cells.map(({ right }) => right))];
      })()`);
      assert.ok(Math.abs(first.left - frame.left) < 1 && Math.abs(row - frame.right) < 1, `${count} nodes`);
      assert.ok(first.height >= 9 && first.height <= 96, `${first.height} px`);
    }
  });

  it('draws thousands of nodes, updates them in place, and keeps the focus', async () => {
    await open();
    await sendNodes(cells(3000));
    await page.locator('#map .cell').nth(2999).waitFor();
    await page.locator('#map .cell').first().focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    const focused = () => page.evaluate<string>("document.activeElement.getAttribute('aria-label')");
    const before = await focused();
    assert.match(before, /^tvmps_\d+, /);
    await sendNodes(cells(3000, () => 'running'));
    await page.locator('#legend', { hasText: 'running: 3000' }).waitFor();
    const after = await focused();
    assert.equal(after.split(',')[0], before.split(',')[0]);
    await page.keyboard.press('Enter');
    assert.deepEqual((await received()).at(-1), { type: 'reveal', id: before.split(',')[0] });
    await page.keyboard.press('End');
    assert.match(await focused(), /^tvmps_2999, /);
    await sendNodes(cells(2));
    await page.locator('#map .cell').nth(2).waitFor({ state: 'detached' });
  });

  it('keeps the place in its table while nodes change, come and go', async () => {
    await open();
    await sendNodes(cells(7));
    await page.getByRole('button', { name: 'Show as Table' }).click();
    await page.locator('#table tbody tr').nth(6).waitFor();
    assert.equal(await page.locator('#table tbody tr').count(), 7);
    await page.getByRole('button', { name: 'tvmps_3' }).focus();
    await sendNodes(cells(9, () => 'running').slice(2));
    await page.getByRole('button', { name: 'tvmps_8' }).waitFor();
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'tvmps_3');
    await page.locator('#table tr', { hasText: 'tvmps_3' }).getByText('2/2').waitFor();
    await page.keyboard.press('Enter');
    assert.deepEqual((await received()).at(-1), { type: 'reveal', id: 'tvmps_3' });
    assert.deepEqual(await violations(), []);
    await page.screenshot({ path: `${pictures}/heatMap-table.png` });
  });

  it('describes color and marks in words', async () => {
    await open();
    await sendNodes(cells(7));
    await page.locator('#map .cell').nth(6).waitFor();
    const labels = await page.evaluate<string[]>(
      "[...document.querySelectorAll('#map .cell')].map((cell) => cell.getAttribute('aria-label'))",
    );
    assert.ok(labels.every((label, index) => label.includes(states[index] ?? '')));
    assert.equal(
      labels[1],
      'tvmps_1, running, Spot, 2 of 2 slots running, 25 minutes running, 15 minutes idle',
    );
  });

  it('tells a screen reader of changed numbers, not of every refresh', async () => {
    await open();
    await page.evaluate(`
      window.announced = [];
      new MutationObserver(() => window.announced.push(document.querySelector('[role=status]').textContent))
        .observe(document.querySelector('[role=status]'), { childList: true, characterData: true, subtree: true });`);
    for (let refresh = 0; refresh < 5; refresh++) await sendNodes(cells(7), `as of ${refresh}`);
    await page.getByText('as of 4').waitFor();
    const announced = await page.evaluate<string[]>('window.announced');
    assert.equal(announced.length, 1);
    assert.match(announced[0] ?? '', /^idle: 1, running: 1/);
    const live = await page.evaluate(
      "document.querySelectorAll('[aria-live], [role=status], [role=alert]').length",
    );
    assert.equal(live, 1);
  });

  it('opens the stderr of a failed start task', async () => {
    await open();
    await sendNodes(cells(7));
    await page.locator('#map .cell').first().focus();
    const button = page.getByRole('button', { name: strings.showStartTaskLog });
    assert.equal(await button.isVisible(), false);
    for (let step = 0; step < 3; step++) await page.keyboard.press('ArrowRight');
    await button.click();
    assert.deepEqual((await received()).at(-1), { type: 'showStartTaskLog', id: 'tvmps_3' });
  });

  it('keeps what it showed while the service cannot be reached, and says so', async () => {
    await open();
    await sendNodes(cells(5), '5 nodes');
    await send({ type: 'problem', text: 'It cannot be reached.' });
    await page.locator('#status', { hasText: 'It cannot be reached.' }).waitFor();
    assert.equal(await page.locator('#map .cell').count(), 5);
  });

  it('shows the name of a node as text', async () => {
    await open();
    const [cell] = cells(1) as [Cell];
    await sendNodes([{ ...cell, id: '<img src=x onerror=alert(1)>' }], '<b>x</b>');
    await page.locator('#map .cell').first().waitFor();
    assert.equal(await page.locator('main img, main b').count(), 0);
  });

  it('keeps the node with the focus in sight while arrow keys lead through a small editor', async () => {
    await open('light', 320);
    await page.setViewportSize({ width: 320, height: 400 });
    await sendNodes(cells(300));
    await page.locator('#map [tabindex="0"]').focus();
    const covered: string[] = [];
    for (const key of [
      ...Array<string>(12).fill('ArrowDown'),
      'End',
      ...Array<string>(6).fill('ArrowUp'),
      'Home',
    ]) {
      await page.keyboard.press(key);
      const seen = await page.evaluate<string>(`(() => {
        const { left, top, right, bottom } = document.activeElement.getBoundingClientRect();
        const at = (y) => document.elementFromPoint((left + right) / 2, y)?.closest('[data-index]');
        return [at(top + 2), at(bottom - 2)].every((one) => one === document.activeElement) ? '' : [top, bottom].join();
      })()`);
      if (seen) covered.push(`${key}: ${seen}`);
    }
    assert.deepEqual(covered, []);
    const height = await page.evaluate<number>("document.getElementById('details').offsetHeight");
    assert.ok(height <= 200, `the details take ${height} of 400 pixels`);
  });

  it('fits an editor of 320 pixels, as a map and as a table', async () => {
    await open('light', 320);
    await page.evaluate(`document.querySelector('h1').textContent = 'Nodes of ${'pool-name_'.repeat(6)}'`);
    await sendNodes(
      cells(12).map((cell) => ({ ...cell, id: `tvmps_${'0123456789abcdef'.repeat(4)}_${cell.id}_d` })),
      '12 nodes, as of 12:34:56',
    );
    await page.locator('#map .cell').nth(11).waitFor();
    await page.locator('#map .cell').nth(3).hover();
    await page.getByRole('button', { name: strings.showStartTaskLog }).waitFor();
    const width = () => page.evaluate<number>('document.documentElement.scrollWidth');
    await page.screenshot({ path: `${pictures}/heatMap-narrow.png`, fullPage: true });
    assert.equal(await width(), 320);
    await page.getByRole('button', { name: 'Show as Table' }).click();
    await page.locator('#table tbody tr').nth(11).waitFor();
    await page.screenshot({ path: `${pictures}/heatMap-narrow-table.png`, fullPage: true });
    assert.equal(await width(), 320);
    assert.equal(await page.getByRole('row').count(), 13);
    assert.deepEqual(await violations(), []);
  });

  for (const theme of Object.keys(themes) as (keyof typeof themes)[]) {
    it(`can be read in ${theme}, by axe-core’s measure`, async () => {
      await open(theme);
      for (const count of [5, 140]) {
        await sendNodes(cells(count), `${count} nodes, as of now`);
        await page
          .locator('#map .cell')
          .nth(count - 1)
          .waitFor();
        await page.locator('#map .cell').nth(3).hover();
        await page.getByRole('button', { name: strings.showStartTaskLog }).waitFor();
        assert.deepEqual(await violations(), []);
        await page.screenshot({ path: `${pictures}/heatMap-${theme}-${count}.png` });
      }
    });
  }
});
