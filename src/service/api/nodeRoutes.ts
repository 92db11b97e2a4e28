import type { NodeState, PoolState } from '../scheduling/state';
import { BatchError, type ErrorCode, invalidProperty } from '../wire/errors';
import type { Wire } from '../wire/wire';
import {
  afterId,
  type Context,
  page,
  poolOf,
  type Reply,
  type Request,
  type Route,
  shown,
  versioned,
} from './http/context';
import { type Model, validated } from './requests/validate';

/** Finds the node that the path names, and its pool. */
export function nodeOf(context: Context, { params }: Request): { pool: PoolState; node: NodeState } {
  const pool = poolOf(context, params[0] ?? '');
  const node = pool.nodes.get(params[1] ?? '');
  if (node === undefined) throw new BatchError('NodeNotFound');
  return { pool, node };
}

/** Adds the empty list of certificates that nodes have before 2025-06-01. */
function nodeWire(node: NodeState | undefined, { version }: Request): Wire | undefined {
  const hasCertificates = version < '2025-06-01' && node?.wire.nodeAgentInfo !== undefined;
  return hasCertificates ? { ...node.wire, certificateReferences: [] } : node?.wire;
}

/** `read` reads the option of the request, before the node is looked up. */
function action(
  name: string,
  status: number,
  work: (context: Context, pool: PoolState, node: NodeState, chosen: string) => void,
  read: (request: Request) => string = () => '',
): Route {
  return [
    'POST',
    `/pools/{}/nodes/{}/${name}`,
    (context, request): Reply => {
      const chosen = read(request);
      const { pool, node } = nodeOf(context, request);
      work(context, pool, node, chosen);
      return { status, headers: { DataServiceId: `${node.wire.url}/${name}` } };
    },
  ];
}

function since20([method, path, handler]: Route): Route {
  return [method, path, versioned({ from: '2024-07-01.20.0' }, handler)];
}

/** Reads an option of an optional body. Default: `requeue`. */
function option(model: Model, name: string): (request: Request) => string {
  return ({ body, version }) => String(validated(model, body ?? {}, version)[name] ?? 'requeue');
}

/** Reads the option of deallocation, which the installed package does not describe. */
function deallocateOption({ body = {} }: Request): string {
  const { nodeDeallocateOption = 'requeue' } = body;
  const given = typeof nodeDeallocateOption === 'string' ? nodeDeallocateOption : undefined;
  const chosen = given?.toLowerCase() ?? '';
  const allowed = ['requeue', 'terminate', 'taskcompletion', 'retaineddata'];
  if (allowed.includes(chosen)) return chosen;
  throw invalidProperty('nodeDeallocateOption', given, `The value must be one of: ${allowed.join(', ')}.`);
}

/** Error codes of the states in which a node accepts no operations. */
const busyStates: Readonly<Record<string, ErrorCode>> = {
  creating: 'NodeBeingCreated',
  starting: 'NodeBeingStarted',
  rebooting: 'NodeBeingRebooted',
  reimaging: 'NodeBeingReimaged',
  unusable: 'NodeStateUnusable',
  deallocating: 'OperationInvalidForCurrentState',
  deallocated: 'OperationInvalidForCurrentState',
};

/** Throws the error code of a node's state if it is not up. */
export function mustBeUp(node: NodeState): void {
  const state = node.leaving ? 'leavingpool' : String(node.wire.state);
  const code = node.leaving ? 'OperationInvalidForCurrentState' : busyStates[state];
  if (code) throw new BatchError(code, { Reason: `The node is ${state}.` });
}

export const nodeRoutes: Route[] = [
  [
    'GET',
    '/pools/{}/nodes',
    (context, request) => {
      const pool = poolOf(context, request.params[0] ?? '');
      const ids = [...pool.nodes.keys()].sort();
      return page(context, request, 'nodes', (after) =>
        afterId(ids, after, (id) => nodeWire(pool.nodes.get(id), request)),
      );
    },
  ],
  [
    'GET',
    '/pools/{}/nodes/{}',
    (context, request) => ({
      status: 200,
      metadata: 'nodes/@Element',
      body: shown(nodeWire(nodeOf(context, request).node, request) ?? {}, request),
    }),
  ],
  action(
    'reboot',
    202,
    ({ nodes }, pool, node, chosen) => {
      mustBeUp(node);
      nodes.restart(pool, node, 'rebooting', chosen);
    },
    option('NodeRebootParameter', 'nodeRebootOption'),
  ),
  action(
    'reimage',
    202,
    ({ nodes }, pool, node, chosen) => {
      mustBeUp(node);
      nodes.restart(pool, node, 'reimaging', chosen);
    },
    option('NodeReimageParameter', 'nodeReimageOption'),
  ),
  since20(
    action(
      'deallocate',
      202,
      ({ nodes }, pool, node, chosen) => {
        mustBeUp(node);
        nodes.deallocate(pool, node, chosen);
      },
      deallocateOption,
    ),
  ),
  since20(
    action('start', 202, ({ nodes }, pool, node) => {
      if (node.wire.state !== 'deallocated') {
        throw new BatchError('OperationInvalidForCurrentState', {
          Reason: `The node is ${node.wire.state}.`,
        });
      }
      nodes.startNode(pool, node);
    }),
  ),
  action(
    'disablescheduling',
    200,
    ({ nodes }, _pool, node, chosen) => {
      if (node.wire.schedulingState === 'disabled')
        throw new BatchError('NodeAlreadyInTargetSchedulingState');
      nodes.setScheduling(node, 'disabled', chosen);
    },
    option('NodeDisableSchedulingParameter', 'nodeDisableSchedulingOption'),
  ),
  action('enablescheduling', 200, ({ nodes }, _pool, node) => {
    if (node.wire.schedulingState === 'enabled') throw new BatchError('NodeAlreadyInTargetSchedulingState');
    nodes.setScheduling(node, 'enabled');
  }),
];
