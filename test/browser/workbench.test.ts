import assert from 'node:assert/strict';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../../scripts/vscodeServer.mjs';
import { Workbench } from '../../scripts/workbench.mjs';

describe('The driver of a workbench', () => {
  let browser: Browser;
  let page: Page;

  before(async () => {
    browser = await launchBrowser();
  });

  after(() => browser?.close());

  // A page of its own for each test: the names of a script outlive the content of its page.
  beforeEach(async () => {
    page = await browser.newPage();
  });

  afterEach(() => page.close());

  it('selects the item that is asked for, although the list changes under the pointer', async () => {
    // As in VS Code, the elements stay and show other items. Here, they do so whenever the pointer comes, three times.
    await page.setContent(`
      <div class="quick-input-widget"><div class="quick-input-list">
        <div class="monaco-list-row">Keep</div><div class="monaco-list-row">Delete</div>
      </div></div>
      <script>
        const rows = [...document.querySelectorAll('.monaco-list-row')];
        const picked = [];
        let changes = 3;
        for (const row of rows) {
          row.addEventListener('click', () => picked.push(row.textContent));
          row.addEventListener('mousemove', () => {
            if (changes-- <= 0) return;
            const [one, other] = rows.map(({ textContent }) => textContent);
            rows[0].textContent = other;
            rows[1].textContent = one;
          });
        }
      </script>`);
    const workbench = new Workbench(undefined, { page });
    await workbench.pick('keep');
    await workbench.pick(/^Keep$/);
    assert.deepEqual(await page.evaluate('picked'), ['Keep', 'Keep']);
    assert.ok((await page.evaluate<number>('changes')) < 0);
  });

  it('has selected an item that disappears when it is pressed', async () => {
    await page.setContent(`
      <div class="quick-input-widget"><div class="quick-input-list">
        <div class="monaco-list-row">Keep</div>
      </div></div>
      <script>
        const picked = [];
        document.querySelector('.monaco-list-row').addEventListener('mousedown', ({ target }) => {
          picked.push(target.textContent);
          target.remove();
        });
      </script>`);
    await new Workbench(undefined, { page }).pick('Keep');
    assert.deepEqual(await page.evaluate('picked'), ['Keep']);
  });
});
