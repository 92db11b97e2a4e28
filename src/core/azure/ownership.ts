import type { Batch, Pool } from './batch';
import { everyItem } from './pages';

/** How the id of everything of ours begins; it narrows a list, and proves nothing. */
export const ownPrefix = 'transcode';

/** Metadata by which our pools, jobs and containers are told from other people's: a name proves nothing. */
export const madeBy = {
  name: 'azureBatchTranscode',
  run: 'azureBatchTranscodeRun',
  spec: 'azureBatchTranscodeSpec',
};

/** What of a pool's or job's metadata is ours, by name; undefined where it is not there. */
export function ownMetadata(
  metadata: readonly { readonly name: string; readonly value: string }[] | undefined,
  name: keyof typeof madeBy,
): string | undefined {
  return metadata?.find((item) => item.name === madeBy[name])?.value;
}

/** The pools of an account that are ours, with the members that are selected beside `metadata`. */
export async function* ownPools(batch: Batch, select: string, signal: AbortSignal): AsyncGenerator<Pool> {
  const options = { filter: `startswith(id,'${ownPrefix}')`, select: `metadata,${select}`, signal };
  for await (const pool of everyItem((next) => batch.poolPage(options, next))) {
    if (ownMetadata(pool.metadata, 'name') !== undefined) yield pool;
  }
}
