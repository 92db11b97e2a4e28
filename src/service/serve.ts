import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { version } from '../../package.json';
import { type Server, startServer } from './api/server';
import { type Credentials, credentialsFromFile, credentialsFromStdin } from './credentials';
import { DataFolder, makePrivate, SharedFolderError } from './guard/dataFolder';
import { refuseForeignFolder } from './guard/dataFolderMarks';
import type { Log } from './guard/log';
import { StartError, unusable } from './guard/startError';
import { type Holder, type Lock, unansweredBy } from './lock';
import { logTo } from './logFile';
import type { Options } from './options';
import { Ports } from './ports';
import { lineOfRunning, lockOf } from './readyFile';
import { type Loaded, loadState } from './scheduling/loading';
import { Storage } from './storage/storage';
import { repairTables } from './storage/tables';
import { Containers } from './tasks/containers/containers';

/** What a client needs to know of a service that runs; printed, and kept in `service.json`. Holds no keys. */
interface Ready {
  readonly ready: true;
  readonly batchUrl: string;
  readonly blobUrl: string;
  readonly batchName: string;
  readonly storageName: string;
  readonly pid: number;
  readonly version: string;
  /** `podman 4.3.1`; null where no container engine answers, so that tasks in containers are refused. */
  readonly containerEngine: string | null;
  /** Folders in front of the PATH of tasks: what a client started the service with. */
  readonly pathPrepend: readonly string[];
  /** What the user should know about this start: damage that was found, and what is lost. */
  readonly notices: readonly string[];
}

/** How long a holder of the folder may take to answer. Clients wait a minute for a start: they must hear of it. */
const holderMs = 40_000;
const idleCheckMs = 1_000;
/** A client asks for the end of an idle service by making this file in the data folder. */
const endWhenIdleFile = 'end-when-idle';
/** A service without tasks counts as idle for such a client after this long without requests. */
const quietMs = 1_000;

/** Starts the service of a data folder, or prints the line of the one that runs. Throws a StartError. */
export async function serve(options: Options): Promise<void> {
  const { dataDir } = options;
  refuseForeignFolder(dataDir);
  await preparePrivate(dataDir);
  const credentials =
    options.credentials === 'stdin' ? await credentialsFromStdin() : credentialsFromFile(dataDir);
  const lock = lockOf(dataDir);
  const readyFile = join(dataDir, 'service.json');
  if (!(await hold(lock, readyFile))) return;
  try {
    await run(options, credentials, lock, readyFile);
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function run(options: Options, credentials: Credentials, lock: Lock, readyFile: string): Promise<void> {
  const { dataDir } = options;
  for (const name of [readyFile, join(dataDir, endWhenIdleFile)]) rmSync(name, { force: true });
  const log = logTo(join(dataDir, 'service.log'), { echo: !options.quiet && options.credentials === 'file' });
  guardProcess(log);
  const notices: string[] = [];
  const notice = (sentence: string) => {
    notices.push(sentence);
    log(sentence);
  };
  const ports = new Ports(join(dataDir, 'ports.json'), notice);
  const finding = Containers.find(options.containerEngine, dataDir);
  const { storage, loaded } = await startStorageAndLoad(options, credentials, ports, log, notice);
  const containers = await finding;
  let server: Server;
  try {
    server = await startBatch(options, credentials, ports, { storage, containers, loaded }, log);
  } catch (error) {
    loaded.journal.close();
    await storage.close();
    throw error;
  }
  ports.keep({ blob: portOf(storage.blobUrl), batch: portOf(server.url) });
  const ready: Ready = {
    ready: true,
    batchUrl: server.url,
    blobUrl: storage.blobUrl,
    batchName: credentials.batchName,
    storageName: credentials.storageName,
    pid: process.pid,
    version,
    containerEngine: containers === undefined ? null : String(containers.engine),
    pathPrepend: options.pathPrepend,
    notices,
  };
  endOnRequest(options, { server, storage, lock, readyFile, log });
  const line = JSON.stringify(ready);
  writeFileSync(`${readyFile}.next`, line, { mode: 0o600, flush: true });
  renameSync(`${readyFile}.next`, readyFile);
  log(
    `Ready: Batch at ${server.url}, Blob Storage at ${storage.blobUrl}, container engine: ${ready.containerEngine ?? 'none'}`,
  );
  console.log(line);
}

async function preparePrivate(dataDir: string): Promise<void> {
  try {
    await makePrivate(dataDir);
  } catch (error) {
    throw error instanceof SharedFolderError ? new StartError(error.message) : unusable(dataDir, error);
  }
}

/** The last resort: an error that no other guard has caught is logged with its stack, and the service goes on. */
function guardProcess(log: Log): void {
  const report = (error: unknown) =>
    log(`Unexpected error; the service continues: ${error instanceof Error ? error.stack : error}`);
  process.on('uncaughtException', report);
  process.on('unhandledRejection', report);
  // The process that started the service may have closed the other end.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

/** Loads the state while Azurite starts in a process of its own: both take about half a second with 100,000 tasks. */
async function startStorageAndLoad(
  options: Options,
  credentials: Credentials,
  ports: Ports,
  log: Log,
  notice: Log,
): Promise<{ storage: Storage; loaded: Loaded }> {
  let onLaunched: () => void = () => undefined;
  const launched = new Promise<void>((resolve) => {
    onLaunched = resolve;
  });
  const starting = startStorage({ options, credentials, ports, log, notice, onLaunched });
  await Promise.race([launched, starting]);
  let loaded: Loaded;
  try {
    loaded = loadState(options.dataDir, notice, new Date());
  } catch (error) {
    await starting.then(
      (storage) => storage.close(),
      () => undefined,
    );
    throw error;
  }
  try {
    return { storage: await starting, loaded };
  } catch (error) {
    loaded.journal.close();
    throw error;
  }
}

interface StorageStart {
  readonly options: Options;
  readonly credentials: Credentials;
  readonly ports: Ports;
  readonly log: Log;
  readonly notice: Log;
  readonly onLaunched: () => void;
}

async function startStorage({
  options: { dataDir, blobPort },
  credentials: { storageName, storageKey },
  ports,
  log,
  notice,
  onLaunched,
}: StorageStart): Promise<Storage> {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'azurite.cjs');
  const folder = join(dataDir, 'blobs');
  try {
    const { damaged } = new DataFolder(dataDir);
    for (const said of await repairTables(folder, damaged, new Date())) notice(said);
    return await ports.take('blob', blobPort, (port) =>
      Storage.start({
        ...{ script, folder, damaged, port, log, onLaunched },
        account: { name: storageName, key: storageKey },
      }),
    );
  } catch (error) {
    if (error instanceof StartError) throw error;
    if (error instanceof Error && 'code' in error) throw unusable(folder, error);
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartError(`Blob Storage could not be started from ${folder}. ${reason}`, {
      cause: error,
      canReset: true,
    });
  }
}

async function startBatch(
  options: Options,
  { batchName, batchKey, storageName, storageKey }: Credentials,
  ports: Ports,
  { storage, containers, loaded }: { storage: Storage; containers: Containers | undefined; loaded: Loaded },
  log: Log,
): Promise<Server> {
  return ports.take('batch', options.port, (port) =>
    startServer(
      {
        dataDir: options.dataDir,
        account: { name: batchName, key: batchKey },
        tokens: options.trustTokens,
        port,
        faults: options.faults,
        maxNodes: options.maxNodes,
        maxProcesses: options.maxProcesses,
        nodeStepMs: options.nodeStepMs,
        pathPrepend: options.pathPrepend,
        packagesDir: options.packagesDir,
        containers,
        allowElevated: options.allowElevated,
        storage: {
          blobUrl: storage.blobUrl,
          accountName: storageName,
          accountKey: storageKey,
          save: (signal) => storage.save(signal),
        },
        log,
      },
      loaded,
    ),
  );
}

/**
 * Ends in good order on a signal, when idle for long enough, when idle and a client has asked for it, or when the data
 * folder was deleted. A folder that another service has made in its place is left alone.
 */
function endOnRequest(
  { dataDir, idleMinutes }: Options,
  parts: { server: Server; storage: Storage; lock: Lock; readyFile: string; log: Log },
): void {
  const { server, storage, lock, readyFile, log } = parts;
  const close = async (why: string) => {
    const isOurs = !lock.isLost;
    log(`Ending: ${why}`);
    if (isOurs) rmSync(readyFile, { force: true });
    await server.close({ isOurs });
    await (isOurs ? storage.close() : storage.kill());
    lock.release();
  };
  let isEnding = false;
  const end = (why: string): void => {
    // One more signal, such as that of a program that forwards Ctrl+C, must not cut the end short.
    if (isEnding) return;
    isEnding = true;
    close(why).then(
      () => process.exit(0),
      (error) => {
        log(`Ended with an error: ${error instanceof Error ? error.stack : error}`);
        process.exit(1);
      },
    );
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(signal));
  storage.whenPortLost(() =>
    end('another program uses the port of Blob Storage; the next start takes another port'),
  );
  const idleMs = idleMinutes * 60_000;
  let missed = 0;
  setInterval(() => {
    // While another process tries to take the lock, it can be away for a moment.
    missed = lock.isLost ? missed + 1 : 0;
    if (missed === 2) end(`${dataDir} was deleted, or another service uses it`);
    const isIdleFor = server.idleMs();
    if (idleMs > 0 && isIdleFor > idleMs) end('idle');
    if (isIdleFor > quietMs && existsSync(join(dataDir, endWhenIdleFile))) {
      end('idle, and a client asked for a new start');
    }
  }, idleCheckMs).unref();
}

/**
 * Resolves to true with the lock taken, or to false when another service holds it, whose line was printed. A holder
 * counts once it answers: one that does not may be starting, or may have ended and not be known to have.
 */
async function hold(lock: Lock, readyFile: string): Promise<boolean> {
  let holder: Holder | undefined;
  for (const end = Date.now() + holderMs; Date.now() < end; ) {
    holder = await lock.take();
    if (holder === undefined) return true;
    const line = await lineOfRunning(readyFile, holder.pid);
    if (line !== undefined) {
      console.log(line);
      return false;
    }
    await delay(100);
  }
  throw unansweredBy(holder as Holder, dirname(readyFile), 'start the service again');
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}
