import { BatchError } from '../wire/errors';
import type { Wire } from '../wire/wire';
import { afterId, type Context, page, poolOf, type Route } from './context';

/** Images as the real service lists them in 2026; here they decide nothing, since tasks run on this machine. */
const images: Wire[] = [
  image(
    'canonical',
    '0001-com-ubuntu-server-jammy',
    '22_04-lts',
    'batch.node.ubuntu 22.04',
    'verified',
    '2027-06-01T00:00:00Z',
  ),
  image('canonical', 'ubuntu-24_04-lts', 'server', 'batch.node.ubuntu 24.04', 'verified'),
  image('canonical', 'ubuntu-24_04-lts', 'server-gen1', 'batch.node.ubuntu 24.04', 'verified'),
  image('debian', 'debian-12', '12-gen2', 'batch.node.debian 12', 'unverified'),
  image(
    'microsoft-dsvm',
    'ubuntu-hpc',
    '2204',
    'batch.node.ubuntu 22.04',
    'verified',
    '2027-06-01T00:00:00Z',
    ['DockerCompatible'],
  ),
];

function image(
  publisher: string,
  offer: string,
  sku: string,
  nodeAgentSKUId: string,
  verificationType: string,
  batchSupportEndOfLife?: string,
  capabilities?: string[],
): Wire {
  return {
    imageReference: { publisher, offer, sku, version: 'latest' },
    verificationType,
    nodeAgentSKUId,
    ...(capabilities ? { capabilities } : {}),
    ...(batchSupportEndOfLife ? { batchSupportEndOfLife } : {}),
    osType: 'linux',
  };
}

const nodeStates: Record<string, string> = {
  creating: 'creating',
  idle: 'idle',
  leavingpool: 'leavingPool',
  offline: 'offline',
  preempted: 'preempted',
  rebooting: 'rebooting',
  reimaging: 'reimaging',
  running: 'running',
  starting: 'starting',
  starttaskfailed: 'startTaskFailed',
  unusable: 'unusable',
  unknown: 'unknown',
  waitingforstarttask: 'waitingForStartTask',
  upgradingos: 'upgradingOS',
};

/** States that came with 2024-07-01.20.0. */
const laterStates: Record<string, string> = { deallocating: 'deallocating', deallocated: 'deallocated' };

function nodeCounts(context: Context, poolId: string, version: string): Wire {
  const { nodes } = poolOf(context, poolId);
  const names = version < '2024-07-01.20.0' ? nodeStates : { ...nodeStates, ...laterStates };
  const zero = (): Record<string, number> => ({
    ...Object.fromEntries(Object.values(names).map((name) => [name, 0])),
    total: 0,
  });
  const counts = { dedicated: zero(), lowPriority: zero() };
  for (const { wire } of nodes.values()) {
    const kind = wire.isDedicated ? counts.dedicated : counts.lowPriority;
    const name = names[String(wire.state)] ?? 'unknown';
    kind[name] = (kind[name] ?? 0) + 1;
    kind.total = (kind.total ?? 0) + 1;
  }
  return { poolId, ...counts };
}

export const accountRoutes: Route[] = [
  [
    'GET',
    '/supportedimages',
    (context, request) =>
      page(context, request, 'supportedimages', (after) =>
        images
          .map((item, index) => [String(index).padStart(4, '0'), item] as const)
          .filter(([id]) => id > (after ?? '')),
      ),
  ],
  [
    'GET',
    '/nodecounts',
    (context, request) => {
      const ids = [...context.state.pools.values()].map(({ id }) => id).sort();
      return page(
        context,
        request,
        'poolnodecounts',
        (after) => afterId(ids, after, (id) => nodeCounts(context, id, request.version)),
        10,
      );
    },
  ],
  ['GET', '/applications', (context, request) => page(context, request, 'applications', () => [])],
  ['GET', '/jobschedules', (context, request) => page(context, request, 'jobschedules', () => [])],
  ['POST', '/jobschedules', refuseSchedules],
  ['GET', '/poolusagemetrics', (context, request) => page(context, request, 'poolusagemetrics', () => [])],
];

function refuseSchedules(): never {
  throw new BatchError('OperationInvalidForCurrentState', {
    Reason: 'The local Batch service has no job schedules.',
  });
}
