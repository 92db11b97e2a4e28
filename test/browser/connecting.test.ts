import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { becomesTrue, repeat, Workbench } from '../../scripts/workbench.mjs';
import { AzureStandIn, azure } from '../azure/standIn';
import { certificate } from '../azure/tokenStorage';
import { clip, probe } from '../media';
import { deleting } from './connectedWorkbench';

const pictures = 'out/test-artifacts';

describe('Connecting to Azure through a proxy', () => {
  const root = mkdtempSync(join(tmpdir(), 'transcode-connect-'));
  const folder = join(root, 'videos');
  const dataDir = join(root, 'vscode');
  let standIn: AzureStandIn;
  let workbench: Workbench;
  /** How the account is connected now. Each test connects it in the way that it needs, unless an earlier one did. */
  let signIn: 'microsoft' | 'environment' | 'keys' | undefined;
  /** The name of the account in the views. */
  let label: string = azure.batch;
  let hasRun = false;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    mkdirSync(folder);
    for (const name of ['one.mp4', 'two.mp4', 'three.mp4']) await clip(join(folder, name));
    standIn = await AzureStandIn.start(join(root, 'azure'));
    workbench = await Workbench.open(folder, {
      dataDir,
      extensions: [resolve('.'), resolve('test/azure/provider')],
      settings: { 'http.proxy': standIn.proxyUrl },
      env: {
        NODE_EXTRA_CA_CERTS: certificate,
        AZURE_TENANT_ID: azure.tenant,
        AZURE_CLIENT_ID: '00000000-0000-0000-0000-00000000000c',
        AZURE_CLIENT_SECRET: 'right-secret',
      },
    });
  });

  after(async () => {
    await workbench?.close();
    await standIn?.close();
    rmSync(root, deleting);
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    await workbench.screenshot(pictures, `connecting-${this.currentTest.title.replace(/\W+/g, '-')}`);
  });

  const report = () => workbench.webview();

  /** The report of Check Connection, with every step that could be tried done. */
  async function isChecked(): Promise<string> {
    await workbench.toast(`Connected to ${label}`).waitFor();
    await report().getByText('Upload and download a test blob').first().waitFor();
    const text = (await report().locator('body').textContent()) ?? '';
    assert.doesNotMatch(text, /✗/);
    await workbench.run('Notifications: Clear All Notifications');
    await workbench.run('View: Close All Editors');
    return text;
  }

  async function signedIn(): Promise<void> {
    if (signIn === 'microsoft') return;
    await workbench.run('Azure Batch: Connect an Azure Batch Account…');
    await workbench.pick('Sign in with Microsoft');
    await workbench.page.getByRole('button', { name: 'Allow' }).click();
    await workbench.pick('Contoso');
    await workbench.pick(azure.storage);
    await isChecked();
    signIn = 'microsoft';
  }

  async function connectedByKeys(): Promise<void> {
    if (signIn === 'keys') return;
    const { batchKey, storageKey } = standIn.service.credentials;
    await workbench.run('Azure Batch: Connect an Azure Batch Account…');
    await workbench.pick('Account keys');
    await workbench.answer('URL of the Batch account', azure.batchUrl);
    await workbench.answer('Access key of the Batch account', batchKey);
    await workbench.answer('Name of its storage account', azure.storage);
    await workbench.answer('Access key of the storage account', storageKey);
    await isChecked();
    signIn = 'keys';
  }

  async function connectedByEnvironment(): Promise<void> {
    if (signIn === 'environment') return;
    await workbench.run('Azure Batch: Connect an Azure Batch Account…');
    await workbench.pick('Azure CLI, environment, or managed identity');
    await workbench.pick('portal.azure.com');
    await workbench.pick(azure.storage);
    await isChecked();
    signIn = 'environment';
  }

  /** Connects the account in any way. */
  async function connected(): Promise<void> {
    if (signIn === undefined) await connectedByKeys();
  }

  /** Transcodes a file on the account, which then has a pool and a job. */
  async function transcode(name: string): Promise<void> {
    await workbench.rightClick(name);
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('MP3 audio');
    await workbench.quickPick('About').first().waitFor();
    await workbench.quickPick('Transcode').first().click();
    await workbench.toast('1 of 1 transcoded').waitFor();
    await workbench.run('Notifications: Clear All Notifications');
    hasRun = true;
  }

  async function transcoded(): Promise<void> {
    if (!hasRun) await transcode('one.mp4');
  }

  it('signs in with Microsoft and finds the accounts, although one directory refuses', async () => {
    await workbench.run('Azure Batch: Connect an Azure Batch Account…');
    await workbench.pick('Sign in with Microsoft');
    await workbench.page.getByRole('button', { name: 'Allow' }).click();
    await workbench.pick('Fabrikam');
    await workbench.quickPick('multifactor authentication').first().waitFor();
    await workbench.screenshot(pictures, 'connect-refused');
    await workbench.pick('Go back');
    await workbench.pick('Contoso');
    await workbench.quickPick('Linked to the Batch account').first().waitFor();
    await workbench.screenshot(pictures, 'connect-storage');
    await workbench.pick(azure.storage);
    const text = await isChecked();
    signIn = 'microsoft';
    assert.match(text, /Quota.*Spot cores: 100, dedicated cores: 20/);
    assert.deepEqual(standIn.strangers, []);
  });

  it('shows the time and the price, then transcodes on the account', async () => {
    await signedIn();
    await workbench.rightClick('one.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('MP3 audio');
    await workbench
      .quickPick(/About \d+ minutes? and (less than )?\$[\d.]+ on 1 Spot node; at most \$[\d.]+\./)
      .first()
      .waitFor();
    await workbench.screenshot(pictures, 'review-azure');
    await workbench.quickPick('Transcode').first().click();
    await workbench.toast('1 of 1 transcoded').waitFor();
    assert.ok(Math.abs((await probe(join(folder, 'one.mp3'))).seconds - 1) < 0.1);
    assert.ok(standIn.seen.some(({ host, scheme }) => host === azure.batchHost && scheme === 'Bearer'));
    await workbench.run('Notifications: Clear All Notifications');
    hasRun = true;
  });

  /** Opens the pools of the account in the tree. */
  async function openPools(): Promise<void> {
    await workbench.expand(azure.batchHost);
    await workbench.expand('Pools');
  }

  const pool = () => workbench.treeItem(/trans\w*…/);

  it('asks to sign in again when the session is no longer valid, and continues', async () => {
    await signedIn();
    await transcoded();
    await openPools();
    await pool().waitFor();
    standIn.revokeTokens();
    await workbench.run('Azure Batch: Refresh');
    await workbench.treeItem('AuthenticationFailed').waitFor();
    await workbench.screenshot(pictures, 'tree-refused');
    await workbench.run('Azure Batch: Update Credentials…');
    await workbench.page.getByRole('button', { name: 'Allow' }).click();
    await pool().waitFor();
    await workbench.run('Test: Sign Out');
    await workbench.treeItem('signed out').waitFor();
    await workbench.screenshot(pictures, 'tree-signed-out');
    await workbench.run('Azure Batch: Update Credentials…');
    await workbench.page.getByRole('button', { name: 'Allow' }).click();
    await pool().waitFor();
  });

  it('waits when the session ends during a run, and continues after Sign In without sending anything twice', async () => {
    await signedIn();
    await transcoded();
    const batch = standIn.service.client();
    const [{ id: poolId = '' } = {}] = await batch.pool.list();
    // The only node is busy, so that the task of the run waits.
    await batch.job.add({ id: 'busy', poolInfo: { poolId } });
    await batch.task.add('busy', { id: 'busy', commandLine: 'sleep 600' });
    standIn.seen.length = 0;
    const sent = (method: string, path: RegExp) =>
      standIn.seen.filter((seen) => seen.method === method && path.test(seen.path)).length;
    await workbench.rightClick('three.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('MP3 audio');
    await workbench.quickPick('Transcode').first().click();
    assert.ok(await becomesTrue(async () => sent('PATCH', /\/jobs\/transcode-/) > 0, 60_000));
    await workbench.run('Test: Sign Out');
    await workbench.toast('The run continues after you sign in.').waitFor();
    await workbench.openView('Azure Batch');
    await workbench.treeItem('waiting for sign-in: 0 of 1 done').waitFor();
    await workbench.screenshot(pictures, 'run-waits');
    await workbench.press('The run continues after you sign in.', 'Sign In');
    await workbench.page.getByRole('button', { name: 'Allow' }).click();
    await batch.task.terminate('busy', 'busy');
    await workbench.toast('1 of 1 transcoded').waitFor();
    assert.ok(Math.abs((await probe(join(folder, 'three.mp3'))).seconds - 1) < 0.1);
    assert.equal(sent('POST', /\/jobs$/), 1);
    assert.equal(sent('POST', /addtaskcollection$/), 1);
    await batch.job.deleteMethod('busy');
    await workbench.run('Notifications: Clear All Notifications');
    await openPools();
  });

  it('renames the account, which keeps its name when it is connected again', async () => {
    await connected();
    await workbench.openView('Azure Batch');
    await workbench.openMenu(workbench.treeItem(azure.batchHost));
    await workbench.choose('Rename Account…');
    await workbench.retype('Videos');
    await workbench.treeItem('Videos').waitFor();
    label = 'Videos';
    await connectedByEnvironment();
  });

  it('connects by the variables of the environment, and says why if they are wrong', async () => {
    await connectedByEnvironment();
    await transcoded();
    standIn.refusesSecrets = true;
    await workbench.reload();
    await openPools();
    await workbench.treeItem('AADSTS7000215').click();
    await workbench.press('AADSTS7000215', 'Update Credentials…');
    await workbench.toast(`${label} uses the sign-in of the Azure CLI`).waitFor();
    await workbench.run('Notifications: Clear All Notifications');
    standIn.refusesSecrets = false;
    await workbench.run('Azure Batch: Refresh');
    await pool().waitFor();
  });

  it('connects by keys, and checks each one as it is entered', async () => {
    const { batchKey, storageKey } = standIn.service.credentials;
    await workbench.run('Azure Batch: Connect an Azure Batch Account…');
    await workbench.pick('Account keys');
    await workbench.answer('URL of the Batch account', 'not a URL');
    await workbench.page.getByText('Enter the URL of a Batch account').first().waitFor();
    await workbench.retype(` ${azure.batchHost}/ `);
    await workbench.answer('Access key of the Batch account', 'short');
    await workbench.page.getByText('88 characters of Base64').first().waitFor();
    await workbench.screenshot(pictures, 'connect-key-wrong');
    await workbench.retype(Buffer.alloc(64, 7).toString('base64'));
    await workbench.page.getByRole('button', { name: 'Back' }).click();
    await workbench.page
      .locator('.quick-input-widget:visible', { hasText: 'Access key of the Batch account' })
      .waitFor();
    await workbench.input.press('Enter');
    await workbench.answer('Name of its storage account', azure.storage.toUpperCase());
    await workbench.answer('Access key of the storage account', storageKey);
    await workbench.page.getByText('The key is wrong or was regenerated').first().waitFor();
    await workbench.screenshot(pictures, 'connect-keys-refused');
    await workbench.page.getByRole('button', { name: 'Edit Details' }).click();
    await workbench.page
      .locator('.quick-input-widget:visible', { hasText: 'URL of the Batch account' })
      .waitFor();
    await workbench.input.press('Enter');
    await workbench.answer('Access key of the Batch account', `"${batchKey}"\n`);
    await workbench.page
      .locator('.quick-input-widget:visible', { hasText: 'Name of its storage account' })
      .waitFor();
    await workbench.input.press('Enter');
    await workbench.answer(
      'Access key of the storage account',
      `AccountName=${azure.storage};AccountKey=${storageKey}`,
    );
    await isChecked();
    signIn = 'keys';
    await transcode('two.mp4');
  });

  it('asks for new keys once the old ones are refused', async () => {
    await connectedByKeys();
    await transcoded();
    const { batchKey, storageKey } = standIn.service.credentials;
    await openPools();
    await pool().waitFor();
    standIn.refusesKeys = true;
    await workbench.run('Azure Batch: Refresh');
    await workbench.treeItem('AuthenticationFailed').waitFor();
    await workbench.run('Azure Batch: Update Credentials…');
    await workbench.answer('Access key of the Batch account', batchKey);
    await workbench.answer('Access key of the storage account', storageKey);
    const keep = workbench.page.getByRole('button', { name: 'Save Anyway' });
    await keep.waitFor();
    standIn.refusesKeys = false;
    await keep.click();
    await pool().waitFor();
  });

  it('asks for keys that are missing, and continues what was asked for', async () => {
    await connectedByKeys();
    await transcoded();
    const { batchKey, storageKey } = standIn.service.credentials;
    // Where the workbench keeps what a desktop keeps in the keyring.
    await workbench.page.evaluate("localStorage.removeItem('secrets.provider')");
    await workbench.reload();
    await workbench.run('Azure Batch: Clean Up…');
    await workbench.press(`The keys of ${label} aren't in VS Code's secret storage`, 'Enter Keys…');
    await workbench.answer('Access key of the Batch account', batchKey);
    await workbench.answer('Access key of the storage account', storageKey);
    await workbench.quickPick('transcode-').first().waitFor();
    await workbench.dismiss();
  });

  it('changes the setting with the account of a workspace only when asked, which can be undone', async () => {
    await connected();
    const file = join(folder, '.vscode/settings.json');
    const others = { 'batchTranscode.account': 'team.westeurope.batch.azure.com' };
    mkdirSync(join(folder, '.vscode'), { recursive: true });
    writeFileSync(file, JSON.stringify(others));
    const settings = () => JSON.parse(readFileSync(file, 'utf8'));
    const become = (account: string) =>
      repeat(`The setting is ${account}`, async (wait) =>
        becomesTrue(async () => settings()['batchTranscode.account'] === account, wait),
      );
    const keep = workbench.quickPick('Keep team.westeurope.batch.azure.com');
    await repeat('VS Code knows the setting that another program wrote', async (wait) => {
      await workbench.run('Azure Batch: Use the Local Batch Account');
      await workbench.quickPick('Keep').first().waitFor({ timeout: wait });
      if ((await keep.count()) > 0) return true;
      await workbench.dismiss();
      return false;
    });
    await workbench.screenshot(pictures, 'connect-keep');
    await workbench.dismiss();
    assert.deepEqual(settings(), others);
    await workbench.run('Azure Batch: Choose the Account for This Workspace…');
    await workbench.pick(label);
    await become(azure.batchHost);
    assert.deepEqual(Object.keys(settings()), ['batchTranscode.account']);
    await workbench.press(`This workspace uses the account ${label}`, 'Undo');
    await become(others['batchTranscode.account']);
    await workbench.run('Azure Batch: Choose the Account for This Workspace…');
    await workbench.pick(label);
    await become(azure.batchHost);
    await workbench.run('Azure Batch: Try with a Sample Video');
    await workbench.page.getByText('Transcode sample.mp4 on Local Batch account').first().waitFor();
    await workbench.dismiss();
    await workbench.openView('Azure Batch');
    await workbench.run('Azure Batch: Remove Account…');
    await workbench.pick('Local Batch account');
    await workbench.page.getByRole('button', { name: 'Remove' }).click();
    await workbench.treeItem('Local Batch account').waitFor({ state: 'hidden' });
  });

  it('cleans up, and forgets the account with its keys', async () => {
    await connected();
    await transcoded();
    const jobs = (await standIn.service.client().job.list()).length;
    await workbench.run('Azure Batch: Clean Up…');
    await workbench.quickPick('transcode-').first().waitFor();
    await workbench.screenshot(pictures, 'clean-up');
    await workbench.page.getByRole('button', { name: 'OK' }).click();
    const dialog = workbench.page.locator('.monaco-dialog-box');
    await dialog.getByText(`To be deleted: ${jobs === 1 ? '1 job' : `${jobs} jobs`}, 1 pool`).waitFor();
    await workbench.screenshot(pictures, 'clean-up-confirm');
    await dialog.getByRole('button', { name: /^Delete \d+ Resources$/ }).click();
    await workbench.toast(/Deleted \d+ resources/).waitFor();
    await workbench.openView('Azure Batch');
    await workbench.run('Azure Batch: Remove Account…');
    await workbench.pick(label);
    await workbench.page.getByRole('button', { name: 'Remove' }).click();
    await workbench.page.getByText('Connect an Azure Batch account').first().waitFor();
    signIn = undefined;
    label = azure.batch;
    hasRun = false;
  });

  it('wrote no secret to a file', async () => {
    await connected();
    const { batchKey, storageKey } = standIn.service.credentials;
    for (const name of readdirSync(root, { recursive: true }).map(String)) {
      const path = join(root, name);
      // VS Code and the service are running: what they delete meanwhile holds nothing.
      if (!statSync(path, { throwIfNoEntry: false })?.isFile()) continue;
      const bytes = readFileSync(path);
      for (const secret of [batchKey, storageKey, 'right-secret', 'sig=', ...standIn.tokens])
        assert.ok(!bytes.includes(secret), `${name} holds ${secret.slice(0, 12)}`);
    }
  });
});
