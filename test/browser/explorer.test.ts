import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Locator } from 'playwright-core';
import { patienceMs } from '../../scripts/vscodeServer.mjs';
import { becomesTrue, repeat } from '../../scripts/workbench.mjs';
import { madeBy } from '../../src/core/azure/ownership';
import { eventually } from '../service/harness';
import { addJob, addPool, type ConnectedWorkbench, connectedWorkbench } from './connectedWorkbench';

const pictures = 'out/test-artifacts';

describe('The Accounts view', () => {
  let connected: ConnectedWorkbench;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    // Auto Save only keeps the text of a formula.
    connected = await connectedWorkbench({
      settings: { 'files.autoSave': 'afterDelay', 'files.autoSaveDelay': 100 },
    });
    await connected.workbench.openView('Azure Batch');
    await collapseTranscodes();
  });

  after(() => connected?.close());

  afterEach(async function () {
    if (this.currentTest?.state === 'failed')
      await connected.workbench.screenshot(pictures, this.currentTest.title.replace(/\W+/g, '-'));
    else await emptyAccount();
  });

  /** Deletes what a test made, so that no test depends on another one. */
  async function emptyAccount(): Promise<void> {
    const { batch, blobs, workbench } = connected;
    for (const { id = '' } of await batch.job.list()) await batch.job.deleteMethod(id);
    for (const { id = '' } of await batch.pool.list()) await batch.pool.deleteMethod(id);
    for await (const { name } of blobs.listContainers()) await blobs.deleteContainer(name);
    await eventually(
      async () => (await batch.job.list()).length + (await batch.pool.list()).length,
      (left) => left === 0,
    );
    await workbench.run('Azure Batch: Refresh');
  }

  /** Gives the rows of the Accounts view the whole sidebar. */
  async function collapseTranscodes(): Promise<void> {
    const header = connected.workbench.page.locator('.pane-header', { hasText: 'Transcodes' }).first();
    const isCollapsed = async () => (await header.getAttribute('aria-expanded')) === 'false';
    await repeat('The Transcodes view is collapsed', async (wait) => {
      if (await isCollapsed()) return true;
      await header.click({ timeout: wait });
      return becomesTrue(isCollapsed, wait);
    });
  }

  /** The rows of the Accounts view, as a screen reader hears them. */
  function spokenRows(): Promise<string[]> {
    return connected.workbench.page.evaluate(
      "[...document.querySelectorAll('.sidebar [role=treeitem]')].map((row) => row.getAttribute('aria-label'))",
    );
  }

  /** Expands a pool that was just made. */
  async function showNodes(pool: string): Promise<void> {
    const { workbench } = connected;
    await workbench.expand('Pools');
    await workbench.run('Azure Batch: Refresh');
    await workbench.treeItem(new RegExp(`^${pool}steady`)).waitFor();
    await workbench.expand(pool);
  }

  async function dialogButton(name: string): Promise<void> {
    await connected.workbench.page
      .locator('.monaco-dialog-box')
      .getByRole('button', { name, exact: true })
      .click();
  }

  /** Moves the pointer off the rows, so that no hover covers them. */
  async function away(): Promise<void> {
    await connected.workbench.page.mouse.move(800, 600);
    await connected.workbench.page.locator('.workbench-hover:visible').waitFor({ state: 'detached' });
  }

  it('lists the newest jobs first when there are more than a page of them', async () => {
    const { workbench, batch } = connected;
    await addPool(batch, 'pool-jobs', 0);
    // One after the other: their order is what is tested.
    for (let index = 0; index < 130; index++)
      await batch.job.add({ id: `job-${String(index).padStart(3, '0')}`, poolInfo: { poolId: 'pool-jobs' } });
    await workbench.expand('Jobs');
    await workbench.treeItem('job-129').waitFor();
    const rows = (await spokenRows()).filter((row) => row.includes(', job, '));
    assert.match(rows[0] ?? '', /^job-129, job, active/);
    assert.match(rows[1] ?? '', /^job-128, job/);
    await workbench.scrollTo('100 of 130 shown', 'End');
    await workbench.treeItem('100 of 130 shown').click();
    await workbench.treeItem('job-029').waitFor();
    await workbench.treeItem('job-029').click();
    await workbench.scrollTo('job-000', 'End');
    await workbench.scrollTo('localbatch', 'Home');
  });

  it('shows changes of other clients, without a run and without a click', async () => {
    const { workbench, batch } = connected;
    await addPool(batch, 'pool-one', 0);
    await workbench.expand('Pools');
    await workbench.expand('Jobs');
    await workbench.run('Azure Batch: Refresh');
    await workbench.treeItem(/^pool-onesteady · 0 nodes/).waitFor();
    await batch.pool.resize('pool-one', { targetDedicatedNodes: 3, targetLowPriorityNodes: 0 });
    await workbench.treeItem(/^pool-onesteady · 3 nodes/).waitFor();
    await workbench.expand('pool-one');
    await workbench.treeItem(/^tvm….*idle · dedicated/).waitFor();
    await addJob(batch, 'job-one', 'pool-one', [
      '/bin/bash -c "exit 3"',
      '/bin/bash -c "sleep 3600"',
      '/bin/true',
    ]);
    await workbench.treeItem(/^job-oneactive · 1 failed · 2\/3/).waitFor();
    await workbench.treeItem(/^tvm….*running · dedicated · 1 task/).waitFor();
    await workbench.screenshot(pictures, 'explorer-running');
  });

  it('asks for few lists while something runs, and for none while it is hidden', async () => {
    const { workbench, batch, proxy } = connected;
    await addPool(batch, 'pool-busy', 1);
    await addJob(batch, 'job-busy', 'pool-busy', ['/bin/bash -c "sleep 3600"']);
    await showNodes('pool-busy');
    await workbench.treeItem(/^tvm….*running · dedicated · 1 task/).waitFor();
    const count = async () => {
      const [before, began] = [proxy.requests.length, performance.now()];
      await new Promise((resolve) => setTimeout(resolve, 12_000));
      const seconds = (performance.now() - began) / 1000;
      return { requests: proxy.requests.length - before, seconds };
    };
    const before = proxy.requests.length;
    await eventually(
      async () => proxy.requests.length,
      (now) => now > before,
      120,
    );
    const shown = await count();
    // The budget, and one round of what is expanded.
    assert.ok(shown.requests <= shown.seconds + 12, `${shown.requests} requests in ${shown.seconds} s`);
    await workbench.openView('Explorer');
    // The first of these may see the end of a round that had begun.
    await eventually(count, ({ requests }) => requests === 0, 120);
    await workbench.openView('Azure Batch');
  });

  it('acts on the nodes of all pools that are selected', async () => {
    const { workbench, batch } = connected;
    await addPool(batch, 'pool-first', 3);
    await addPool(batch, 'pool-second', 2);
    await showNodes('pool-first');
    const nodes = workbench.page.locator('.sidebar [role=treeitem]', { hasText: 'tvm…' });
    await repeat('The nodes of both pools are shown', async (wait) => {
      await showNodes('pool-second');
      return becomesTrue(async () => (await nodes.count()) === 5, wait);
    });
    await nodes.nth(0).click();
    await workbench.setSelected(nodes.nth(4), true);
    await workbench.openMenu(nodes.nth(4));
    await workbench.choose('Remove from Pool…');
    const dialog = workbench.page.locator('.monaco-dialog-box');
    await dialog.getByText('Remove 2 nodes from 2 pools?').waitFor();
    await workbench.screenshot(pictures, 'explorer-remove');
    await dialogButton('Remove');
    await eventually(
      async () => Promise.all(['pool-first', 'pool-second'].map((id) => batch.computeNode.list(id))),
      (lists) => lists.map(({ length }) => length).join() === '2,1',
    );
    await workbench.treeItem(/^pool-secondsteady · 1 node$/).waitFor();
  });

  it('asks before it stops what runs, and names it', async () => {
    const { workbench, batch } = connected;
    await addPool(batch, 'pool-stop', 2);
    await addJob(batch, 'job-stop', 'pool-stop', [
      '/bin/bash -c "exit 3"',
      '/bin/bash -c "sleep 3600"',
      '/bin/true',
    ]);
    await workbench.expand('Jobs');
    await showNodes('pool-stop');
    const running = workbench.treeItem(/^tvm….*running · dedicated · 1 task/);
    await running.waitFor();
    await workbench.openMenu(running);
    await workbench.choose('Reboot Node');
    const dialog = workbench.page.locator('.monaco-dialog-box');
    await dialog.getByText('job-stop / task-0001').waitFor();
    await workbench.screenshot(pictures, 'explorer-reboot');
    await dialogButton('Cancel');
    // More jobs than are asked for the names of their tasks: the last of them runs a task on the other node.
    for (let index = 0; index < 20; index++)
      await batch.job.add({ id: `job-a${index}`, poolInfo: { poolId: 'pool-stop' } });
    await addJob(batch, 'job-z', 'pool-stop', ['/bin/bash -c "sleep 3600"']);
    await eventually(
      () => batch.task.get('job-z', 'task-0000'),
      ({ state }) => state === 'running',
    );
    const { nodeInfo } = await batch.task.get('job-z', 'task-0000');
    const other = workbench.page.locator(`.sidebar [aria-label^="${nodeInfo?.nodeId}, node"]`);
    await workbench.openMenu(other);
    await workbench.choose('Disable Task Scheduling');
    await dialog.getByText(/: 1 task running/).waitFor();
    await dialogButton('Cancel');
    // Each job that goes is named, not only those whose tasks end.
    await workbench.setSelected(workbench.treeItem(/^job-a19/), true);
    await workbench.setSelected(workbench.treeItem(/^job-z/), true);
    await workbench.openMenu(workbench.treeItem(/^job-z/));
    await workbench.choose('Delete Job…');
    await dialog.getByText('Delete 2 jobs?').waitFor();
    await dialog.getByText(/job-a19/).waitFor();
    await dialog.getByText(/job-z: 1 task running/).waitFor();
    await dialogButton('Cancel');
    for (const { id = '' } of await batch.job.list()) if (id !== 'job-stop') await batch.job.deleteMethod(id);
    await workbench.run('Azure Batch: Refresh');
    await workbench.treeItem(/^job-z/).waitFor({ state: 'detached' });
    await workbench.openMenu(workbench.treeItem(/^job-stop/));
    await workbench.choose('Terminate Job');
    await dialog.getByText('job-stop: 1 task running').waitFor();
    await dialogButton('Terminate');
    await workbench.treeItem(/^job-stop(terminating|completed) · 2 failed/).waitFor();
    assert.equal((await batch.job.get('job-stop')).executionInfo?.terminateReason, 'UserTerminate');
    await workbench.treeItem(/^job-stopcompleted · 2 failed · 3\/3/).waitFor();
    const icon = workbench.treeItem(/^job-stop/).locator('.codicon-error');
    await icon.waitFor();
  });

  it('edits an autoscale formula in a document and keeps its comments', async () => {
    const { workbench, batch } = connected;
    const formula = '// first line\n$TargetDedicatedNodes = 1; // one\n$TargetLowPriorityNodes = 0;\n';
    await addPool(batch, 'pool-scaled', 0, 0, {
      targetDedicatedNodes: undefined,
      targetLowPriorityNodes: undefined,
      enableAutoScale: true,
      autoScaleFormula: formula,
      autoScaleEvaluationInterval: 'PT5M',
    });
    await workbench.expand('Pools');
    const pool = workbench.treeItem(/^pool-scaled.*autoscale/);
    await workbench.run('Azure Batch: Refresh');
    await workbench.openMenu(pool);
    await workbench.choose('Autoscale…');
    await workbench.pick('Edit the Formula…');
    const editor = workbench.page.locator('.monaco-editor .view-lines', { hasText: 'first' });
    await editor.click();
    await workbench.page.keyboard.press('ControlOrMeta+End');
    // Keys one by one may accept suggestions, which come when they come.
    await workbench.page.keyboard.insertText('$TargetDedicatedNodes = nonsense(');
    await editor.filter({ hasText: 'nonsense(' }).waitFor();
    let saves = 0;
    // VS Code joins a save by the user with one by Auto Save that is running: then the user saves again.
    const saveUntilShown = (shown: Locator) =>
      repeat('The save by the user has its effect', async (wait) => {
        await workbench.page.keyboard.press('ControlOrMeta+s');
        saves++;
        return shown.waitFor({ timeout: Math.max(wait, 20_000) }).then(
          () => true,
          () => false,
        );
      });
    await saveUntilShown(workbench.toast("The formula can't be evaluated"));
    await workbench.screenshot(pictures, 'explorer-formula-wrong');
    await workbench.page.keyboard.press('ControlOrMeta+Shift+k');
    await workbench.page.keyboard.press('ControlOrMeta+End');
    await editor.filter({ hasNotText: 'nonsense(' }).waitFor();
    await workbench.page.keyboard.insertText('\n$TargetDedicatedNodes = 2; // two\n');
    await editor.filter({ hasText: 'two' }).waitFor();
    const dialog = workbench.page.locator('.monaco-dialog-box');
    await saveUntilShown(dialog.getByText('$TargetDedicatedNodes=2'));
    await workbench.screenshot(pictures, 'explorer-formula');
    await dialogButton('Apply');
    await workbench.toast('The formula is applied').waitFor();
    await workbench.run('File: Save without Formatting');
    await dialog.getByText('Apply the formula to pool pool-scaled?').waitFor();
    await dialogButton('Cancel');
    const { autoScaleFormula } = await batch.pool.get('pool-scaled');
    assert.equal(autoScaleFormula, `${formula}$TargetDedicatedNodes = 2; // two\n`);
    const evaluated = connected.proxy.requests.filter((request) => request.includes('/evaluateautoscale'));
    assert.ok(evaluated.length <= saves + 1, 'only what the user saves is evaluated');
    await batch.pool.deleteMethod('pool-scaled');
    await eventually(
      () => batch.pool.exists('pool-scaled'),
      ({ body }) => !body,
    );
    await editor.click();
    await workbench.page.keyboard.press('ControlOrMeta+s');
    await workbench.toast('Pool pool-scaled no longer exists.').waitFor();
    await workbench.run('View: Close All Editors');
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('shows and deletes containers, those of other programs where they are asked for', async () => {
    const { workbench, blobs } = connected;
    if ((await menuOf(/^Storage/)).includes('Show Only Transcode Containers')) {
      await workbench.openMenu(workbench.treeItem('Storage'));
      await workbench.choose('Show Only Transcode Containers');
    }
    await blobs.createContainer('foreign');
    await blobs.createContainer('transcode-own');
    await workbench.expand('Storage');
    await workbench.treeItem('transcode-own').waitFor();
    assert.equal(await workbench.page.locator('.sidebar [role=treeitem]', { hasText: 'foreign' }).count(), 0);
    await workbench.openMenu(workbench.treeItem('Storage'));
    await workbench.choose('Show All Containers');
    await workbench.openMenu(workbench.treeItem('foreign'));
    await workbench.choose('Delete Container…');
    await workbench.page.locator('.monaco-dialog-box').getByText('not made by this extension').waitFor();
    await dialogButton('Delete');
    await workbench.treeItem('foreign').waitFor({ state: 'detached' });
    assert.equal(await blobs.getContainerClient('foreign').exists(), false);
    await workbench.openMenu(workbench.treeItem('Storage'));
    await workbench.choose('Show Only Transcode Containers');
  });

  it('saves files and blobs, also files of equal names into one folder', async () => {
    const { workbench, batch, blobs, folder } = connected;
    await addPool(batch, 'pool-save', 1);
    await addJob(batch, 'job-save', 'pool-save', ['/bin/bash -c "echo one"', '/bin/bash -c "echo two"']);
    const content = Buffer.alloc(100_000, 'content');
    const { containerClient } = await blobs.createContainer('transcode-save');
    await containerClient.uploadBlockBlob('deep/clip.bin', content, content.length);
    await workbench.run('Azure Batch: Refresh');
    for (const row of [/^Storage/, /^transcode-save/]) await workbench.expand(row);
    await workbench.openMenu(workbench.treeItem(/^deep\/clip\.bin/));
    await workbench.choose('Save As…');
    await workbench.input.press('Enter');
    const saved = (name: string) =>
      eventually(
        async () => (existsSync(join(folder, name)) ? readFileSync(join(folder, name)) : undefined),
        (bytes) => bytes !== undefined,
      );
    assert.deepEqual(await saved('clip.bin'), content);
    await workbench.expand('Jobs');
    await workbench.treeItem(/^job-save.*2\/2/).waitFor();
    for (const row of [/^job-save/, /^Succeeded/, /^task-0000/, /^task-0001/]) await workbench.expand(row);
    const logs = workbench.page.locator('.sidebar [role=treeitem]', { hasText: 'stdout.txt' });
    await logs.nth(1).waitFor();
    await workbench.setSelected(logs.nth(0), true);
    await workbench.setSelected(logs.nth(1), true);
    await workbench.openMenu(logs.nth(1));
    await workbench.choose('Save As…');
    await workbench.page.getByRole('button', { name: 'Save Here' }).click();
    assert.equal(String(await saved('task-0000 stdout.txt')), 'one\n');
    assert.equal(String(await saved('task-0001 stdout.txt')), 'two\n');
  });

  it('filters by what the rows show, says so to a screen reader, and never begins with an icon’s name', async () => {
    const { workbench, batch } = connected;
    for (const id of ['pool-north', 'pool-south']) await addPool(batch, id, 0);
    await workbench.expand('Pools');
    await workbench.run('Azure Batch: Refresh');
    await workbench.treeItem(/^pool-north/).waitFor();
    await workbench.pressInRow(workbench.treeItem('Pools'), 'Filter…');
    await workbench.retype('SOUTH');
    await workbench.treeItem(/^pool-north/).waitFor({ state: 'detached' });
    await workbench.treeItem(/^pool-south/).waitFor();
    await workbench.page.locator('.sidebar [role=treeitem][aria-label="Pools, filter: SOUTH"]').waitFor();
    const rows = await spokenRows();
    for (const row of rows) assert.doesNotMatch(row, /^(\$\(|azure|server|error|tasklist|database|circle)/i);
    await workbench.openMenu(workbench.treeItem('Pools'));
    await workbench.choose('Filter…');
    await workbench.retype('');
    await workbench.treeItem(/^pool-north/).waitFor();
  });

  it('runs the commands of the palette with nothing selected', async () => {
    const { workbench, batch } = connected;
    await addPool(batch, 'pool-other', 0);
    await workbench.expand('Pools');
    await workbench.run('Azure Batch: Toggle Task Grouping');
    await workbench.run('Azure Batch: Toggle Task Grouping');
    await workbench.run('Azure Batch: Refresh');
    await workbench.run('Azure Batch: Clean Up…');
    await workbench.toast('has no resources that this extension created').waitFor();
    await workbench.run('Notifications: Clear All Notifications');
    await workbench.treeItem(/^pool-other/).waitFor();
  });

  it('shows a node of the heat map in its list, however long that is', async () => {
    const { workbench, batch } = connected;
    await addPool(batch, 'pool-many', 130, 0, { taskSlotsPerNode: 4 });
    await workbench.expand('Pools');
    const pool = workbench.treeItem(/^pool-manysteady · 130 nodes/);
    await workbench.run('Azure Batch: Refresh');
    await workbench.pressInRow(pool, 'Show Heat Map');
    const frame = workbench.webview();
    const last = frame.locator('#map .cell').nth(129);
    await last.waitFor();
    await workbench.screenshot(pictures, 'heatMap-workbench');
    const [id = ''] = ((await last.getAttribute('aria-label')) ?? '').split(',');
    await last.click();
    const row = workbench.page.locator(`.sidebar [role=treeitem][aria-label^="${id}, node"]`);
    await row.waitFor();
    const selected = row.and(workbench.page.locator('[aria-selected=true]'));
    await selected.waitFor();
    // The list of pools does not show the pool, and then shows it again, as another row.
    await workbench.scrollTo('localbatch', 'Home');
    await workbench.pressInRow(workbench.treeItem('Pools'), 'Filter…');
    await workbench.retype('another');
    await workbench.treeItem('Nothing matches the filter').waitFor();
    await last.click();
    await selected.waitFor();
    // The node goes between the refresh of the map and the click on it.
    connected.proxy.fault = ({ url = '' }, response) => {
      if (!/\/nodes\?.*select=id(&|$)/.test(url)) return false;
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"value":[]}');
      return true;
    };
    await last.click();
    await workbench.toast(`Node ${id} no longer exists.`).waitFor();
    connected.proxy.fault = undefined;
    await workbench.run('Notifications: Clear All Notifications');
    await workbench.run('View: Close All Editors');
    await workbench.scrollTo('localbatch', 'Home');
  });

  it('runs every command of every menu without an unexpected error', async () => {
    const { workbench, batch, blobs } = connected;
    await addPool(batch, 'pool-menu', 1);
    await batch.job.add({ id: 'job-menu', poolInfo: { poolId: 'pool-menu' } });
    await batch.task.add('job-menu', { id: 'task-menu', commandLine: '/bin/bash -c "exit 7"' });
    await blobs.createContainer('transcode-menu');
    await workbench.run('Azure Batch: Refresh');
    for (const row of [/^Pools/, /^pool-menu/, /^Jobs/, /^Storage/]) {
      await away();
      await workbench.expand(row);
    }
    await workbench.treeItem(/^job-menuactive · 1 failed/).waitFor();
    await away();
    await workbench.expand('job-menu');
    const elsewhere = [
      'Clean Up…',
      'Open',
      'Save As…',
      'Fetch Outputs',
      'Enable Job',
      'Terminate Task',
      'Follow a Log…',
      'Enable Task Scheduling',
      'Show Only Transcode Containers',
      'Show All Containers',
      'Open in Azure Portal',
      'Update Credentials…',
      'Use in This Workspace',
      'Reset the Local Batch Account…',
    ];
    const ids = idsOfMenus();
    const missing = new Set([...ids.keys()].filter((title) => !elsewhere.includes(title)));
    const rows = [/^Pools/, /^pool-menu/, /^tvm…/, /^Jobs/, /^Failed/, /^task-menu/];
    // After the changes of an earlier command, a row may lack one of its commands for a while: it is run in a later round.
    for (const end = Date.now() + patienceMs; missing.size > 0 && Date.now() < end; ) {
      for (const row of [...rows, /^job-menu/, /^Storage/, /^transcode-menu/, /^localbatch/]) {
        if (row.source.includes('task-menu')) await workbench.expand(/^Failed/);
        for (const name of await menuOf(row)) {
          await away();
          await workbench.openMenu(workbench.treeItem(row));
          if ((await workbench.menuItem(name).count()) === 0) continue;
          await workbench.runToEnd(ids.get(name) ?? name, () => workbench.choose(name));
          missing.delete(name);
          if (name === 'Open as YAML') await isDocument(/^(id|name):\s/);
          if (name === 'Open as JSON') await isDocument(/^\s*"(id|name)":\s/);
        }
        await workbench.run('View: Close All Editors');
        await workbench.run('Notifications: Clear All Notifications');
        await workbench.openView('Azure Batch');
      }
    }
    assert.deepEqual([...missing], []);
  });

  /** The first lines of the document that is open hold nothing but the resource. */
  async function isDocument(line: RegExp): Promise<void> {
    const lines = connected.workbench.page.locator('.editor-instance .view-line');
    await lines.filter({ hasText: line }).first().waitFor();
    assert.equal(await lines.filter({ hasText: /requestId|eTagHeader|content-type/ }).count(), 0);
  }

  /** The commands in the menu of a row that stay in this window; those that change its state most come last. */
  async function menuOf(row: RegExp): Promise<string[]> {
    const { workbench } = connected;
    await away();
    await workbench.openMenu(workbench.treeItem(row));
    const names: string[] = (await workbench.menuItems.allTextContents()).map((text: string) => text.trim());
    await workbench.closeMenu();
    const last = ['Retry Failed Tasks', 'Reactivate Task', 'Disable Job', 'Terminate Job'];
    const left = ['', 'Open in Azure Portal', 'Update Credentials…'];
    return names
      .filter((name) => !left.includes(name))
      .sort((one, other) => last.indexOf(one) - last.indexOf(other));
  }

  /** The ids of the commands in the menus of rows, without their prefix, by title. */
  function idsOfMenus(): Map<string, string> {
    const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
    const titles = JSON.parse(readFileSync('package.nls.json', 'utf8'));
    const items: { command: string; when: string }[] = manifest.contributes.menus['view/item/context'];
    return new Map(
      items
        .filter(({ when }) => when.includes('batchTranscode.accounts'))
        .map(({ command }) => command.replace('batchTranscode.', ''))
        .map((id) => [titles[`command.${id}`], id]),
    );
  }

  it('offers once, after a window was opened, to clean up what runs left', async () => {
    const { workbench, blobs } = connected;
    const leave = (runId: string) =>
      blobs.createContainer(`transcode-${runId}-input`, {
        metadata: { [madeBy.name]: 'input', [madeBy.run]: runId },
      });
    await leave('20261126-000000-first1');
    await workbench.reload();
    await workbench.toast('A run that did not finish left files').waitFor();
    await workbench.press('A run that did not finish left files', 'Clean Up…');
    await workbench.quickPick('transcode-20261126-000000-first1-input').first().waitFor();
    await workbench.dismiss();
    await leave('20261126-000000-second');
    await workbench.reload();
    await workbench.toast('2 runs that did not finish left files').waitFor();
    await workbench.run('Notifications: Clear All Notifications');
  });
});
