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
/** Images of one offer and node agent, one for each SKU. */
const offered = (
  publisher: string,
  offer: string,
  skus: string,
  nodeAgentSKUId: string,
  more: Partial<Image> = {},
): Image[] => skus.split(' ').map((sku) => ({ publisher, offer, sku, nodeAgentSKUId, ...more }));
const windows = (skus: string, more: Partial<Image> = {}): Image[] =>
  offered('microsoftwindowsserver', 'windowsserver', skus, 'batch.node.windows amd64', {
    osType: 'windows',
    ...more,
  });
const unverified = { verificationType: 'unverified' } as const;
const jammy = { batchSupportEndOfLife: jammyEnd };

/** SKUs, separated by blanks. Core editions are listed from 2019 on, and images of the second generation from 2022 on. */
function windowsSkus(year: number): string {
  const core = year < 2019 ? [] : ['datacenter-core', 'datacenter-core-smalldisk'];
  const skus = ['datacenter', 'datacenter-smalldisk', ...core].map((edition) => `${year}-${edition}`);
  return (year < 2022 ? skus : skus.flatMap((sku) => [sku, `${sku}-g2`])).join(' ');
}

/**
 * Images as Azure lists them in 2026. Which one of them a pool has decides nothing here, since tasks run on this machine.
 */
const images: readonly Image[] = [
  ...offered(
    'canonical',
    '0001-com-ubuntu-server-jammy',
    '22_04-lts 22_04-lts-gen2',
    'batch.node.ubuntu 22.04',
    jammy,
  ),
  ...offered(
    'canonical',
    '0001-com-ubuntu-confidential-vm-jammy',
    '22_04-lts-cvm',
    'batch.node.ubuntu 22.04',
    { ...jammy, ...unverified },
  ),
  ...offered('canonical', 'ubuntu-24_04-lts', 'server server-gen1', 'batch.node.ubuntu 24.04'),
  ...offered('debian', 'debian-12', '12-gen2', 'batch.node.debian 12', unverified),
  ...offered('almalinux', 'almalinux', '8-gen2', 'batch.node.el 8'),
  ...offered('almalinux', 'almalinux-x86_64', '9-gen2', 'batch.node.el 9'),
  ...offered('microsoft-dsvm', 'ubuntu-hpc', '2204', 'batch.node.ubuntu 22.04', {
    ...jammy,
    capabilities: ['DockerCompatible'],
  }),
  ...[2016, 2019, 2022, 2025].flatMap((year) => windows(windowsSkus(year))),
  ...windows('2016-datacenter-gensecond 2019-datacenter-gensecond', unverified),
  ...windows('2016-datacenter-smalldisk-g2 2019-datacenter-smalldisk-g2', unverified),
  ...windows('2022-datacenter-azure-edition', unverified),
];

/**
 * Images that Azure listed in earlier years. It lists none of them any more; here, programs and samples that name them
 * still run.
 */
const retired: readonly Image[] = [
  ...offered('canonical', 'ubuntuserver', '16.04-lts 16.04.0-lts 16_04-lts-gen2', 'batch.node.ubuntu 16.04'),
  ...offered('canonical', 'ubuntuserver', '18.04-lts 18_04-lts-gen2', 'batch.node.ubuntu 18.04'),
  ...offered(
    'canonical',
    '0001-com-ubuntu-server-focal',
    '20_04-lts 20_04-lts-gen2',
    'batch.node.ubuntu 20.04',
  ),
  ...['ubuntu-server-container', 'ubuntu-server-container-rdma'].flatMap((offer) => [
    ...offered('microsoft-azure-batch', offer, '16-04-lts', 'batch.node.ubuntu 16.04'),
    ...offered('microsoft-azure-batch', offer, '20-04-lts', 'batch.node.ubuntu 20.04'),
  ]),
  ...['centos-container', 'centos-container-rdma'].flatMap((offer) =>
    offered('microsoft-azure-batch', offer, '7-4 7-5 7-6 7-7 7-8 7-9', 'batch.node.centos 7'),
  ),
  ...['1804', '2004'].flatMap((year) =>
    offered('microsoft-dsvm', 'ubuntu-hpc', year, `batch.node.ubuntu ${year.replace('04', '.04')}`),
  ),
  ...offered('openlogic', 'centos', '7.3 7.4 7.5 7.6 7.7 7_8 7_9 7_9-gen2', 'batch.node.centos 7'),
  ...offered('openlogic', 'centos', '8_1 8_2 8_2-gen2', 'batch.node.centos 8'),
  ...offered('openlogic', 'centos-hpc', '7.1 7.3 7.4 7.6 7.7 7_9', 'batch.node.centos 7'),
  ...['8', '9'].flatMap((sku) => offered('credativ', 'debian', sku, `batch.node.debian ${sku}`)),
  ...['10', '11'].flatMap((sku) => offered('debian', `debian-${sku}`, sku, `batch.node.debian ${sku}`)),
  ...offered('almalinux', 'almalinux', '8-gen1 8_4 8_5', 'batch.node.el 8'),
  ...['2012-datacenter', '2012-r2-datacenter', '2008-r2-sp1'].flatMap((sku) =>
    windows(`${sku} ${sku}-smalldisk`),
  ),
  ...windows('2016-datacenter-with-containers 2019-datacenter-with-containers'),
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

/** Refuses an image that Azure has never listed, or a node agent that does not go with it. */
export function checkImage(configuration: Wire | undefined): void {
  if (configuration === undefined) return;
  const { publisher, offer, sku } = configuration.imageReference as Record<string, string | undefined>;
  for (const [name, value] of Object.entries({ publisher, offer, sku })) {
    if (value === undefined) throw new BatchError('MissingRequiredProperty', { PropertyName: name });
  }
  const same = (one: string, other: unknown) => one === String(other).toLowerCase();
  const found = [...images, ...retired].filter(
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
