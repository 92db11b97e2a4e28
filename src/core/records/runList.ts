import { madeBy } from '../azure/ownership';
import type { Storage } from '../azure/storage';
import { outputContainerOf } from '../plan/manifest';

/** A run, as the metadata of its output container describes it. */
export interface ListedRun {
  readonly runId: string;
  readonly outputContainer: string;
  /** Name of the workspace it was started in. */
  readonly workspace: string;
  readonly modified: Date;
}

/** Lists the runs that an account holds, from all users and machines, the newest first. */
export async function runsOf(storage: Storage, signal: AbortSignal): Promise<ListedRun[]> {
  const runs: ListedRun[] = [];
  for await (const { name, metadata, modified } of storage.containers('transcode-', signal)) {
    const values = new Map(Object.entries(metadata).map(([key, value]) => [key.toLowerCase(), value]));
    const runId = values.get(madeBy.run.toLowerCase());
    if (values.get(madeBy.name.toLowerCase()) !== 'output' || runId === undefined) continue;
    // Others can copy the metadata of a run.
    if (name !== outputContainerOf(runId)) continue;
    runs.push({ runId, outputContainer: name, workspace: values.get('workspace') ?? '', modified });
  }
  return runs.sort((one, other) => other.runId.localeCompare(one.runId));
}
