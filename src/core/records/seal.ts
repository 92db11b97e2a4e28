import { createHash } from 'node:crypto';
import { madeBy } from '../azure/ownership';
import type { Storage } from '../azure/storage';
import { UserError } from '../errors';
import type { Manifest } from '../plan/manifest';

/** What is decided when a run is planned. A retry adds files that were repaired. */
type Planned = Pick<Manifest, 'files' | 'refused' | 'onConflict' | 'preset' | 'pool' | 'limits'>;

/**
 * A digest of what a run reads and writes on this machine and asks of the account. The metadata of the output container holds
 * it: tasks have a SAS with which they could write another manifest, but no metadata.
 * https://learn.microsoft.com/rest/api/storageservices/create-service-sas
 */
export function sealOf({ files, refused, onConflict, preset, pool, limits }: Planned): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([onConflict, preset, pool, limits]));
  for (const file of files) hash.update(`\n${JSON.stringify(file)}`);
  for (const { path, uri } of refused) hash.update(`\n${JSON.stringify([path, uri])}`);
  return hash.digest('base64url');
}

/**
 * Throws `runAltered` for a manifest that this extension has not written. Containers of earlier versions have no seal, and
 * any manifest.
 */
export async function checkSeal(
  storage: Storage,
  container: string,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<void> {
  const metadata = (await storage.containerMetadata(container, signal)) ?? {};
  const name = madeBy.seal.toLowerCase();
  const [, seals] = Object.entries(metadata).find(([key]) => key.toLowerCase() === name) ?? [];
  if (seals === undefined || seals.split(' ').includes(sealOf(manifest))) return;
  throw new UserError({ kind: 'runAltered', run: container });
}
