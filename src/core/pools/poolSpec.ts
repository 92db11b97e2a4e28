import { createHash } from 'node:crypto';
import type { Batch, PoolSpec } from '../azure/batch';
import type { PoolLifetime, RunPool } from '../plan/manifest';
import { newestUbuntu } from './images';

/** Everything that makes nodes: image, size, slots and start task. The number of nodes is not part of it. */
export async function poolSpec(batch: Batch, pool: RunPool, signal: AbortSignal): Promise<PoolSpec> {
  const image = newestUbuntu(await batch.images(signal), pool.vmSize, { now: batch.now() });
  return {
    vmSize: pool.vmSize,
    virtualMachineConfiguration: {
      imageReference: {
        publisher: image.imageReference.publisher,
        offer: image.imageReference.offer,
        sku: image.imageReference.sku,
        version: 'latest',
      },
      nodeAgentSKUId: image.nodeAgentSKUId,
    },
    ...(pool.subnetId !== undefined && { networkConfiguration: { subnetId: pool.subnetId } }),
    taskSlotsPerNode: pool.slotsPerNode,
    taskSchedulingPolicy: { nodeFillType: 'spread' },
    startTask: {
      commandLine: `/bin/bash -c "${installFfmpeg}"`,
      userIdentity: { autoUser: { scope: 'pool', elevationLevel: 'admin' } },
      waitForSuccess: true,
      maxTaskRetryCount: 2,
    },
  };
}

/**
 * Waits for other users of apt, because a new node runs its own upgrades first, and retries mirrors that do not answer:
 * https://github.com/Azure-Samples/azure-batch-samples/issues/200.
 */
const apt = 'apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3';
const installFfmpeg = [
  'command -v ffmpeg >/dev/null && exit 0',
  'export DEBIAN_FRONTEND=noninteractive',
  `for attempt in 1 2 3 4 5; do ${apt} update && ${apt} install -y --no-install-recommends ffmpeg && exit 0; sleep 15; done`,
  'exit 1',
].join('; ');

/**
 * Ten hexadecimal digits that change with anything that makes pools differ. The lifetime does: a run that scales its pool
 * to zero never gets a pool whose nodes are to be kept.
 */
export function specHash(spec: PoolSpec, lifetime: PoolLifetime): string {
  return createHash('sha256')
    .update(JSON.stringify([spec, lifetime]))
    .digest('hex')
    .slice(0, 10);
}
