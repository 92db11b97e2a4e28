import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { BatchServiceClient, BatchSharedKeyCredentials } from '@azure/batch';
import { BlobServiceClient } from '@azure/storage-blob';
import { parse } from 'yaml';
import { assembleService } from '../../scripts/standalone.mjs';
import { temporaryFolder } from '../media';

describe('The standalone archive of the local Batch service', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let child: ChildProcess | undefined;

  before(async () => {
    folder = await temporaryFolder('standalone');
    assembleService(folder.path, '1.2.3');
  });

  after(async () => {
    child?.kill('SIGKILL');
    await folder.remove();
  });

  it('starts outside the project with Node only, serves signed requests, and stops on SIGTERM', async () => {
    const { child: started, line, shown } = await start();
    const { batchUrl } = JSON.parse(line) as { batchUrl: string };
    const credentials = JSON.parse(readFileSync(join(folder.path, 'data/credentials.json'), 'utf8'));
    const { batchName, batchKey, storageKey } = credentials;
    const client = new BatchServiceClient(new BatchSharedKeyCredentials(batchName, batchKey), batchUrl);
    assert.deepEqual([...(await client.pool.list())], []);
    assert.ok(!shown().includes(batchKey) && !shown().includes(storageKey), 'a key is printed');
    const again = spawn(process.execPath, ['start.mjs', `--data-dir=${join(folder.path, 'data')}`], {
      env: bareEnvironment(),
      cwd: folder.path,
    });
    let told = '';
    again.stderr.on('data', (chunk) => {
      told += chunk;
    });
    assert.deepEqual(await once(again, 'close'), [0, null]);
    assert.match(told, /running already, as process \d+/);
    started.kill('SIGTERM');
    const [code] = await once(started, 'exit');
    assert.equal(code, 0);
  });

  it('lists its options', async () => {
    const help = spawn(process.execPath, ['start.mjs', '--help'], {
      cwd: folder.path,
      env: bareEnvironment(),
    });
    let text = '';
    help.stdout.on('data', (chunk) => {
      text += chunk;
    });
    const [code] = await once(help, 'close');
    assert.equal(code, 0);
    for (const option of ['--data-dir', '--port', '--idle-minutes', 'Container engine on this machine'])
      assert.ok(text.includes(option), option);
  });

  it('starts in a workflow by the step in docs/batch-programs.md, which sets the variables of later steps', async () => {
    const work = join(folder.path, 'workflow');
    mkdirSync(work);
    const archive = join(work, 'local-batch-service-1.2.3.tar.gz');
    execFileSync('tar', ['-czf', archive, '--exclude', './workflow', '--exclude', './data', '.'], {
      cwd: folder.path,
    });
    const variables = join(work, 'github-env');
    execFileSync('bash', ['-e', '-c', workflowStep()], {
      cwd: work,
      env: { ...bareEnvironment(), GITHUB_ENV: variables },
      stdio: 'ignore',
    });
    const { pid } = JSON.parse(readFileSync(join(work, 'service.json'), 'utf8'));
    try {
      const set = new Map(
        readFileSync(variables, 'utf8')
          .trim()
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      );
      const key = new BatchSharedKeyCredentials(
        set.get('AZURE_BATCH_ACCOUNT') ?? '',
        set.get('AZURE_BATCH_ACCESS_KEY') ?? '',
      );
      const client = new BatchServiceClient(key, set.get('AZURE_BATCH_ENDPOINT') ?? '');
      assert.deepEqual([...(await client.job.list())], []);
      const storage = BlobServiceClient.fromConnectionString(
        set.get('AZURE_STORAGE_CONNECTION_STRING') ?? '',
      );
      await storage.getContainerClient('from-a-workflow').create();
    } finally {
      process.kill(pid, 'SIGTERM');
    }
  });

  async function start(): Promise<{ child: ChildProcess; line: string; shown: () => string }> {
    child = spawn(process.execPath, ['start.mjs'], {
      cwd: folder.path,
      env: bareEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let shown = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (shown += chunk));
    const [line] = await once(createInterface(child.stdout as NodeJS.ReadableStream), 'line');
    return { child, line, shown: () => shown };
  }
});

/** The shell script of the documented step. */
function workflowStep(): string {
  const page = readFileSync('docs/batch-programs.md', 'utf8');
  const [, step] = /```yaml\n(- name: Start the local Batch service\n[\s\S]*?)```/.exec(page) ?? [];
  const [parsed] = parse(step ?? '') as { run: string }[];
  return parsed?.run ?? '';
}

/** What a login shell has at least: no variable of this project or of npm. */
function bareEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: process.env.HOME };
}
