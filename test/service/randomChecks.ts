import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { hasEnded } from '../../src/core/azure/batchCall';
import { madeBy } from '../../src/core/azure/ownership';
import { deleteResources } from '../../src/core/cleanUp/deleteResources';
import { ownedResources } from '../../src/core/cleanUp/ownedResources';
import type { FileResult, Manifest } from '../../src/core/plan/manifest';
import { readManifest } from '../../src/core/records/manifestStore';
import { readResults } from '../../src/core/records/resultJournal';
import { probe } from '../media';
import { eventually, type TestService } from './harness';
import { type Deed, isExpected, type Scenario } from './randomScenario';
import { partsOf } from './runSetup';

const never = new AbortController().signal;

/** What was done in a scenario. */
export interface Played {
  readonly manifest: Manifest;
  readonly folder: string;
  /** A file of the user that has the name of an output. */
  readonly precious: string;
  readonly scenario: Scenario;
  readonly done: ReadonlySet<Deed>;
}

export const preciousText = 'Not an output.';

/**
 * Checks that each file has its whole output or a true reason, and the folder nothing else. `mayBeUnfinished`: the run was
 * canceled, or could not be created. Returns the bytes of an MP3, which are those of every other one; `expected`: from before.
 */
export async function checkFiles(
  { manifest, folder, precious, scenario, done }: Played,
  results: ReadonlyMap<string, FileResult>,
  { mayBeUnfinished, expected }: { readonly mayBeUnfinished: boolean; readonly expected?: Buffer },
): Promise<Buffer | undefined> {
  assert.equal(readFileSync(precious, 'utf8'), preciousText, 'a file was overwritten');
  let succeeded = 0;
  let output = expected;
  for (const { id, path, output: made } of manifest.files) {
    const result = results.get(id);
    if (result === undefined) {
      assert.ok(mayBeUnfinished, `${path} has no result`);
      continue;
    }
    const { problem, outputUri = '' } = result;
    if (problem) {
      const isEnded = mayBeUnfinished && problem.kind === 'ended';
      assert.ok(isEnded || isExpected(problem, scenario, done), `${path}: ${JSON.stringify(problem)}`);
      continue;
    }
    succeeded++;
    const at = fileURLToPath(outputUri);
    if (scenario.preset === 'h264-480p')
      assert.ok(Math.abs((await probe(at)).seconds - 12) < 0.2, `${at} is not whole`);
    else if (made.isFolder) assert.ok(readdirSync(at).includes('master.m3u8'), `${at} is incomplete`);
    else {
      const bytes = readFileSync(at);
      output ??= bytes;
      assert.ok(bytes.equals(output), `${at} is not whole`);
    }
  }
  const names = readdirSync(folder).filter((name) => !/^clip \d\.mp4$/.test(name));
  assert.equal(names.length, succeeded + 1, `in the folder: ${names.join(', ')}`);
  return output;
}

/** Checks that the account holds what the run knows, and that no job goes on and no nodes are left without an owner. */
export async function checkAccount(
  service: TestService,
  { runId, outputContainer, pool: { lifetime } }: Manifest,
  results: ReadonlyMap<string, FileResult>,
  isCanceled: boolean,
): Promise<void> {
  const client = service.client();
  const { storage } = partsOf(service).parts;
  const stored = await readManifest(storage, outputContainer, never).catch(() => undefined);
  if (stored !== undefined) {
    const journal = await readResults(storage, outputContainer, never);
    const kinds = (all: Iterable<FileResult>) =>
      [...all].map(({ id, problem }) => `${id} ${problem?.kind ?? 'succeeded'}`).sort();
    assert.deepEqual(kinds(journal), kinds(results.values()));
  }
  await eventually(
    async () => {
      const options = { filter: `startswith(id,'transcode-${runId}')` };
      const jobs = await client.job.list({ jobListOptions: options });
      return jobs.filter((job) => !hasEnded(job)).map(({ id, state }) => `${id} is ${state}`);
    },
    (open) => open.length === 0,
  );
  for (const { inputContainer } of (!isCanceled && stored?.attempts) || [])
    assert.equal(await storage.containerMetadata(inputContainer, never), undefined, inputContainer);
  const tasks = await Promise.all(
    (stored?.attempts ?? []).map(({ jobId }) => client.task.list(jobId).catch(() => [])),
  );
  const hadTasks = tasks.flat().length > 0 || stored?.attempts.some(({ submitted }) => submitted?.tasks);
  await eventually(
    async () => {
      const pools = (await client.pool.list()).filter(
        ({ state, metadata }) => state !== 'deleting' && metadata?.some(({ name }) => name === madeBy.name),
      );
      return pools.flatMap(
        ({ id, enableAutoScale, targetDedicatedNodes = 0, targetLowPriorityNodes = 0 }) => {
          if (lifetime === 'run') return `${id} exists`;
          const mayHaveNodes = enableAutoScale || (lifetime === 'keep' && hadTasks);
          const nodes = targetDedicatedNodes + targetLowPriorityNodes;
          return nodes > 0 && !mayHaveNodes ? `${id} has ${nodes} nodes` : [];
        },
      );
    },
    (left) => left.length === 0,
  );
}

/** Checks that a clean-up leaves nothing. */
export async function checkCleanUp(service: TestService): Promise<void> {
  const { batch, storage } = partsOf(service).parts;
  const all = await ownedResources(batch, storage, never);
  for (const { resource, problem } of await deleteResources(batch, storage, all, () => undefined, never)) {
    // For three minutes, a pool that a run has chosen for a job counts as used, also if the job was deleted since.
    assert.deepEqual([resource.kind, problem], ['pool', { kind: 'resourceKept', why: 'used' }]);
    await batch.deletePool(resource.id, never);
  }
  await eventually(
    () => ownedResources(batch, storage, never),
    (left) => left.length === 0,
  );
}
