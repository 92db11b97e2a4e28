import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { deleteResources } from '../src/core/cleanUp/deleteResources';
import { ownedResources } from '../src/core/cleanUp/ownedResources';
import { attemptOf, type Manifest, type PoolLifetime } from '../src/core/plan/manifest';
import { readResults } from '../src/core/records/resultJournal';
import { clip, probe, temporaryFolder } from '../test/media';
import { randomOf } from '../test/random';
import { eventually, TestService } from '../test/service/harness';
import { startRunProcess } from '../test/service/runProcess';
import { manifestOf, partsOf } from '../test/service/runSetup';
import { optionsOf } from './options';
import { soakService } from './serviceSoak';
import type { BenchResult } from './table';

const never = new AbortController().signal;
const presets = ['mp3', 'm4a', 'flac', 'opus', 'h264-480p', 'thumbnail', 'hls'];
const lifetimes: PoolLifetime[] = ['run', 'scaleToZero', 'keep'];
/** Lengths of the videos, in seconds. */
const lengths = [0.5, 2, 6];
/** Some videos are larger than one block. */
const largeBytes = 15 * 1024 * 1024;
/** A scenario that takes longer has failed. */
const maxScenarioMs = 240_000;

interface Video {
  readonly seconds: number;
  readonly isLarge: boolean;
}

/** The faults of one run. */
interface Scenario {
  readonly preset: string;
  readonly lifetime: PoolLifetime;
  readonly videos: readonly Video[];
  readonly damaged: number;
  readonly clientKills: number;
  readonly serviceKills: number;
  readonly preemptions: number;
  readonly refuseShare: number;
  readonly windows: number;
}

/**
 * Runs random scenarios for `--minutes` and checks the invariants after each: every input has exactly one complete output
 * or a reason, a clean-up leaves no resources, no file contains a secret, and no process is left at the end. A failure
 * prints the seed that reproduces it.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  if (args[0] === 'service') return soakService(args.slice(1));
  const values = optionsOf(args, { minutes: '10', seed: undefined });
  const end = Date.now() + Number(values.minutes) * 60_000;
  let seed = Number(values.seed ?? Date.now() % 1_000_000);
  const service = await TestService.start('--node-step-ms', '200');
  const root = await temporaryFolder('soak');
  let scenarios = 0;
  try {
    for (const seconds of lengths) await clip(sampleOf(root.path, seconds), seconds);
    do {
      const scenario = scenarioOf(randomOf(seed));
      console.log(`seed ${seed}: ${JSON.stringify(scenario)}`);
      try {
        await play(service, root.path, scenario, randomOf(seed + 1));
      } catch (error) {
        throw new Error(`npm run soak -- --seed ${seed} reproduces this.`, { cause: error });
      }
      scenarios++;
      seed++;
    } while (Date.now() < end && values.seed === undefined);
  } finally {
    await service.close();
    await root.remove();
  }
  assert.deepEqual(leftProcesses(service.dataDir), []);
  console.log(`${scenarios} scenarios passed.`);
  return { name: 'soak', tables: [] };
}

function scenarioOf(random: () => number): Scenario {
  const oneOf = <T>(all: readonly T[]) => all[Math.floor(random() * all.length)] as T;
  const upTo = (max: number) => Math.floor(random() * (max + 1));
  return {
    preset: oneOf(presets),
    lifetime: oneOf(lifetimes),
    videos: Array.from({ length: 1 + upTo(11) }, () => ({ seconds: oneOf(lengths), isLarge: upTo(5) === 0 })),
    damaged: upTo(3) === 0 ? 1 + upTo(1) : 0,
    clientKills: upTo(3),
    serviceKills: upTo(4) === 0 ? 1 : 0,
    preemptions: upTo(3),
    refuseShare: upTo(2) === 0 ? 0.1 : 0,
    windows: upTo(3) === 0 ? 2 : 1,
  };
}

async function play(
  service: TestService,
  root: string,
  scenario: Scenario,
  random: () => number,
): Promise<void> {
  const folder = join(root, 'work');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const videos = new Map(scenario.videos.map((video, index) => [`clip ${index}.mp4`, video]));
  for (const [name, { seconds, isLarge }] of videos) {
    copyFileSync(sampleOf(root, seconds), join(folder, name));
    if (isLarge) appendFileSync(join(folder, name), filler());
  }
  const damaged = Array.from({ length: scenario.damaged }, (_, index) => `bad ${index}.mp4`);
  for (const name of damaged) writeFileSync(join(folder, name), Buffer.alloc(6000, 7));
  const manifest = await manifestOf(
    [...videos.keys(), ...damaged].map((name) => join(folder, name)),
    { preset: scenario.preset, lifetime: scenario.lifetime },
  );
  const troubles = [
    ...Array.from({ length: scenario.clientKills }, () => 'client'),
    ...Array.from({ length: scenario.serviceKills }, () => 'service'),
    ...Array.from({ length: scenario.preemptions }, () => 'preempt'),
  ].sort(() => random() - 0.5);
  await service.fault({ refuseShare: scenario.refuseShare });
  const end = Date.now() + maxScenarioMs;
  let said: Record<string, unknown> | undefined;
  while (said?.succeeded === undefined) {
    assert.ok(Date.now() < end, `not done in time: ${JSON.stringify(said)}`);
    const children = Array.from({ length: scenario.windows }, () =>
      startRunProcess({ connection: service.connection, manifest, claimFolder: join(root, 'claims') }),
    );
    const first = Promise.any(children.map(async (child) => mustBeDone(await child.said)));
    first.catch(() => undefined);
    let trouble = troubles.pop();
    while (trouble) {
      await Promise.race([pause(300 + random() * 2_500), first.catch(() => undefined)]);
      if (trouble === 'client') break;
      if (trouble === 'service') {
        await service.kill();
        await service.start();
        break;
      }
      const poolId = attemptOf(manifest).poolId ?? (await anyPool(service));
      if (poolId) await service.fault({ preempt: poolId }).catch(() => undefined);
      trouble = troubles.pop();
    }
    if (trouble) for (const child of children) child.kill('SIGKILL');
    const all = await Promise.all(children.map((child) => child.said));
    said = all.find(({ succeeded }) => succeeded !== undefined) ?? all[0];
  }
  await service.fault({ refuseShare: 0 });
  await check(service, folder, manifest, videos, said);
}

function sampleOf(root: string, seconds: number): string {
  return join(root, `sample ${seconds}.mp4`);
}

/** A `free` box that enlarges an MP4. */
function filler(): Buffer {
  const box = Buffer.alloc(largeBytes);
  box.writeUInt32BE(largeBytes);
  box.write('free', 4);
  return box;
}

function mustBeDone(said: Record<string, unknown>): Record<string, unknown> {
  if (said.succeeded === undefined) throw new Error(JSON.stringify(said));
  return said;
}

async function anyPool(service: TestService): Promise<string | undefined> {
  const { items } = await partsOf(service).parts.batch.poolPage({ pageSize: 1 });
  return items[0]?.id;
}

async function check(
  service: TestService,
  folder: string,
  manifest: Manifest,
  videos: ReadonlyMap<string, Video>,
  said: Record<string, unknown>,
): Promise<void> {
  const { batch, storage } = partsOf(service).parts;
  const results = await readResults(storage, manifest.outputContainer, never);
  assert.equal(said.unfinished, 0, JSON.stringify(said));
  assert.equal(results.length, manifest.files.length);
  for (const file of manifest.files) {
    const result = results.find(({ id }) => id === file.id);
    assert.ok(result?.problem !== undefined || result?.outputUri !== undefined, file.path);
    const video = videos.get(file.path);
    if (video === undefined) continue;
    assert.equal(result?.problem, undefined, JSON.stringify(result));
    await mustBeComplete(fileURLToPath(result?.outputUri ?? ''), video);
  }
  const there = readdirSync(folder);
  assert.deepEqual(
    there.filter((name) => /transcode-part$/.test(name)),
    [],
  );
  assert.equal(there.length, videos.size * 2 + there.filter((name) => name.startsWith('bad ')).length);
  const things = await ownedResources(batch, storage, never);
  assert.deepEqual(await deleteResources(batch, storage, things, () => undefined, never), []);
  await eventually(
    () => ownedResources(batch, storage, never),
    (left) => left.length === 0,
  );
  for (const text of filesBelow(service.dataDir)) {
    assert.ok(!text.includes(service.credentials.batchKey), 'a key is in a file');
    assert.ok(!text.includes(service.credentials.storageKey), 'a key is in a file');
  }
}

/** Checked with ffprobe, which is independent of the run's own check. */
async function mustBeComplete(output: string, { seconds }: Video): Promise<void> {
  const path = statSync(output).isDirectory() ? join(output, playlistOf(output)) : output;
  if (path.endsWith('.jpg')) return assert.ok((await probe(path)).streams.length === 1, path);
  const made = (await probe(path)).seconds;
  assert.ok(Math.abs(made - seconds) < 0.15, `${path} is ${made} s, not ${seconds} s`);
}

function playlistOf(folder: string): string {
  const found = readdirSync(folder).find((name) => name.endsWith('.m3u8'));
  assert.ok(found, `no playlist in ${folder}`);
  return found;
}

/** The contents of all files below a folder that may change meanwhile. */
function* filesBelow(folder: string): Generator<Buffer> {
  for (const entry of orNothing(() => readdirSync(folder, { withFileTypes: true })) ?? []) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    const content = entry.isFile() ? orNothing(() => readFileSync(path)) : undefined;
    if (content) yield content;
  }
}

function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Command lines of remaining processes of the service, where `ps` exists. */
function leftProcesses(dataDir: string): string[] {
  try {
    return execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes(dataDir));
  } catch {
    return [];
  }
}
