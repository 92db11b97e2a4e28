import type { BatchServiceClient } from '@azure/batch';
import type { Workbench } from '../../scripts/workbench.mjs';
import type { TestService } from '../../test/service/harness';
import type { Relay } from '../../test/service/relay';

/** What a row shows of the Batch account of a service. */
export const hostOf = ({ ready }: TestService) => new URL(ready.batchUrl).host;

export const jobId = (index: number) => `job-${String(index).padStart(7, '0')}`;

/** Adds jobs that have ended, because the number of active jobs is limited. */
export async function addJobs(client: BatchServiceClient, from: number, count: number): Promise<void> {
  for (let index = from; index < from + count; index++) {
    await client.job.add({ id: jobId(index), poolInfo: { poolId: 'pool' } });
    await client.job.terminate(jobId(index));
  }
}

/** Connects the account of a service, with its storage behind the URL of a relay. */
export async function connect(workbench: Workbench, service: TestService, blobUrl: string): Promise<void> {
  const { batchKey, storageName, storageKey } = service.credentials;
  const storage = `AccountName=${storageName};AccountKey=${storageKey};BlobEndpoint=${blobUrl}`;
  await workbench.run('Azure Batch: Connect an Azure Batch Account…');
  await workbench.pick('Account keys');
  for (const [prompt, text] of [
    ['URL of the Batch account', service.ready.batchUrl],
    ['Access key of the Batch account', batchKey],
    ['Name of its storage account', storage],
  ] as const) {
    await workbench.answer(prompt, text);
  }
  await workbench.toast('Connected to').waitFor();
  const report = workbench.page.frameLocator('iframe.webview.ready').frameLocator('iframe');
  await report.getByText('Upload and download a test blob').first().waitFor();
  await workbench.run('Notifications: Clear All Notifications');
  await workbench.run('View: Close All Editors');
}

/** The last click that starts the run of a video. */
export async function startOf(workbench: Workbench, preset: string): Promise<{ click(): Promise<void> }> {
  await workbench.rightClick('one.mp4');
  await workbench.choose('Transcode on Azure Batch');
  await workbench.pick(preset);
  await workbench
    .quickPick(/About|node-hour/)
    .first()
    .waitFor();
  return workbench.quickPick('Transcode').first();
}

/** What the parts of the benchmark work with. */
export interface Place {
  /** A folder for workspaces. */
  readonly root: string;
  readonly service: TestService;
  /** In front of the storage of the service. */
  readonly blobs: Relay;
}
