import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Server, startServer } from './api/server';
import { type Azurite, startAzurite } from './azurite';
import { Lock } from './lock';
import { Ports } from './ports';
import type { Log } from './scheduling/log';
import { keepLoopbackDirect } from './tasks/proxy';

const help = `The local Batch service: Azure Batch's REST API on this machine, with Azurite as its storage.

Usage: node service.js --data-dir DIR [options]

  --data-dir DIR          State, logs and files of tasks. One service for each folder.
  --port N                Port of the Batch service (0, the default: a free one).
  --blob-port N           Port of the Blob service (0, the default: a free one).
  --credentials WHERE     file (default): made once, in DIR/credentials.json, for your eyes only.
                          stdin: one line of JSON: batchName, batchKey, storageName, storageKey.
  --trust-token TOKEN     Accept this bearer token besides signatures. May be repeated.
  --idle-minutes N        End after N minutes without requests and tasks (0, the default: never).
  --max-processes N       Tasks that run at a time over all nodes (default: the machine's cores, at least 4;
                          0: as many as there are task slots).
  --node-step-ms N        Milliseconds a node takes from one state to the next (default 150).
  --path-prepend DIR      Put DIR in front of the PATH of tasks. May be repeated.
  --allow-elevated        Run start tasks that ask for administrator rights, as the user that runs the service.
  --faults                Allow the signed route POST /_faults, which makes things go wrong for tests.
  --help                  This text.

Prints one line of JSON when it is ready. It listens on 127.0.0.1 only and answers signed requests only.`;

interface Credentials {
  readonly batchName: string;
  readonly batchKey: string;
  readonly storageName: string;
  readonly storageKey: string;
}

const version = '0.1.0';
const longestLog = 4 * 1024 * 1024;
const azuritePauseMs = 2_000;

const { values: flags } = parseArgs({
  options: {
    'data-dir': { type: 'string' },
    port: { type: 'string', default: '0' },
    'blob-port': { type: 'string', default: '0' },
    credentials: { type: 'string', default: 'file' },
    'trust-token': { type: 'string', multiple: true, default: [] },
    'idle-minutes': { type: 'string', default: '0' },
    'max-processes': { type: 'string', default: String(Math.max(4, availableParallelism())) },
    'node-step-ms': { type: 'string', default: '150' },
    'path-prepend': { type: 'string', multiple: true, default: [] },
    'allow-elevated': { type: 'boolean', default: false },
    faults: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (flags.help || !flags['data-dir']) {
  console.log(help);
  process.exit(flags.help ? 0 : 64);
}

keepLoopbackDirect(process.env);
await run(flags['data-dir']);

async function run(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const credentials = flags.credentials === 'stdin' ? await readCredentials() : credentialsFile(dataDir);
  const lock = new Lock(join(dataDir, 'service.lock'));
  const readyFile = join(dataDir, 'service.json');
  if (!(await hold(lock, readyFile))) process.exit(0);
  rmSync(readyFile, { force: true });
  const log = logTo(join(dataDir, 'service.log'));
  const { azurite, server } = await start(dataDir, credentials, log);
  const ready = JSON.stringify({
    ready: true,
    batchUrl: server.url,
    blobUrl: azurite().blobUrl,
    batchName: credentials.batchName,
    storageName: credentials.storageName,
    pid: process.pid,
    version,
  });
  writeFileSync(`${readyFile}.next`, ready, { mode: 0o600 });
  renameSync(`${readyFile}.next`, readyFile);
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  log(`Ready: Batch at ${server.url}, Blob Storage at ${azurite().blobUrl}`);
  console.log(ready);

  let closing = false;
  const close = async (why: string) => {
    if (closing) return;
    closing = true;
    log(`Ending: ${why}`);
    rmSync(readyFile, { force: true });
    await server.close();
    await azurite().close();
    lock.release();
    process.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void close(signal));
  const idleMs = Number(flags['idle-minutes']) * 60_000;
  if (idleMs > 0) setInterval(() => server.idleMs() > idleMs && void close('idle'), 5_000).unref();
}

async function start(
  dataDir: string,
  credentials: Credentials,
  log: Log,
): Promise<{ azurite: () => Azurite; server: Server }> {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'azurite.cjs');
  const storage = { name: credentials.storageName, key: credentials.storageKey };
  const folder = join(dataDir, 'blobs');
  const ports = new Ports(join(dataDir, 'ports.json'));
  let azurite = await ports.take('blob', Number(flags['blob-port']), (chosen) =>
    startAzurite(script, folder, chosen, storage),
  );
  const port = Number(new URL(azurite.blobUrl).port);
  const watch = () => void azurite.ended.then(restart);
  const restart = async (): Promise<void> => {
    if (ending) return;
    log('Azurite ended; starting it again.');
    try {
      azurite = await startAzurite(script, folder, port, storage);
      watch();
    } catch (error) {
      log(`Azurite did not start, and is tried again: ${error instanceof Error ? error.message : error}`);
      setTimeout(() => void restart(), azuritePauseMs).unref();
    }
  };
  let ending = false;
  process.once('SIGTERM', () => {
    ending = true;
  });
  watch();
  const server = await ports.take('batch', Number(flags.port), (chosen) =>
    startServer({
      dataDir,
      account: { name: credentials.batchName, key: credentials.batchKey },
      tokens: flags['trust-token'],
      port: chosen,
      faults: flags.faults,
      maxProcesses: Number(flags['max-processes']),
      nodeStepMs: Number(flags['node-step-ms']),
      pathPrepend: flags['path-prepend'],
      allowElevated: flags['allow-elevated'],
      log,
    }),
  );
  ports.keep({ blob: port, batch: Number(new URL(server.url).port) });
  const close = server.close;
  return {
    azurite: () => azurite,
    server: {
      ...server,
      async close() {
        ending = true;
        await close();
      },
    },
  };
}

/** Another service has the folder, or is about to: its line is as good as ours. */
function printOther(readyFile: string, pid: number): boolean {
  const line = existsSync(readyFile) ? readFileSync(readyFile, 'utf8') : '';
  // One that was killed left its line behind.
  if (line === '' || (JSON.parse(line) as { pid: number }).pid !== pid) return false;
  console.log(line);
  return true;
}

/** True with the folder in hand; false when another service has it, whose line was printed. */
async function hold(lock: Lock, readyFile: string): Promise<boolean> {
  for (let waited = 0; waited < 60_000; waited += 100) {
    const holder = await lock.take();
    if (holder === undefined) return true;
    if (printOther(readyFile, holder)) return false;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  console.error('Another service holds the data folder but does not get ready.');
  process.exit(75);
}

async function readCredentials(): Promise<Credentials> {
  for await (const line of createInterface(process.stdin)) {
    process.stdin.destroy();
    return JSON.parse(line) as Credentials;
  }
  throw new Error('No credentials on stdin.');
}

function credentialsFile(dataDir: string): Credentials {
  const path = join(dataDir, 'credentials.json');
  if (!existsSync(path)) {
    const key = () => randomBytes(64).toString('base64');
    const made = { batchName: 'localbatch', batchKey: key(), storageName: 'localstorage', storageKey: key() };
    writeFileSync(path, JSON.stringify(made, null, 2), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(path, 'utf8')) as Credentials;
}

/** Human words, one line each; the file starts anew when it gets long. */
function logTo(path: string): Log {
  let size = existsSync(path) ? statSync(path).size : 0;
  return (line) => {
    const text = `${new Date().toISOString()} ${line}\n`;
    const isLong = size > longestLog;
    writeFileSync(path, text, { flag: isLong ? 'w' : 'a', mode: 0o600 });
    size = (isLong ? 0 : size) + Buffer.byteLength(text);
    if (flags.credentials === 'file') process.stderr.write(text);
  };
}
