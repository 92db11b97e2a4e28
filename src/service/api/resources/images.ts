import { BatchError, invalidProperty } from '../../wire/errors';
import type { Wire } from '../../wire/wire';

interface Image {
  readonly publisher: string;
  readonly offer: string;
  readonly sku: string;
  readonly nodeAgentSKUId: string;
  readonly verificationType?: 'unverified';
  readonly osType?: 'windows';
  readonly batchSupportEndOfLife?: string;
  readonly capabilities?: readonly string[];
}

const jammyEnd = '2027-06-01T00:00:00Z';
const windows = (sku: string): Image => ({
  publisher: 'microsoftwindowsserver',
  offer: 'windowsserver',
  sku,
  nodeAgentSKUId: 'batch.node.windows amd64',
  osType: 'windows',
});

/** Core editions are listed from 2019 on, and images of the second generation from 2022 on. */
function windowsSkus(year: number): string[] {
  const core = year < 2019 ? [] : ['datacenter-core', 'datacenter-core-smalldisk'];
  const skus = ['datacenter', 'datacenter-smalldisk', ...core].map((edition) => `${year}-${edition}`);
  return year < 2022 ? skus : skus.flatMap((sku) => [sku, `${sku}-g2`]);
}

/**
 * Images as Azure lists them in 2026. A pool of another image is refused, as Azure does. Which one of them a pool has
 * decides nothing here, since tasks run on this machine.
 */
const images: readonly Image[] = [
  {
    publisher: 'canonical',
    offer: '0001-com-ubuntu-server-jammy',
    sku: '22_04-lts',
    nodeAgentSKUId: 'batch.node.ubuntu 22.04',
    batchSupportEndOfLife: jammyEnd,
  },
  {
    publisher: 'canonical',
    offer: '0001-com-ubuntu-server-jammy',
    sku: '22_04-lts-gen2',
    nodeAgentSKUId: 'batch.node.ubuntu 22.04',
    batchSupportEndOfLife: jammyEnd,
  },
  {
    publisher: 'canonical',
    offer: 'ubuntu-24_04-lts',
    sku: 'server',
    nodeAgentSKUId: 'batch.node.ubuntu 24.04',
  },
  {
    publisher: 'canonical',
    offer: 'ubuntu-24_04-lts',
    sku: 'server-gen1',
    nodeAgentSKUId: 'batch.node.ubuntu 24.04',
  },
  {
    publisher: 'debian',
    offer: 'debian-12',
    sku: '12-gen2',
    nodeAgentSKUId: 'batch.node.debian 12',
    verificationType: 'unverified',
  },
  { publisher: 'almalinux', offer: 'almalinux', sku: '8-gen2', nodeAgentSKUId: 'batch.node.el 8' },
  { publisher: 'almalinux', offer: 'almalinux-x86_64', sku: '9-gen2', nodeAgentSKUId: 'batch.node.el 9' },
  {
    publisher: 'microsoft-dsvm',
    offer: 'ubuntu-hpc',
    sku: '2204',
    nodeAgentSKUId: 'batch.node.ubuntu 22.04',
    batchSupportEndOfLife: jammyEnd,
    capabilities: ['DockerCompatible'],
  },
  ...[2016, 2019, 2022, 2025].flatMap((year) => windowsSkus(year).map(windows)),
];

/** The items of `GET /supportedimages`. */
export const imageWires: readonly Wire[] = images.map(
  ({
    publisher,
    offer,
    sku,
    nodeAgentSKUId,
    verificationType,
    osType,
    batchSupportEndOfLife,
    capabilities,
  }) => ({
    imageReference: { publisher, offer, sku, version: 'latest' },
    verificationType: verificationType ?? 'verified',
    nodeAgentSKUId,
    ...(capabilities ? { capabilities } : {}),
    ...(batchSupportEndOfLife ? { batchSupportEndOfLife } : {}),
    osType: osType ?? 'linux',
  }),
);

/** The items of `GET /nodeagentskus`, of which early versions made their list of images, by their ids. */
export const nodeAgentWires: ReadonlyMap<string, Wire> = new Map(
  [...new Set(images.map(({ nodeAgentSKUId }) => nodeAgentSKUId))].map((id) => {
    const verified = images.filter(
      ({ nodeAgentSKUId, verificationType }) => nodeAgentSKUId === id && verificationType === undefined,
    );
    const verifiedImageReferences = verified.map(({ publisher, offer, sku }) => ({
      ...{ publisher, offer, sku },
      version: 'latest',
    }));
    return [id, { id, verifiedImageReferences, osType: /windows/.test(id) ? 'windows' : 'linux' }];
  }),
);

/** Refuses an image that is not on the list, or a node agent that does not go with it. */
export function checkImage(configuration: Wire | undefined): void {
  if (configuration === undefined) return;
  const { publisher, offer, sku } = configuration.imageReference as Record<string, string | undefined>;
  for (const [name, value] of Object.entries({ publisher, offer, sku })) {
    if (value === undefined) throw new BatchError('MissingRequiredProperty', { PropertyName: name });
  }
  const same = (one: string, other: unknown) => one === String(other).toLowerCase();
  const found = images.filter(
    (image) => same(image.publisher, publisher) && same(image.offer, offer) && same(image.sku, sku),
  );
  if (found.length === 0) {
    throw invalidProperty(
      'imageReference',
      undefined,
      `The specified imageReference with publisher ${publisher} offer ${offer} sku ${sku} is not supported.`,
    );
  }
  const agent = configuration.nodeAgentSKUId;
  if (!found.some(({ nodeAgentSKUId }) => same(nodeAgentSKUId, agent))) {
    throw invalidProperty(
      'nodeAgentSKUId',
      agent,
      `The specified nodeAgentSKUId does not support the image. Use ${found[0]?.nodeAgentSKUId}.`,
    );
  }
}
