import type { Image } from '../azure/batch';
import type { VmGeneration } from '../azure/resourceManager';
import { UserError } from '../errors';
import { generationsOf } from './vmSizes';

/**
 * Returns the newest Ubuntu LTS image that the account supports and the size can boot, verified images first. Throws
 * `noImage`. https://learn.microsoft.com/azure/batch/batch-linux-nodes
 */
export function newestUbuntu(
  images: readonly Image[],
  vmSize: string,
  {
    generations = generationsOf(vmSize),
    now = new Date(),
  }: { generations?: readonly VmGeneration[]; now?: Date } = {},
): Image {
  const usable = images.filter(
    (image) =>
      image.osType === 'linux' &&
      image.imageReference.publisher?.toLowerCase() === 'canonical' &&
      ltsVersion(image.nodeAgentSKUId) !== undefined &&
      (image.batchSupportEndOfLife === undefined || image.batchSupportEndOfLife > now) &&
      generations.includes(generationOf(image)) &&
      isPlain(image),
  );
  const [best] = usable.sort(
    (one, other) =>
      Number(other.verificationType === 'verified') - Number(one.verificationType === 'verified') ||
      (ltsVersion(other.nodeAgentSKUId) ?? 0) - (ltsVersion(one.nodeAgentSKUId) ?? 0) ||
      generationOf(other).localeCompare(generationOf(one)),
  );
  if (best === undefined) throw new UserError({ kind: 'noImage', vmSize });
  return best;
}

/** `batch.node.ubuntu 24.04` → 24.04; undefined for other systems and for releases between the LTS ones. */
function ltsVersion(nodeAgent: string): number | undefined {
  const [, year, month] = /ubuntu (\d\d)\.(\d\d)$/i.exec(nodeAgent) ?? [];
  return year && month === '04' && Number(year) % 2 === 0 ? Number(`${year}.${month}`) : undefined;
}

/** From the capabilities of the image or, where it has none, from the name of its SKU. */
function generationOf({ capabilities, imageReference }: Image): VmGeneration {
  const capability = capabilities?.find((name) => /^(hyperv)?gen/i.test(name));
  if (capability) return /1$/.test(capability) ? 'V1' : 'V2';
  const sku = imageReference.sku ?? '';
  if (/gen1$/i.test(sku)) return 'V1';
  return /gen2$|^server$/i.test(sku) ? 'V2' : 'V1';
}

/** Whether it is none of the images for containers, confidential machines, ARM or real-time kernels. */
function isPlain({ imageReference }: Image): boolean {
  return !/container|confidential|cvm|arm64|minimal|pro|fips|realtime|daily/i.test(
    `${imageReference.offer} ${imageReference.sku}`,
  );
}
