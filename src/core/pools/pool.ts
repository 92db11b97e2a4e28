import { createHash } from 'node:crypto';
import type { Batch, Image, Pool, PoolSpec } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { madeBy, ownMetadata } from '../azure/ownership';
import { UserError } from '../errors';
import type { Limits, RunPool } from '../plan/manifest';
import { waitFor } from '../wait';

/** Minutes during which a pool keeps its nodes after a submission, whatever its task samples say: they lag. */
const freshMinutes = 15;

/** Batch's minimum. */
const evaluationMinutes = 5;

export interface PoolChoice {
  readonly id: string;
  readonly reused: boolean;
}

/**
 * Finds or makes the pool for a run. A pool is recognised by the hash of its specification, never by its name alone;
 * one of that name that is not ours is left alone and the next free name is used.
 */
export async function ensurePool(
  batch: Batch,
  pool: RunPool,
  nodes: NodeTargets,
  signal: AbortSignal,
): Promise<PoolChoice> {
  const spec = await poolSpec(batch, pool, signal);
  const hash = specHash(spec);
  for (let suffix = 1; ; suffix++) {
    const id = `transcode-${hash}${suffix === 1 ? '' : `-${suffix}`}`;
    const there = await settled(batch, id, signal);
    if (there === undefined) {
      const added = await addPool(batch, { id, spec, hash, pool, nodes }, signal);
      if (added) return { id, reused: false };
      suffix--;
      continue;
    }
    if (!isOurs(there, hash)) continue;
    await wake(batch, there, pool, nodes, signal);
    return { id, reused: true };
  }
}

export interface NodeTargets {
  readonly dedicated: number;
  readonly spot: number;
}

/** No more nodes than the tasks can use; dedicated ones first, since they cannot be taken away. */
export function nodeTargets(pool: RunPool, tasks: number): NodeTargets {
  const useful = Math.ceil(tasks / pool.slotsPerNode);
  const dedicated = Math.min(pool.dedicatedNodes, useful);
  return { dedicated, spot: Math.min(pool.spotNodes, useful - dedicated) };
}

/** Hours that all nodes together may exist for a run, when everything takes as long as it may. */
export function maximalNodeHours(pool: RunPool, limits: Limits, tasks: number): number {
  const { dedicated, spot } = nodeTargets(pool, tasks);
  const afterwards = pool.lifetime === 'scaleToZero' ? freshMinutes : 0;
  return ((dedicated + spot) * (limits.jobMinutes + afterwards)) / 60;
}

/** What the service needs to make nodes: image, size, slots and start task, without how many. */
export async function poolSpec(batch: Batch, pool: RunPool, signal: AbortSignal): Promise<PoolSpec> {
  const image = newestUbuntu(await batch.images(signal), pool.vmSize);
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
 * Waits for other users of apt (a new node runs its own upgrades first) and for mirrors that do not answer, rather
 * than failing at once: https://github.com/Azure-Samples/azure-batch-samples/issues/200.
 */
const apt = 'apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3';
const installFfmpeg = [
  'command -v ffmpeg >/dev/null && exit 0',
  'export DEBIAN_FRONTEND=noninteractive',
  `for attempt in 1 2 3 4 5; do ${apt} update && ${apt} install -y --no-install-recommends ffmpeg && exit 0; sleep 15; done`,
  'exit 1',
].join('; ');

/** Sizes whose virtual machines boot only the first image generation: the A, D, Dv2 and older families. */
const firstGenerationOnly =
  /^(standard|basic)_(a\d|d\d+(_v2|_v3)?$|ds?\d+(_v2)?$|f\d+s?$|g\d|nc\d+(r|rs_v2)?$)/i;

/**
 * The newest Ubuntu LTS that the account supports and the size boots, verified images first.
 * https://learn.microsoft.com/azure/batch/batch-linux-nodes
 */
export function newestUbuntu(images: Image[], vmSize: string, now = new Date()): Image {
  const generation = firstGenerationOnly.test(vmSize) ? 'V1' : 'V2';
  const usable = images.filter(
    ({ osType, imageReference, batchSupportEndOfLife, nodeAgentSKUId }) =>
      osType === 'linux' &&
      imageReference.publisher?.toLowerCase() === 'canonical' &&
      /ubuntu/i.test(nodeAgentSKUId) &&
      ltsVersion(nodeAgentSKUId) !== undefined &&
      (batchSupportEndOfLife === undefined || batchSupportEndOfLife > now),
  );
  const [best] = usable
    .filter((image) => generationOf(image) === generation && isPlain(image))
    .sort(
      (one, other) =>
        Number(other.verificationType === 'verified') - Number(one.verificationType === 'verified') ||
        (ltsVersion(other.nodeAgentSKUId) ?? 0) - (ltsVersion(one.nodeAgentSKUId) ?? 0),
    );
  if (best === undefined) throw new UserError({ kind: 'noImage', vmSize });
  return best;
}

/** `batch.node.ubuntu 24.04` → 24.04; undefined for the releases between the LTS ones. */
function ltsVersion(nodeAgent: string): number | undefined {
  const [, year, month] = /ubuntu (\d\d)\.(\d\d)$/i.exec(nodeAgent) ?? [];
  return year && month === '04' && Number(year) % 2 === 0 ? Number(`${year}.${month}`) : undefined;
}

function generationOf({ capabilities, imageReference }: Image): 'V1' | 'V2' {
  const told = capabilities?.find((capability) => /^(hyperv)?gen/i.test(capability));
  if (told) return /1$/.test(told) ? 'V1' : 'V2';
  const sku = imageReference.sku ?? '';
  if (/gen1$/i.test(sku)) return 'V1';
  return /gen2$|^server$/i.test(sku) ? 'V2' : 'V1';
}

/** Not an image for containers, confidential machines, ARM or real-time kernels. */
function isPlain({ imageReference }: Image): boolean {
  return !/container|confidential|cvm|arm64|minimal|pro|fips|realtime|daily/i.test(
    `${imageReference.offer} ${imageReference.sku}`,
  );
}

/** Ten hex digits that change with anything that makes nodes differ. */
export function specHash(spec: PoolSpec): string {
  return createHash('sha256').update(JSON.stringify(spec)).digest('hex').slice(0, 10);
}

/**
 * All nodes while tasks wait or the submission is young, else none: an idle pool costs nothing, and nodes of the next
 * run come with the evaluation that enabling autoscale makes at once.
 * https://learn.microsoft.com/azure/batch/batch-automatic-scaling
 */
export function scaleToZeroFormula({ dedicated, spot }: NodeTargets, now = new Date()): string {
  const freshUntil = new Date(now.getTime() + freshMinutes * 60_000).toISOString().replace(/\.\d+/, '');
  return [
    `fresh = time() < time("${freshUntil}");`,
    'samples = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 5);',
    'pending = samples < 50 ? max(0, $PendingTasks.GetSample(1)) : max($PendingTasks.GetSample(TimeInterval_Minute * 5));',
    'busy = fresh || pending > 0;',
    `$TargetDedicatedNodes = busy ? ${dedicated} : 0;`,
    `$TargetLowPriorityNodes = busy ? ${spot} : 0;`,
    '$NodeDeallocationOption = taskcompletion;',
  ].join('\n');
}

/**
 * Whether a formula of ours still gives a run its nodes: enabling it again would be refused for 30 seconds after the
 * last time (TooManyEnableAutoScaleRequests), and submissions come in quick succession.
 */
export function givesNodes(
  formula: string | undefined,
  { dedicated, spot }: NodeTargets,
  now = new Date(),
): boolean {
  const number = (pattern: RegExp) => Number(pattern.exec(formula ?? '')?.[1] ?? -1);
  const freshUntil = Date.parse(/fresh = time\(\) < time\("([^"]+)"\)/.exec(formula ?? '')?.[1] ?? '');
  return (
    freshUntil - now.getTime() > (freshMinutes - evaluationMinutes) * 60_000 &&
    number(/\$TargetDedicatedNodes = busy \? (\d+)/) >= dedicated &&
    number(/\$TargetLowPriorityNodes = busy \? (\d+)/) >= spot
  );
}

/** Gives a pool whose Spot nodes are taken away again and again dedicated ones instead, as many. */
export async function useDedicatedNodes(
  batch: Batch,
  poolId: string,
  lifetime: RunPool['lifetime'],
  { dedicated, spot }: NodeTargets,
  signal: AbortSignal,
): Promise<NodeTargets> {
  const nodes = { dedicated: dedicated + spot, spot: 0 };
  if (lifetime === 'scaleToZero')
    await batch.enableAutoScale(poolId, scaleToZeroFormula(nodes), evaluationMinutes, signal);
  else
    await resize(batch, poolId, { targetDedicatedNodes: nodes.dedicated, targetLowPriorityNodes: 0 }, signal);
  return nodes;
}

interface NewPool {
  readonly id: string;
  readonly spec: PoolSpec;
  readonly hash: string;
  readonly pool: RunPool;
  readonly nodes: NodeTargets;
}

/** False when somebody made a pool of that name in between. */
async function addPool(
  batch: Batch,
  { id, spec, hash, pool, nodes }: NewPool,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await batch.addPool(
      {
        id,
        ...spec,
        ...(pool.lifetime === 'scaleToZero'
          ? {
              enableAutoScale: true,
              autoScaleFormula: scaleToZeroFormula(nodes),
              autoScaleEvaluationInterval: `PT${evaluationMinutes}M`,
            }
          : { targetDedicatedNodes: nodes.dedicated, targetLowPriorityNodes: nodes.spot }),
        metadata: [
          { name: madeBy.name, value: 'pool' },
          { name: madeBy.spec, value: hash },
        ],
      },
      signal,
    );
    return true;
  } catch (error) {
    if (isBatchCode(error, 'PoolExists')) return false;
    if (isBatchCode(error, 'PoolQuotaReached')) throw new UserError({ kind: 'quota', what: 'pools' });
    throw error;
  }
}

/** The pool, once it is not being deleted any more: undefined when there is none. */
async function settled(batch: Batch, id: string, signal: AbortSignal): Promise<Pool | undefined> {
  return waitFor(
    async () => {
      const pool = await batch.pool(id, { signal });
      return { value: pool, done: pool?.state !== 'deleting' };
    },
    {
      signal,
      minutes: 15,
      stuck: () => new UserError({ kind: 'poolUnusable', pool: id, detail: 'deleting' }),
    },
  );
}

function isOurs(pool: Pool, hash: string): boolean {
  return ownMetadata(pool.metadata, 'spec') === hash;
}

/** Gives a pool that was kept the nodes of this run. */
async function wake(
  batch: Batch,
  there: Pool,
  pool: RunPool,
  nodes: NodeTargets,
  signal: AbortSignal,
): Promise<void> {
  const id = there.id ?? '';
  if (pool.lifetime === 'scaleToZero') {
    if (there.enableAutoScale && givesNodes(there.autoScaleFormula, nodes)) return;
    await batch.enableAutoScale(id, scaleToZeroFormula(nodes), evaluationMinutes, signal);
    return;
  }
  if (there.enableAutoScale) await batch.disableAutoScale(id, signal);
  const enough =
    !there.enableAutoScale &&
    (there.targetDedicatedNodes ?? 0) >= nodes.dedicated &&
    (there.targetLowPriorityNodes ?? 0) >= nodes.spot;
  if (enough) return;
  const larger = {
    targetDedicatedNodes: Math.max(there.targetDedicatedNodes ?? 0, nodes.dedicated),
    targetLowPriorityNodes: Math.max(there.targetLowPriorityNodes ?? 0, nodes.spot),
  };
  await resize(batch, id, larger, signal);
}

/** Resizes a pool as soon as the resize before is over. */
async function resize(
  batch: Batch,
  id: string,
  targets: { targetDedicatedNodes: number; targetLowPriorityNodes: number },
  signal: AbortSignal,
): Promise<void> {
  await waitFor(
    async () => {
      try {
        await batch.resizePool(id, targets, signal);
        return { value: undefined, done: true };
      } catch (error) {
        if (isBatchCode(error, 'PoolBeingResized')) return { value: undefined, done: false };
        throw error;
      }
    },
    {
      signal,
      minutes: 15,
      stuck: () => new UserError({ kind: 'poolUnusable', pool: id, detail: 'resizing' }),
    },
  );
}
