import type { Application } from '../tasks/packages/applicationPackages';
import { BatchError } from '../wire/errors';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import {
  afterId,
  afterIndex,
  type Context,
  page,
  poolOf,
  type Reply,
  type Route,
  versioned,
} from './http/context';
import { imageWires, nodeAgentWires } from './resources/images';
import { jobStatistics, poolStatistics } from './resources/statistics';

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

/** States that 2024-07-01.20.0 added. */
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
    (context, request) => page(context, request, 'supportedimages', (after) => afterIndex(imageWires, after)),
  ],
  [
    'GET',
    '/nodeagentskus',
    versioned({ until: '2019-06-01.9.0' }, (context, request) =>
      page(context, request, 'nodeagentskus', (after) =>
        afterId([...nodeAgentWires.keys()].sort(), after, (id) => nodeAgentWires.get(id)),
      ),
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
  [
    'GET',
    '/applications',
    (context, request) => {
      const byId = new Map(
        context.nodes.packages.list().map((one) => [one.id, applicationWire(one)] as const),
      );
      return page(context, request, 'listapplicationsummariesresponses', (after) =>
        afterId([...byId.keys()], after, (id) => byId.get(id)),
      );
    },
  ],
  [
    'GET',
    '/applications/{}',
    ({ nodes }, { params: [id = ''] }) => {
      const found = nodes.packages.list().find((one) => one.id.toLowerCase() === id.toLowerCase());
      if (found === undefined) throw new BatchError('ApplicationNotFound');
      return {
        status: 200,
        metadata: 'getapplicationsummaryresponse/@Element',
        body: applicationWire(found),
      };
    },
  ],
  // No usage is metered on this machine.
  ['GET', '/poolusagemetrics', (context, request) => page(context, request, 'poolusagemetrics', () => [])],
  ['GET', '/lifetimejobstats', versioned({ until: '2023-05-01.17.0' }, lifetimeJobStatistics)],
  ['GET', '/lifetimepoolstats', versioned({ until: '2023-05-01.17.0' }, lifetimePoolStatistics)],
];

function applicationWire({ id, versions }: Application): Wire {
  return { id, versions: [...versions].sort() };
}

function lifetimeJobStatistics({ state, base }: Context): Reply {
  const since = oldest([...state.jobs.values()]);
  return {
    status: 200,
    metadata: 'jobstats/@Element',
    body: jobStatistics(`${base()}/lifetimejobstats`, since, state.jobs.values()),
  };
}

function lifetimePoolStatistics({ state, base }: Context): Reply {
  const since = oldest([...state.pools.values()]);
  return {
    status: 200,
    metadata: 'poolstats/@Element',
    body: poolStatistics(`${base()}/lifetimepoolstats`, since, state.pools.values()),
  };
}

/** Creation time of the oldest of these resources; now if there are none. */
function oldest(resources: readonly { readonly wire: Wire }[]): unknown {
  return resources.map(({ wire }) => String(wire.creationTime)).sort()[0] ?? timestamp();
}
