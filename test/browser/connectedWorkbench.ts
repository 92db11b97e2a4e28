import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { Workbench } from '../../scripts/workbench.mjs';
import { type FaultyProxy, faultyProxy } from '../service/faultyProxy';
import { machine, TestService } from '../service/harness';

/** Deletes a folder that a process which is just ending may still write to. */
export const deleting = { recursive: true, force: true, maxRetries: 10, retryDelay: 500 };

/** A workbench with an account of a service that the test controls, behind a proxy that counts requests. */
export interface ConnectedWorkbench {
  readonly folder: string;
  readonly service: TestService;
  readonly proxy: FaultyProxy;
  readonly batch: BatchServiceClient;
  readonly blobs: BlobServiceClient;
  readonly workbench: Workbench;
  close(): Promise<void>;
}

/** Starts a service, opens a workbench and connects its account by keys, as a user does. */
export async function connectedWorkbench(
  options: Parameters<typeof Workbench.open>[1] = {},
): Promise<ConnectedWorkbench> {
  const folder = mkdtempSync(join(tmpdir(), 'transcode-explorer-'));
  const service = await TestService.start();
  const proxy = await faultyProxy(service.ready.batchUrl);
  let workbench: Workbench | undefined;
  const close = async () => {
    await workbench?.close();
    await proxy.close();
    await service.close();
    rmSync(folder, deleting);
  };
  try {
    workbench = await Workbench.open(folder, options);
    await connect(workbench, service, proxy.url);
  } catch (error) {
    await workbench?.screenshot('out/test-artifacts', 'connect-failed');
    await close();
    throw error;
  }
  const { storageKey, storageName } = service.credentials;
  const blobs = new BlobServiceClient(
    service.ready.blobUrl,
    new StorageSharedKeyCredential(storageName, storageKey),
  );
  return { folder, service, proxy, workbench, batch: service.client(), blobs, close };
}

/** Connects an account by its keys, as a user does. */
async function connect(workbench: Workbench, service: TestService, batchUrl: string): Promise<void> {
  const { batchKey, storageKey, storageName } = service.credentials;
  const blobEndpoint = service.ready.blobUrl;
  await workbench.run('Azure Batch: Connect an Azure Batch Account…');
  await workbench.pick('Account keys');
  const storage = `AccountName=${storageName};AccountKey=${storageKey};BlobEndpoint=${blobEndpoint}`;
  await workbench.answer(/URL/, batchUrl);
  await workbench.answer(/Access key/, batchKey);
  await workbench.answer(/connection string/, storage);
  await workbench.toast(/Connected to|works|connection/).waitFor();
  await workbench.run('Notifications: Clear All Notifications');
  await workbench.run('View: Close All Editors');
}

/** Makes a pool with dedicated nodes, and resolves when they are idle. */
export async function addPool(
  batch: BatchServiceClient,
  id: string,
  dedicated: number,
  spot = 0,
  extra: Partial<BatchServiceModels.PoolAddParameter> = {},
): Promise<void> {
  await batch.pool.add({
    id,
    ...machine,
    targetDedicatedNodes: dedicated,
    targetLowPriorityNodes: spot,
    ...extra,
  });
}

/** Makes a job with tasks that run a command line. */
export async function addJob(
  batch: BatchServiceClient,
  id: string,
  poolId: string,
  commandLines: readonly string[],
): Promise<void> {
  await batch.job.add({ id, poolInfo: { poolId } });
  for (let start = 0; start < commandLines.length; start += 100) {
    const tasks = commandLines.slice(start, start + 100).map((commandLine, index) => ({
      id: `task-${String(start + index).padStart(4, '0')}`,
      commandLine,
    }));
    await batch.task.addCollection(id, tasks);
  }
}
