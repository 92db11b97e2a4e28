import type { Quota, VmSizes } from '../azure/resourceManager';
import { UserError } from '../errors';
import type { RunPool } from '../plan/manifest';
import { familyOf, quotaCores } from '../pools/vmSizes';

/** Throws a `quota` problem if the quota does not even allow one node of a kind that the pool is to have. */
export function refuseBeyond(
  { dedicatedCores, spotCores, families }: Quota,
  pool: RunPool,
  sizes?: VmSizes,
): void {
  const cores = quotaCores(pool.vmSize, sizes) ?? 1;
  const family = familyOf(pool.vmSize, sizes)?.toLowerCase();
  const familyCores = [...(families ?? [])].find(([name]) => name.toLowerCase() === family)?.[1];
  const dedicated = Math.min(
    dedicatedCores ?? Number.POSITIVE_INFINITY,
    familyCores ?? Number.POSITIVE_INFINITY,
  );
  const spot = spotCores ?? Number.POSITIVE_INFINITY;
  const canDedicated = pool.dedicatedNodes > 0 && dedicated >= cores;
  const canSpot = pool.spotNodes > 0 && spot >= cores;
  if (canDedicated || canSpot) return;
  throw new UserError(
    pool.spotNodes > 0
      ? { kind: 'quota', what: 'spotCores', needed: cores, available: spot }
      : { kind: 'quota', what: 'dedicatedCores', needed: cores, available: dedicated },
  );
}
