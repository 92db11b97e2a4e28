import { createHash } from 'node:crypto';
import { madeBy, metadataValue } from '../azure/ownership';
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

/** Each seal is 43 characters, and a container holds 8 KiB of metadata. */
const maxSeals = 8;

/** The seals of a container; undefined for containers of earlier versions, which have none. */
async function readSeals(
  storage: Storage,
  container: string,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  const metadata = (await storage.containerMetadata(container, signal)) ?? {};
  return metadataValue(metadata, madeBy.seal)?.split(' ');
}

/**
 * The seals of a container with these as the last ones. Earlier ones stay: a write of the metadata has no condition, and must not
 * make the manifest of another window invalid. The oldest ones go when there are too many.
 */
export async function withSeals(
  storage: Storage,
  container: string,
  seals: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const earlier = (await readSeals(storage, container, signal)) ?? [];
  return [...earlier.filter((seal) => !seals.includes(seal)), ...seals].slice(-maxSeals);
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
  const seals = await readSeals(storage, container, signal);
  if (seals === undefined || seals.includes(sealOf(manifest))) return;
  throw new UserError({ kind: 'runAltered', run: container });
}
