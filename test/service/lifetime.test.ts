import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { startTime } from '../../src/service/tasks/processes/processTree';
import { TestService } from './harness';

/** Sends SIGTERM to a process that may have ended. */
function terminate(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    if ((error as { code?: string }).code !== 'ESRCH') throw error;
  }
}

describe('The life of the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;

  beforeEach(async () => {
    service = await TestService.start();
  });

  afterEach(() => service.close());

  const path = (name: string) => join(service.dataDir, name);

  it('is one for each folder: a second one prints the line of the first, and ends', async () => {
    const args = ['dist/service.js', '--data-dir', service.dataDir];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    assert.deepEqual(JSON.parse(stdout), service.ready);
    assert.equal((await service.request('GET', '/pools?api-version=2025-06-01')).status, 200);
  });

  it('writes no keys, and only files that no other user can read', async () => {
    const { batchKey, storageKey } = service.credentials;
    for (const name of ['service.json', 'service.log', 'service.lock', 'state.jsonl', 'ports.json']) {
      const text = readFileSync(path(name), 'utf8');
      assert.ok(!text.includes(batchKey) && !text.includes(storageKey), name);
      assert.equal(statSync(path(name)).mode & 0o077, 0, name);
    }
  });

  it('does not mistake another process for a killed service with the same process id', async () => {
    await service.kill();
    const stranger = spawn('sleep', ['600'], { stdio: 'ignore' });
    try {
      const [, started] = readFileSync(path('service.lock'), 'utf8').split(' ');
      writeFileSync(path('service.lock'), `${stranger.pid} ${started}`);
      writeFileSync(path('service.json'), JSON.stringify({ ...service.ready, pid: stranger.pid }));
      await service.start();
      assert.notEqual(service.ready.pid, stranger.pid);
      assert.equal(stranger.exitCode, null);
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  it('is asked to end by --reset, but another process with its id is not if the start time is unknown', async () => {
    await service.kill();
    const stranger = spawn('sleep', ['600'], { stdio: 'ignore' });
    const holder = spawn('/bin/sh', ['-c', 'trap "" TERM; echo ready; sleep 600'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    try {
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      mkdirSync(path('held'));
      writeFileSync(path('held/service.lock'), `${holder.pid} ${startTime(holder.pid as number)}`);
      const held = TestService.refusal('--data-dir', path('held'), '--reset');
      writeFileSync(path('service.lock'), `${stranger.pid} `);
      writeFileSync(path('service.json'), JSON.stringify({ ...service.ready, pid: stranger.pid }));
      const { code, stderr } = await TestService.refusal('--data-dir', service.dataDir, '--reset');
      assert.deepEqual([code, stranger.exitCode, stranger.signalCode], [78, null, null]);
      assert.ok(stderr.includes(path('service.lock')), stderr);
      const refused = await held;
      assert.deepEqual([refused.code, holder.exitCode, holder.signalCode], [78, null, null]);
      assert.ok(refused.stderr.includes(`Process ${holder.pid}`), refused.stderr);
      assert.ok(refused.stderr.includes('was asked to end'), refused.stderr);
      rmSync(path('service.lock'));
      await service.start();
    } finally {
      stranger.kill('SIGKILL');
      process.kill(-(holder.pid as number), 'SIGKILL');
    }
  });

  it('starts on a file system without links, and is one for each folder there too', async () => {
    await service.kill();
    // What Node says of links on FAT: no such file system can be mounted here.
    const noLinks = path('noLinks.cjs');
    writeFileSync(
      noLinks,
      `const fs = require('node:fs');
      fs.linkSync = () => { throw Object.assign(new Error('EPERM: link'), { code: 'EPERM' }); };
      require('node:module').syncBuiltinESMExports();`,
    );
    const folder = path('fat');
    const args = ['--require', noLinks, 'dist/service.js', '--data-dir', folder];
    const flags = ['--container-engine', 'none', '--quiet'];
    const start = () =>
      spawn(process.execPath, [...args, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
    const children = [start(), start(), start()];
    try {
      const lines = await Promise.all(
        children.map(async ({ stdout }) => JSON.parse(String(await once(stdout, 'data')))),
      );
      const [{ pid }] = lines;
      assert.ok(children.some((child) => child.pid === pid));
      for (const line of lines) assert.deepEqual([line.ready, line.pid], [true, pid]);
      assert.deepEqual(
        readdirSync(folder).filter((name) => /^(?:service\.lock|credentials\.json)\./.test(name)),
        [],
      );
    } finally {
      for (const child of children) child.kill('SIGTERM');
      await Promise.all(children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')));
    }
  });

  it('ends at once if the service cannot start, with a reason that clients can read', async () => {
    await service.kill();
    // Azurite finds a file in place of its folder.
    const extents = path('blobs/__blobstorage__');
    rmSync(extents, { recursive: true, force: true });
    writeFileSync(extents, '');
    const damaged = await TestService.refusal('--data-dir', service.dataDir, '--quiet');
    const { ready, reason, canReset } = JSON.parse(damaged.stdout);
    assert.deepEqual([damaged.code, ready, canReset], [78, false, true], damaged.stdout);
    assert.match(reason, /^Blob Storage could not be started from /);
    assert.ok(!reason.includes('--reset') && damaged.stderr.includes('--reset'), damaged.stderr);
    writeFileSync(path('credentials.json'), '{}');
    const noKeys = await TestService.refusal('--data-dir', service.dataDir, '--quiet');
    assert.deepEqual(JSON.parse(noKeys.stdout), {
      ready: false,
      reason: noKeys.stderr.trim(),
      canReset: false,
    });
  });

  it('exits with the reason of a failed start on stderr when its client no longer reads stdout', async () => {
    const folder = path('no-keys');
    mkdirSync(folder);
    writeFileSync(join(folder, 'credentials.json'), '{}');
    const child = spawn(process.execPath, ['dist/service.js', '--data-dir', folder, '--quiet'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    const [[code], stderr] = await Promise.all([once(child, 'close'), textOf(child.stderr)]);
    assert.equal(code, 78, stderr);
    assert.ok(stderr.includes('credentials.json') && !stderr.includes('EPIPE'), stderr);
  });

  it('leaves neither its line nor its lock when it is asked to end', async () => {
    process.kill(service.ready.pid, 'SIGTERM');
    await service.ended();
    assert.deepEqual(
      ['service.json', 'service.lock'].filter((name) => existsSync(path(name))),
      [],
    );
  });

  it('ends in good order also when it gets a second signal', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.kill(service.ready.pid, signal);
    await service.ended();
    assert.ok(!existsSync(path('service.lock')));
  });

  it('ends when its data folder is deleted, and leaves what another service has made there alone', async () => {
    const away = `${service.dataDir}-away`;
    renameSync(service.dataDir, away);
    mkdirSync(service.dataDir);
    for (const name of ['service.lock', 'service.json']) writeFileSync(path(name), '1 another');
    try {
      await service.ended();
      for (const name of ['service.lock', 'service.json'])
        assert.equal(readFileSync(path(name), 'utf8'), '1 another');
      assert.deepEqual(readdirSync(service.dataDir).sort(), ['service.json', 'service.lock', 'service.log']);
    } finally {
      rmSync(away, { recursive: true, force: true });
    }
  });

  it('saves its blobs also when all its processes get signal after signal', async () => {
    const { storageName, storageKey } = service.credentials;
    const credential = new StorageSharedKeyCredential(storageName, storageKey);
    const containers = () => new BlobServiceClient(service.ready.blobUrl, credential);
    for (const index of Array(20).keys()) await containers().createContainer(`kept${index}`);
    const processes = [
      service.ready.pid,
      Number.parseInt(readFileSync(path('blobs/azurite.pid'), 'utf8'), 10),
    ];
    let hasEnded = false;
    const ended = service.ended().then(() => {
      hasEnded = true;
    });
    while (!hasEnded) {
      processes.forEach(terminate);
      await pause(1);
    }
    await ended;
    await service.start();
    assert.ok(await containers().getContainerClient('kept19').exists());
  });
});
