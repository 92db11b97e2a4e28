import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { BlobServiceClient, ContainerSASPermissions, StorageSharedKeyCredential } from '@azure/storage-blob';
import { randomOf } from '../test/random';
import { descendantsOf } from '../test/service/descendants';
import { TestService } from '../test/service/harness';
import { optionsOf } from './options';
import { basis, type Chosen, chooserOf, randomRequest } from './serviceRequests';
import type { BenchResult } from './table';

const requestsPerRound = 150;
const requestsAtOnce = 8;
/** An answer and an end on SIGTERM take less. */
const maxAnswerMs = 30_000;
const maxEndMs = 5_000;
const maxBytes = 1_000_000_000;

/**
 * Sends random valid and invalid requests, tasks and formulas to the local service for as long as asked. After each round
 * the service must answer, have logged no unexpected error, have made nothing outside its folder, end within 5 s of
 * SIGTERM (or survive a kill), and start again without damage. A failure names the seed that brings it back.
 */
export async function soakService(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, { minutes: '10', seed: undefined });
  const end = Date.now() + Number(values.minutes) * 60_000;
  let seed = Number(values.seed ?? Date.now() % 1_000_000);
  const service = await TestService.start('--max-nodes', '40', '--max-processes', '8');
  let rounds = 0;
  try {
    const target = await outputContainer(service);
    do {
      try {
        await round(service, chooserOf(randomOf(seed)), target);
      } catch (error) {
        console.log(readFileSync(join(service.dataDir, 'service.log'), 'utf8').slice(-4_000));
        throw new Error(`npm run soak -- service --seed ${seed} brings this back.`, { cause: error });
      }
      rounds++;
      seed++;
    } while (Date.now() < end && values.seed === undefined);
  } finally {
    await service.close();
  }
  console.log(`${rounds} rounds of ${requestsPerRound} requests held.`);
  return { name: 'service soak', tables: [] };
}

/** A container that tasks may write to, as a SAS URL. */
async function outputContainer({ credentials, ready }: TestService): Promise<string> {
  const credential = new StorageSharedKeyCredential(credentials.storageName, credentials.storageKey);
  const container = new BlobServiceClient(ready.blobUrl, credential).getContainerClient('output');
  await container.createIfNotExists();
  return container.generateSasUrl({
    permissions: ContainerSASPermissions.parse('rwl'),
    expiresOn: new Date(Date.now() + 86_400_000),
  });
}

async function round(service: TestService, chosen: Chosen, target: string): Promise<void> {
  const logFile = join(service.dataDir, 'service.log');
  const logged = statSync(logFile).size;
  const besides = readdirSync(dirname(service.dataDir)).length;
  const statuses = new Map<number, number>();
  const send = async () => {
    const request = randomRequest(chosen, target);
    const reply = await service.request(request.method, request.path, request.body, {}).catch((error) => {
      throw new Error(`${request.method} ${request.path} got no answer`, { cause: error });
    });
    const text = await reply.text();
    statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
    assert.ok(
      reply.status !== 500,
      `${request.method} ${request.path}: ${JSON.stringify(request.body)?.slice(0, 2_000)}`,
    );
    assert.ok(text.length < 20_000_000, `${request.path}: an answer of ${text.length} bytes`);
  };
  for (const { method, path, body } of basis()) await service.request(method, path, body);
  for (let sent = 0; sent < requestsPerRound; sent += requestsAtOnce)
    await Promise.all(Array.from({ length: requestsAtOnce }, send));
  await pause(chosen.upTo(1_500));
  await answers(service);
  const bytes = residentBytes(service.ready.pid);
  assert.ok(bytes < maxBytes, `${bytes} bytes of memory`);
  const news = readFileSync(logFile, 'utf8').slice(logged);
  assert.ok(!news.includes('Unexpected'), news.slice(0, 4_000));
  assert.ok(
    readdirSync(dirname(service.dataDir)).length <= besides + 20,
    'something was made outside the data folder',
  );
  const pid = service.ready.pid;
  const children = descendantsOf(pid, '');
  const isKilled = chosen.upTo(3) === 0;
  const from = Date.now();
  if (isKilled) await service.kill();
  else {
    process.kill(pid, 'SIGTERM');
    await service.ended();
    assert.ok(Date.now() - from < maxEndMs, `SIGTERM took ${Date.now() - from} ms`);
  }
  await pause(isKilled ? 500 : 0);
  const left = children.filter((child) => isTask(child));
  assert.deepEqual(left, [], 'tasks outlive the service');
  await service.start();
  assert.deepEqual(service.ready.notices, []);
  await answers(service);
  console.log(
    `${[...statuses]
      .sort()
      .map(([status, count]) => `${status}: ${count}`)
      .join(', ')}; ${Math.round(bytes / 1e6)} MB${isKilled ? '; killed' : ''}`,
  );
}

/** Whether a process still runs that belongs to a task. */
function isTask(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes('AZ_BATCH_TASK_DIR');
  } catch {
    return false;
  }
}

async function answers(service: TestService): Promise<void> {
  for (const path of ['/pools', '/jobs']) {
    const reply = await Promise.race([
      service.request('GET', `${path}?api-version=2025-06-01`),
      pause(maxAnswerMs, undefined, { ref: false }),
    ]);
    assert.equal(reply?.status, 200, `${path} is not answered`);
    JSON.parse(await reply.text());
  }
}

function residentBytes(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
