import { setTimeout as pause } from 'node:timers/promises';
import { attemptOf, type Manifest } from '../../src/core/plan/manifest';
import { manifestBlob, readManifest } from '../../src/core/records/manifestStore';
import type { TestService } from './harness';
import type { Deed } from './randomScenario';
import { partsOf } from './runSetup';

const never = new AbortController().signal;

/** Ends the lease of a run, as time does when its window no longer renews it. */
export async function breakLease(service: TestService, { outputContainer }: Manifest): Promise<void> {
  const { storage } = partsOf(service).parts;
  const lease = storage.blob(outputContainer, manifestBlob).getBlobLeaseClient();
  await lease.breakLease(0).catch(() => undefined);
}

/** Does what another client of the account can do to a run. Returns what came of it: there may be nothing to do it to. */
export async function doDeed(service: TestService, deed: Deed, manifest: Manifest): Promise<string> {
  try {
    await deedOf(service, deed, manifest);
    return 'done';
  } catch (error) {
    return `refused: ${(error as { code?: string }).code ?? error}`;
  }
}

async function deedOf(service: TestService, deed: Deed, manifest: Manifest): Promise<unknown> {
  const { batch, storage } = partsOf(service).parts;
  const client = service.client();
  const { outputContainer } = manifest;
  const stored = await readManifest(storage, outputContainer, never).catch(() => manifest);
  const { jobId, inputContainer, poolId } = attemptOf(stored);
  const pool = poolId ?? (await batch.job(jobId))?.executionInfo?.poolId ?? 'none';
  const { id, inputBlob } = manifest.files.at(-1) ?? { id: '', inputBlob: '' };
  switch (deed) {
    case 'terminateJob':
      return batch.terminateJob(jobId, 'SomebodyElse', never);
    case 'deleteJob':
      return batch.deleteJob(jobId, never);
    case 'disableJob':
      await client.job.disable(jobId, 'requeue');
      await pause(1_000);
      return client.job.enable(jobId);
    case 'deleteTask':
      return batch.deleteTask(jobId, id, never);
    case 'terminateTask':
      return batch.terminateTask(jobId, id, never);
    case 'deletePool':
      return batch.deletePool(pool, never);
    case 'resizePool':
      return client.pool.resize(pool, { targetDedicatedNodes: 1, targetLowPriorityNodes: 0 });
    case 'deleteOutput':
      for await (const { name } of storage.blobs(outputContainer, { prefix: `${id}/`, signal: never }))
        await storage.deleteBlob(outputContainer, name, never);
      return undefined;
    case 'deleteInput':
      return storage.deleteBlob(inputContainer, inputBlob, never);
    case 'deleteInputs':
      return storage.deleteContainer(inputContainer, never);
    case 'preempt':
      return service.fault({ preempt: pool });
    case 'breakNode':
      return service.fault({ setNodes: { pool, state: 'unusable', nodes: 1 } });
    case 'breakLease':
      return breakLease(service, manifest);
  }
}
