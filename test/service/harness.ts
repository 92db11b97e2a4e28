import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { BatchServiceClient, type BatchServiceModels, BatchSharedKeyCredentials } from '@azure/batch';
import type { Connection } from '../../src/core/azure/account';

interface Ready {
  readonly batchUrl: string;
  readonly blobUrl: string;
  readonly pid: number;
  readonly notices?: readonly string[];
}

interface AccountNames {
  readonly batchName: string;
  readonly storageName: string;
}

/** An account that the contract suite is run against. */
export interface TestAccount {
  client(apiVersion?: string): BatchServiceClient;
  close(): Promise<void>;
}

/**
 * A real account for the contract suite, from BATCH_TEST_URL (`https://NAME.REGION.batch.azure.com`) and
 * BATCH_TEST_KEY: it is given one dedicated node of a small size for some minutes.
 */
export const realAccount = accountOf(process.env.BATCH_TEST_URL, process.env.BATCH_TEST_KEY);

function accountOf(url: string | undefined, key: string | undefined): TestAccount | undefined {
  if (!url || !key) return undefined;
  const [name = ''] = new URL(url).hostname.split('.');
  return {
    client: (apiVersion) => clientOf(url, name, key, apiVersion),
    close: async () => undefined,
  };
}

/** Creates the official client, unchanged except for its API version. */
function clientOf(url: string, name: string, key: string, apiVersion?: string): BatchServiceClient {
  const client = new BatchServiceClient(new BatchSharedKeyCredentials(name, key), url, {
    noRetryPolicy: true,
  });
  if (apiVersion) client.apiVersion = apiVersion;
  return client;
}

/** The bundled service in a process of its own, with Azurite, in a folder of its own. */
export class TestService implements TestAccount {
  readonly credentials: {
    readonly batchName: string;
    readonly batchKey: string;
    readonly storageName: string;
    readonly storageKey: string;
  };
  ready: Ready = { batchUrl: '', blobUrl: '', pid: 0 };
  #child: ChildProcess | undefined;

  private constructor(
    readonly dataDir: string,
    private readonly args: readonly string[],
    names: AccountNames,
    private readonly env: Record<string, string>,
    /** A command in front of that of the service, which gets its folder as `$0`. */
    private readonly wrapper: readonly string[] = [],
  ) {
    const key = () => randomBytes(64).toString('base64');
    this.credentials = { ...names, batchKey: key(), storageKey: key() };
  }

  static start(...args: string[]): Promise<TestService> {
    return TestService.startAs({ batchName: 'localbatch', storageName: 'localstorage' }, {}, ...args);
  }

  /** Under other names, in an environment of its own. */
  static async startAs(
    names: AccountNames,
    env: Record<string, string>,
    ...args: string[]
  ): Promise<TestService> {
    const folder = await mkdtemp(join(tmpdir(), 'batch-test-'));
    const service = new TestService(folder, args, names, env);
    await service.start();
    return service;
  }

  /** In an environment that a command in front of it makes, such as a disk of its own. */
  static async startUnder(wrapper: readonly string[], ...args: string[]): Promise<TestService> {
    const folder = await mkdtemp(join(tmpdir(), 'batch-test-'));
    const names = { batchName: 'localbatch', storageName: 'localstorage' };
    const service = new TestService(folder, args, names, {}, wrapper);
    await service.start();
    return service;
  }

  /** Starts a service that is expected to refuse to start. Resolves to its exit code and what it prints. */
  static async refusal(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, ['dist/service.js', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, stdout, stderr };
  }

  async start(): Promise<void> {
    const flags = ['--data-dir', this.dataDir, '--credentials', 'stdin', '--faults', '--node-step-ms', '20'];
    // What is refused must not depend on the machine.
    flags.push('--container-engine', 'none');
    // As the extension starts it.
    const service = [process.execPath, '--max-semi-space-size=4', 'dist/service.js', ...flags, ...this.args];
    const [program = '', ...rest] = this.wrapper.length
      ? [...this.wrapper, this.dataDir, ...service]
      : service;
    const child = spawn(program, rest, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...this.env },
    });
    this.#child = child;
    child.stdin?.end(`${JSON.stringify(this.credentials)}\n`);
    const { stdout } = child;
    this.ready = await new Promise<Ready>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`The service ended with code ${code}.`)));
      createInterface(stdout as NodeJS.ReadableStream).once('line', (line) => {
        const ready = JSON.parse(line) as Ready & { readonly ready: boolean };
        if (ready.ready) resolve(ready);
        else reject(new Error(line));
      });
    });
  }

  /** Ends it as a crash or `kill -9` does. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async close(): Promise<void> {
    await this.#end('SIGTERM');
    await rm(this.dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  /** As an account, the way the extension connects. */
  get connection(): Connection {
    const { batchName, batchKey, storageName, storageKey } = this.credentials;
    return {
      account: {
        id: 'test',
        label: 'Test',
        signIn: 'keys',
        batchName,
        batchUrl: this.ready.batchUrl,
        storageName,
        blobUrl: this.ready.blobUrl,
      },
      batch: { kind: 'sharedKey', name: batchName, key: batchKey },
      storage: { kind: 'sharedKey', name: storageName, key: storageKey },
    };
  }

  client(apiVersion?: string): BatchServiceClient {
    const { batchName, batchKey } = this.credentials;
    return clientOf(this.ready.batchUrl, batchName, batchKey, apiVersion);
  }

  /** A signed request, byte for byte as given. */
  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const { batchName, batchKey } = this.credentials;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const date = headers['ocp-date'] ?? new Date().toUTCString();
    const type = text === undefined ? '' : 'application/json; odata=minimalmetadata';
    const length = text === undefined ? (method === 'POST' ? '0' : '') : String(Buffer.byteLength(text));
    const [bare = '', query = ''] = path.split('?');
    const parameters = [...new URLSearchParams(query)].sort(([one], [other]) => (one < other ? -1 : 1));
    const conditions = ['if-modified-since', 'if-match', 'if-none-match', 'if-unmodified-since', 'range'].map(
      (name) => headers[name] ?? '',
    );
    const signed = [
      ...[method, '', '', length, '', type, '', ...conditions],
      `ocp-date:${date}\n/${batchName}${bare}${parameters.map(([name, value]) => `\n${name}:${value}`).join('')}`,
    ].join('\n');
    const signature = createHmac('sha256', Buffer.from(batchKey, 'base64')).update(signed).digest('base64');
    return fetch(this.ready.batchUrl + path, {
      method,
      body: text,
      headers: {
        ...headers,
        ...(type ? { 'content-type': type } : {}),
        'ocp-date': date,
        authorization: `SharedKey ${batchName}:${signature}`,
      },
    });
  }

  async fault(order: Record<string, unknown>): Promise<void> {
    const reply = await this.request('POST', '/_faults', order);
    if (!reply.ok) throw new Error(`Fault refused: ${await reply.text()}`);
  }

  /** Resolves when the process has ended, for whatever reason. */
  async ended(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise((resolve) => child.once('exit', resolve));
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#child?.kill(signal);
    await this.ended();
  }
}

/** Size and image of every pool of these tests. */
export const machine = {
  vmSize: 'Standard_D2s_v5',
  virtualMachineConfiguration: {
    imageReference: { publisher: 'canonical', offer: 'ubuntu-24_04-lts', sku: 'server' },
    nodeAgentSKUId: 'batch.node.ubuntu 24.04',
  },
};

/** The body of an error reply. */
export interface RefusedWith {
  readonly code?: string;
  readonly values?: { readonly key: string; readonly value: string }[];
}

/** Returns a check of an error of the official client: its code, its status, and the property that it names. */
export function refused(code: string, status: number, property?: string) {
  return (error: RefusedWith & { statusCode: number; body?: RefusedWith }): true => {
    assert.deepEqual([error.code, error.statusCode], [code, status]);
    if (property !== undefined) {
      assert.deepEqual(error.body?.values?.[0], { key: 'PropertyName', value: property });
    }
    return true;
  };
}

/**
 * Registers hooks that prepare a suite before its tests, and anew before the second try of a test: what the first try
 * left behind, such as a job of the same id, doesn't fail the second one.
 */
export function prepare(
  start: (this: Mocha.Context) => Promise<void>,
  clear: (this: Mocha.Context) => Promise<unknown>,
): void {
  let last: string | undefined;
  before(start);
  beforeEach(async function () {
    const title = this.currentTest?.fullTitle();
    if (title === last) {
      await clear.call(this);
      await start.call(this);
    }
    last = title;
  });
  after(clear);
}

/**
 * Polls until a condition holds. Throws with the last value after `seconds`, which only ends a wait for what never
 * comes: no test may depend on the speed of the machine.
 */
export async function eventually<T>(
  ask: () => Promise<T>,
  isSo: (seen: T) => boolean,
  seconds = realAccount ? 900 : 150,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const seen = await ask();
    if (isSo(seen)) return seen;
    if (Date.now() > end) throw new Error(`Still not so after ${seconds} s: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * Runs something that a time limit ends, with longer and longer limits in seconds, until it gets as far as it should
 * before the limit. Resolves to the last result.
 */
export async function withLongerLimits<T>(
  run: (seconds: number) => Promise<T>,
  isFarEnough: (result: T) => boolean,
): Promise<T> {
  let result = await run(2);
  for (const seconds of [10, 50]) if (!isFarEnough(result)) result = await run(seconds);
  return result;
}

export function md5(data: Uint8Array): string {
  return createHash('md5').update(data).digest('hex');
}

/** Lists all tasks of a job, page by page. */
export async function listAll(
  client: BatchServiceClient,
  jobId: string,
): Promise<BatchServiceModels.CloudTask[]> {
  const tasks: BatchServiceModels.CloudTask[] = [];
  let page = await client.task.list(jobId);
  for (;;) {
    tasks.push(...page);
    if (!page.odatanextLink) return tasks;
    page = await client.task.listNext(page.odatanextLink);
  }
}

/** Skips a test, with a line that says why. */
export function skip(test: Mocha.Context, why: string): void {
  console.log(`    skipped ${why}`);
  test.skip();
}
