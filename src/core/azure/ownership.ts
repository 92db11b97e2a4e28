import type { Batch, Pool } from './batch';
import { everyItem } from './pages';

/** How the ids of this extension's resources begin. It only narrows a list: the metadata of a resource identifies it. */
export const ownPrefix = 'transcode';

/** Names of the metadata of this extension's pools, jobs and containers. */
export const madeBy = {
  /** Its value is the role of the resource: `pool`, `job`, `input`, `output` or `check`. */
  name: 'azureBatchTranscode',
  run: 'azureBatchTranscodeRun',
  /** The job of an auto pool. Missing in those of earlier versions. */
  job: 'azureBatchTranscodeJob',
  spec: 'azureBatchTranscodeSpec',
  /** A random value that tells which request made a pool. */
  request: 'azureBatchTranscodeRequest',
  /** The job that will use a pool that existed, and when its run chose the pool: `JOB TIME`, ISO 8601. */
  chosenFor: 'azureBatchTranscodeChosenFor',
  preset: 'azureBatchTranscodePreset',
  /** Digests of the files of a run, on its output container. See `records/seal`. */
  seal: 'azureBatchTranscodeSeal',
};

type Metadata = readonly { readonly name: string; readonly value: string }[] | undefined;

/** Returns the value of one of our metadata names on a pool or job, or undefined. */
export function ownMetadata(metadata: Metadata, name: keyof typeof madeBy): string | undefined {
  return metadata?.find((item) => item.name === madeBy[name])?.value;
}

/**
 * Returns a value of the metadata of a container, or undefined. Storage returns metadata names in lower case or as they were
 * written, depending on the request.
 */
export function metadataValue(metadata: Record<string, string>, name: string): string | undefined {
  return Object.entries(metadata).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
}

/** Whether this extension made a pool or job. */
export function isOwn(metadata: Metadata, role: 'pool' | 'job'): boolean {
  return ownMetadata(metadata, 'name') === role;
}

/** Whether this extension made a pool or job for this run; with undefined, for no run. */
export function isOfRun(metadata: Metadata, role: 'pool' | 'job', runId: string | undefined): boolean {
  return isOwn(metadata, role) && ownMetadata(metadata, 'run') === runId;
}

/** Lists the pools that this extension made, with the selected members beside `metadata`. */
export async function* ownPools(batch: Batch, select: string, signal: AbortSignal): AsyncGenerator<Pool> {
  const options = { filter: `startswith(id,'${ownPrefix}')`, select: `metadata,${select}`, signal };
  for await (const pool of everyItem((next) => batch.poolPage(options, next))) {
    if (isOwn(pool.metadata, 'pool')) yield pool;
  }
}
