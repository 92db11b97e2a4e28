import { randomUUID } from 'node:crypto';
import { FormulaError } from '../autoscale/evaluate';
import { type JobState, type PoolState, touch } from '../scheduling/state';
import { BatchError, invalidProperty } from '../wire/errors';
import { durationMs, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import {
  afterId,
  type Context,
  checkConditions,
  etagHeaders,
  page,
  poolOf,
  type Reply,
  type Request,
  type Route,
  resourceHeaders,
  shown,
} from './context';
import { validated, validId } from './validate';

const quota = 100;
/** Characters. */
const maxFormula = 8192;
/** Between two calls that enable autoscale on a pool. */
const enablePauseMs = 30_000;

/** A pool as the service tells of it, with what it counts at the moment. */
export function poolWire({ wire, nodes }: PoolState): Wire {
  const count = (dedicated: boolean) =>
    [...nodes.values()].filter((node) => node.wire.isDedicated === dedicated).length;
  return { ...wire, currentDedicatedNodes: count(true), currentLowPriorityNodes: count(false) };
}

function newPool(context: Context, id: string, given: Wire): PoolState {
  const now = timestamp();
  const image = given.virtualMachineConfiguration as { imageReference?: Wire } | undefined;
  const startTask = given.startTask as Wire | undefined;
  const autoscale = given.enableAutoScale === true;
  const {
    targetDedicatedNodes = 0,
    targetLowPriorityNodes = 0,
    autoScaleFormula,
    autoScaleEvaluationInterval,
    ...rest
  } = given;
  const wire: Wire = {
    id,
    url: `${context.base()}/pools/${id}`,
    eTag: '',
    lastModified: now,
    creationTime: now,
    state: 'active',
    stateTransitionTime: now,
    allocationState: 'resizing',
    allocationStateTransitionTime: now,
    resizeTimeout: 'PT15M',
    enableAutoScale: false,
    enableInterNodeCommunication: false,
    taskSlotsPerNode: 1,
    taskSchedulingPolicy: { nodeFillType: 'Spread' },
    ...rest,
    targetDedicatedNodes: autoscale ? 0 : targetDedicatedNodes,
    targetLowPriorityNodes: autoscale ? 0 : targetLowPriorityNodes,
    vmSize: String(given.vmSize).toLowerCase(),
    ...(image
      ? {
          virtualMachineConfiguration: {
            ...image,
            imageReference: { version: 'latest', ...image.imageReference },
          },
        }
      : {}),
    ...(startTask ? { startTask: startTaskWire(startTask) } : {}),
    ...(autoscale
      ? { autoScaleFormula, autoScaleEvaluationInterval: autoScaleEvaluationInterval ?? 'PT15M' }
      : {}),
  };
  touch(wire);
  return { id, wire, nodes: new Map() };
}

function startTaskWire(given: Wire): Wire {
  return {
    userIdentity: { autoUser: { scope: 'pool', elevationLevel: 'nonadmin' } },
    maxTaskRetryCount: 0,
    waitForSuccess: true,
    ...given,
  };
}

function startPool({ state, nodes, autoscaling }: Context, pool: PoolState): void {
  state.addPool(pool);
  if (pool.wire.enableAutoScale) autoscaling.evaluate(pool);
  else nodes.reconcile(pool);
}

/** There are no application packages here. */
function checkPackages({ applicationPackageReferences = [] }: Wire): void {
  const [first] = applicationPackageReferences as { applicationId: string; version?: string }[];
  if (first === undefined) return;
  throw new BatchError('InvalidApplicationPackageReferences', {
    [first.applicationId]: 'The specified application package does not exist.',
  });
}

function checkScale(given: Wire): void {
  if (given.enableAutoScale === true) {
    if (given.autoScaleFormula === undefined) {
      throw invalidProperty('autoScaleFormula', undefined, 'A formula is needed when autoscale is enabled.');
    }
    if (given.targetDedicatedNodes !== undefined || given.targetLowPriorityNodes !== undefined) {
      throw invalidProperty(
        'targetDedicatedNodes',
        undefined,
        'A pool with autoscale has no targets of its own.',
      );
    }
    checkInterval(given.autoScaleEvaluationInterval as string | undefined);
  } else if (given.autoScaleFormula !== undefined) {
    throw invalidProperty('autoScaleFormula', undefined, 'A formula is only for pools with autoscale.');
  }
}

/** Refuses a formula that can never be evaluated, before the pool has it. */
function checkFormula({ autoscaling }: Context, pool: PoolState, formula: string): void {
  if (formula.length > maxFormula) throw new BatchError('AutoScaleFormulaTooLong');
  try {
    autoscaling.checkFormula(pool, formula);
  } catch (error) {
    if (!(error instanceof FormulaError)) throw error;
    throw new BatchError('AutoScalingFormulaSyntaxError', { Message: error.message });
  }
}

function checkInterval(interval: string | undefined): void {
  const ms = durationMs(interval);
  if (interval !== undefined && (ms === undefined || ms < 300_000 || ms > 604_800_000)) {
    throw invalidProperty('autoScaleEvaluationInterval', interval, 'It is between 5 minutes and 168 hours.');
  }
}

function addPool(context: Context, { body, version }: Request): Reply {
  const given = validated('PoolAddParameter', body, version);
  const id = validId(given.id);
  if (context.state.pool(id)) throw new BatchError('PoolExists');
  if (context.state.pools.size >= quota) throw new BatchError('PoolQuotaReached');
  if (given.virtualMachineConfiguration === undefined && given.cloudServiceConfiguration === undefined) {
    throw new BatchError('MissingRequiredProperty', { PropertyName: 'virtualMachineConfiguration' });
  }
  checkScale(given);
  checkPackages(given);
  const pool = newPool(context, id, given);
  if (pool.wire.enableAutoScale) checkFormula(context, pool, String(pool.wire.autoScaleFormula));
  startPool(context, pool);
  return { status: 201, headers: resourceHeaders(pool.wire, String(pool.wire.url), true) };
}

/** Makes the pool of a job that brings its own, and tells its id. */
export function addAutoPool(context: Context, job: JobState, specification: Wire): string {
  const {
    pool: template = {},
    autoPoolIdPrefix,
    poolLifetimeOption,
    keepAlive,
  } = specification as {
    pool?: Wire;
    autoPoolIdPrefix?: string;
    poolLifetimeOption?: string;
    keepAlive?: boolean;
  };
  const id = `${autoPoolIdPrefix || 'auto'}_${randomUUID().replaceAll('-', '').toUpperCase()}`;
  const deleteWithJob = poolLifetimeOption === 'job' && keepAlive !== true;
  startPool(context, Object.assign(newPool(context, id, template), { autoPoolOf: job.id, deleteWithJob }));
  return id;
}

/** A pool that may be changed, its conditions met. */
function changeable(context: Context, request: Request): PoolState {
  const pool = poolOf(context, request.params[0] ?? '');
  checkConditions(request, pool.wire as { lastModified: unknown });
  if (pool.wire.state === 'deleting') throw new BatchError('PoolBeingDeleted');
  return pool;
}

function changed({ state, base }: Context, pool: PoolState, status: number, action = ''): Reply {
  touch(pool.wire);
  state.savePool(pool);
  return { status, headers: resourceHeaders(pool.wire, `${base()}/pools/${pool.id}${action}`) };
}

function mustBeSteady({ wire }: PoolState): void {
  if (wire.allocationState !== 'steady') throw new BatchError('PoolBeingResized');
}

function getPool(context: Context, request: Request): Reply {
  const pool = poolOf(context, request.params[0] ?? '');
  checkConditions(request, pool.wire as { lastModified: unknown });
  return {
    status: 200,
    metadata: 'pools/@Element',
    headers: etagHeaders(pool.wire),
    ...(request.method === 'HEAD' ? {} : { body: shown(poolWire(pool), request) }),
  };
}

function resize(context: Context, request: Request): Reply {
  const pool = changeable(context, request);
  const given = validated('PoolResizeParameter', request.body, request.version);
  if (pool.wire.enableAutoScale)
    throw new BatchError('OperationNotValidOnPool', { Reason: 'Autoscale is enabled.' });
  mustBeSteady(pool);
  const timeout = durationMs(given.resizeTimeout as string | undefined);
  if (timeout !== undefined && timeout < 300_000) {
    throw invalidProperty('resizeTimeout', given.resizeTimeout, 'It is at least 5 minutes.');
  }
  const {
    targetDedicatedNodes,
    targetLowPriorityNodes,
    nodeDeallocationOption = 'requeue',
    resizeTimeout = 'PT15M',
  } = given;
  Object.assign(pool.wire, {
    targetDedicatedNodes: targetDedicatedNodes ?? pool.wire.targetDedicatedNodes,
    targetLowPriorityNodes: targetLowPriorityNodes ?? pool.wire.targetLowPriorityNodes,
    resizeTimeout,
    allocationState: 'resizing',
    allocationStateTransitionTime: timestamp(),
  });
  delete pool.wire.resizeErrors;
  pool.deallocation = String(nodeDeallocationOption);
  context.nodes.reconcile(pool);
  return changed(context, pool, 202, '/resize');
}

function stopResize(context: Context, request: Request): Reply {
  const pool = changeable(context, request);
  if (pool.wire.allocationState !== 'resizing') {
    throw new BatchError('OperationInvalidForCurrentState', { Reason: 'The pool is not being resized.' });
  }
  Object.assign(pool.wire, { allocationState: 'stopping', allocationStateTransitionTime: timestamp() });
  context.nodes.reconcile(pool);
  return {
    status: 202,
    headers: resourceHeaders(pool.wire, `${context.base()}/pools/${pool.id}/stopresize`),
  };
}

function enableAutoScale(context: Context, request: Request): Reply {
  const pool = changeable(context, request);
  const given = validated('PoolEnableAutoScaleParameter', request.body, request.version);
  const formula = given.autoScaleFormula ?? pool.wire.autoScaleFormula;
  if (formula === undefined)
    throw new BatchError('MissingRequiredProperty', { PropertyName: 'autoScaleFormula' });
  checkFormula(context, pool, String(formula));
  checkInterval(given.autoScaleEvaluationInterval as string | undefined);
  if (!pool.wire.enableAutoScale) mustBeSteady(pool);
  const now = Date.now();
  if (now - (pool.autoscaleEnabledAt ?? 0) < enablePauseMs) {
    throw new BatchError(
      'TooManyEnableAutoScaleRequests',
      {},
      { 'Retry-After': String(enablePauseMs / 1000) },
    );
  }
  pool.autoscaleEnabledAt = now;
  Object.assign(pool.wire, {
    enableAutoScale: true,
    autoScaleFormula: formula,
    autoScaleEvaluationInterval:
      given.autoScaleEvaluationInterval ?? pool.wire.autoScaleEvaluationInterval ?? 'PT15M',
  });
  context.autoscaling.evaluate(pool);
  return changed(context, pool, 200, '/enableautoscale');
}

function disableAutoScale(context: Context, request: Request): Reply {
  const pool = changeable(context, request);
  pool.wire.enableAutoScale = false;
  for (const name of ['autoScaleFormula', 'autoScaleEvaluationInterval', 'autoScaleRun'])
    delete pool.wire[name];
  return changed(context, pool, 200, '/disableautoscale');
}

function evaluateAutoScale(context: Context, request: Request): Reply {
  const pool = changeable(context, request);
  const { autoScaleFormula } = validated('PoolEvaluateAutoScaleParameter', request.body, request.version);
  if (!pool.wire.enableAutoScale)
    throw new BatchError('OperationNotValidOnPool', { Reason: 'Autoscale is not enabled.' });
  if (String(autoScaleFormula).length > maxFormula) throw new BatchError('AutoScaleFormulaTooLong');
  const { wire } = context.autoscaling.evaluateFormula(pool, String(autoScaleFormula));
  return {
    status: 200,
    metadata: 'Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun',
    headers: { DataServiceId: `${context.base()}/pools/${pool.id}/evaluateautoscale` },
    body: wire,
  };
}

function removeNodes(context: Context, request: Request): Reply {
  const pool = changeable(context, request);
  const given = validated('NodeRemoveParameter', request.body, request.version);
  mustBeSteady(pool);
  const nodes = (given.nodeList as string[]).map((id) => {
    const node = pool.nodes.get(id);
    if (node === undefined) throw new BatchError('NodeNotFound');
    return node;
  });
  for (const node of nodes) {
    const kind = node.wire.isDedicated ? 'targetDedicatedNodes' : 'targetLowPriorityNodes';
    pool.wire[kind] = Math.max(0, Number(pool.wire[kind]) - 1);
  }
  Object.assign(pool.wire, { allocationState: 'resizing', allocationStateTransitionTime: timestamp() });
  for (const node of nodes)
    context.nodes.remove(pool, node, String(given.nodeDeallocationOption ?? 'requeue'));
  return changed(context, pool, 202, '/removenodes');
}

function patchPool(context: Context, request: Request): Reply {
  const pool = changeable(context, request);
  const given = validated('PoolPatchParameter', request.body, request.version);
  checkPackages(given);
  const { startTask, ...rest } = given;
  if (rest.vmSize !== undefined) rest.vmSize = String(rest.vmSize).toLowerCase();
  Object.assign(pool.wire, rest, startTask ? { startTask: startTaskWire(startTask as Wire) } : {});
  return changed(context, pool, 200);
}

function updateProperties(context: Context, request: Request): Reply {
  const pool = changeable(context, request);
  const { body, version } = request;
  const given = validated('PoolUpdatePropertiesParameter', body, version);
  checkPackages(given);
  const { certificateReferences, startTask, ...rest } = given;
  if (certificateReferences === undefined && version < '2025-06-01') {
    throw new BatchError('MissingRequiredProperty', { PropertyName: 'certificateReferences' });
  }
  Object.assign(pool.wire, rest);
  if (startTask) pool.wire.startTask = startTaskWire(startTask as Wire);
  else delete pool.wire.startTask;
  return changed(context, pool, 204, '/updateproperties');
}

function deletePool(context: Context, request: Request): Reply {
  const pool = changeable(context, request);
  context.nodes.deletePool(pool);
  return { status: 202 };
}

export const poolRoutes: Route[] = [
  ['POST', '/pools', addPool],
  [
    'GET',
    '/pools',
    (context, request) => {
      const ids = [...context.state.pools.values()].map(({ id }) => id).sort();
      return page(context, request, 'pools', (after) =>
        afterId(ids, after, (id) => {
          const pool = context.state.pool(id);
          return pool && poolWire(pool);
        }),
      );
    },
  ],
  ['GET', '/pools/{}', getPool],
  ['HEAD', '/pools/{}', getPool],
  ['PATCH', '/pools/{}', patchPool],
  ['DELETE', '/pools/{}', deletePool],
  ['POST', '/pools/{}/updateproperties', updateProperties],
  ['POST', '/pools/{}/resize', resize],
  ['POST', '/pools/{}/stopresize', stopResize],
  ['POST', '/pools/{}/enableautoscale', enableAutoScale],
  ['POST', '/pools/{}/disableautoscale', disableAutoScale],
  ['POST', '/pools/{}/evaluateautoscale', evaluateAutoScale],
  ['POST', '/pools/{}/removenodes', removeNodes],
];
