import type { PoolState, State } from '../scheduling/state';
import { BatchError } from '../wire/errors';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import {
  afterId,
  type Context,
  page,
  poolOf,
  type Reply,
  type Request,
  type Route,
  versioned,
} from './http/context';
import { acknowledged, changeable, changed, created, reading } from './http/resource';
import { validated } from './requests/validate';
import { checkImage } from './resources/images';
import {
  checkFormula,
  checkFormulaLength,
  checkReferences,
  checkStartTask,
  newPool,
  startPool,
} from './resources/newPools';
import { checkPoolMembers, checkSubnet } from './resources/poolChecks';
import { dropEmptyLists, withInnerDefaults } from './resources/poolDefaults';
import { expandsStatistics, poolStatistics } from './resources/statistics';

/** Minimum time between two calls that enable autoscale on a pool. */
const enablePauseMs = 30_000;

/**
 * Returns a pool with its current node counts, with how its nodes communicate at the versions that show it, and with its
 * statistics if the request expands them.
 */
function poolWire(pool: PoolState, { query, version }: Request): Wire {
  const { wire, nodes } = pool;
  const hasMode = version >= '2022-10-01.16.0' && version < '2025-06-01' && nodes.size > 0;
  const stats = expandsStatistics(query) && poolStatistics(String(wire.url), wire.creationTime, [pool]);
  const count = (dedicated: boolean) =>
    [...nodes.values()].filter((node) => node.wire.isDedicated === dedicated).length;
  return {
    ...wire,
    currentDedicatedNodes: count(true),
    currentLowPriorityNodes: count(false),
    ...(hasMode && {
      currentNodeCommunicationMode:
        wire.targetNodeCommunicationMode === 'simplified' ? 'simplified' : 'classic',
    }),
    ...(stats && { stats }),
  };
}

function addPool(context: Context, { body, version }: Request): Reply {
  checkSubnet(body);
  const given = validated('PoolAddParameter', body, version, context.containers);
  const id = String(given.id);
  if (context.state.pool(id)) throw new BatchError('PoolExists');
  const pool = newPool(context, id, given);
  checkReferences(context, given);
  startPool(context, pool);
  return created(pool);
}

const find = (context: Context, { params }: Request): PoolState => poolOf(context, params[0] ?? '');
/** Finds a pool that is not being deleted. */
const existing = changeable(find, { deleting: 'PoolBeingDeleted' });

const savePool = (state: State, pool: PoolState): void => state.savePool(pool);

function mustBeSteady({ wire }: PoolState): void {
  if (wire.allocationState !== 'steady') throw new BatchError('PoolBeingResized');
}

const getPool = reading('pools/@Element', find, poolWire);

function resize(context: Context, request: Request): Reply {
  const given = validated('PoolResizeParameter', request.body, request.version);
  if (given.targetDedicatedNodes === undefined && given.targetLowPriorityNodes === undefined) {
    const PropertyName = 'targetDedicatedNodes and/or targetLowPriorityNodes';
    throw new BatchError('MissingRequiredProperty', { PropertyName });
  }
  const pool = existing(context, request);
  if (pool.wire.enableAutoScale)
    throw new BatchError('OperationNotValidOnPool', { Reason: 'Autoscale is enabled.' });
  mustBeSteady(pool);
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
  context.pools.reconcile(pool);
  return changed(context, savePool, pool, 202, 'resize');
}

function stopResize(context: Context, request: Request): Reply {
  const pool = existing(context, request);
  if (pool.wire.allocationState !== 'resizing') {
    throw new BatchError('OperationInvalidForCurrentState', { Reason: 'The pool is not being resized.' });
  }
  Object.assign(pool.wire, { allocationState: 'stopping', allocationStateTransitionTime: timestamp() });
  context.pools.reconcile(pool);
  return acknowledged(pool, 202, 'stopresize');
}

function enableAutoScale(context: Context, request: Request): Reply {
  const given = validated('PoolEnableAutoScaleParameter', request.body, request.version);
  const pool = existing(context, request);
  const formula = given.autoScaleFormula ?? pool.wire.autoScaleFormula;
  if (formula === undefined)
    throw new BatchError('MissingRequiredProperty', { PropertyName: 'autoScaleFormula' });
  checkFormula(context, pool, String(formula));
  if (!pool.wire.enableAutoScale) mustBeSteady(pool);
  const now = Date.now();
  // The clock may have been set back since.
  if (Math.abs(now - (pool.autoscaleEnabledAt ?? 0)) < enablePauseMs) {
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
  return changed(context, savePool, pool, 200, 'enableautoscale');
}

function disableAutoScale(context: Context, request: Request): Reply {
  const pool = existing(context, request);
  pool.wire.enableAutoScale = false;
  for (const name of ['autoScaleFormula', 'autoScaleEvaluationInterval', 'autoScaleRun'])
    delete pool.wire[name];
  return changed(context, savePool, pool, 200, 'disableautoscale');
}

function evaluateAutoScale(context: Context, request: Request): Reply {
  const { autoScaleFormula } = validated('PoolEvaluateAutoScaleParameter', request.body, request.version);
  const pool = existing(context, request);
  if (!pool.wire.enableAutoScale)
    throw new BatchError('OperationNotValidOnPool', { Reason: 'Autoscale is not enabled.' });
  checkFormulaLength(String(autoScaleFormula));
  const { wire } = context.autoscaling.evaluateFormula(pool, String(autoScaleFormula));
  return {
    status: 200,
    metadata: 'Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun',
    headers: { DataServiceId: `${context.base()}/pools/${pool.id}/evaluateautoscale` },
    body: wire,
  };
}

function removeNodes(context: Context, request: Request): Reply {
  const given = validated('NodeRemoveParameter', request.body, request.version);
  const pool = existing(context, request);
  mustBeSteady(pool);
  const nodes = [...new Set(given.nodeList as string[])].map((id) => {
    const node = pool.nodes.get(id);
    if (node === undefined) throw new BatchError('NodeNotFound');
    return node;
  });
  for (const node of nodes) {
    // The target was lowered when the node began to leave.
    if (node.leaving) continue;
    const kind = node.wire.isDedicated ? 'targetDedicatedNodes' : 'targetLowPriorityNodes';
    pool.wire[kind] = Math.max(0, Number(pool.wire[kind]) - 1);
  }
  Object.assign(pool.wire, { allocationState: 'resizing', allocationStateTransitionTime: timestamp() });
  for (const node of nodes)
    context.nodes.remove(pool, node, String(given.nodeDeallocationOption ?? 'requeue'));
  return changed(context, savePool, pool, 202, 'removenodes');
}

/** Members that a pool with nodes keeps. https://learn.microsoft.com/rest/api/batchservice/pools/update-pool */
const fixedWhileInUse = [
  ...['displayName', 'vmSize', 'virtualMachineConfiguration', 'enableInterNodeCommunication'],
  ...['taskSlotsPerNode', 'taskSchedulingPolicy', 'networkConfiguration', 'userAccounts', 'resourceTags'],
  'upgradePolicy',
];

function patchPool(context: Context, request: Request): Reply {
  const given = validated('PoolPatchParameter', request.body, request.version, context.containers);
  const pool = existing(context, request);
  checkPoolMembers(given, pool.wire);
  checkReferences(context, given);
  const { startTask, virtualMachineConfiguration, ...rest } = given;
  checkImage(virtualMachineConfiguration as Wire | undefined);
  checkStartTask(startTask as Wire | undefined, { ...pool.wire, ...rest });
  const fixed = fixedWhileInUse.find((name) => given[name] !== undefined);
  if (fixed !== undefined && pool.nodes.size > 0) {
    throw new BatchError('OperationInvalidForCurrentState', {
      Reason: `${fixed} can be changed only while the pool has no nodes.`,
    });
  }
  if (given.vmSize !== undefined) given.vmSize = String(given.vmSize).toLowerCase();
  Object.assign(pool.wire, withInnerDefaults(given, pool.wire));
  dropEmptyLists(pool.wire);
  return changed(context, savePool, pool, 200);
}

function updateProperties(context: Context, request: Request): Reply {
  const { body, version } = request;
  const given = validated('PoolUpdatePropertiesParameter', body, version, context.containers);
  const pool = existing(context, request);
  checkPoolMembers(given, pool.wire);
  checkReferences(context, given);
  if (given.certificateReferences === undefined && version < '2025-06-01') {
    throw new BatchError('MissingRequiredProperty', { PropertyName: 'certificateReferences' });
  }
  checkStartTask(given.startTask as Wire | undefined, pool.wire);
  delete pool.wire.startTask;
  Object.assign(pool.wire, withInnerDefaults(given));
  dropEmptyLists(pool.wire);
  return changed(context, savePool, pool, 204, 'updateproperties');
}

/** Sets the version of a pool of cloud services, as early versions could. */
function upgradeOs(context: Context, request: Request): Reply {
  const pool = existing(context, request);
  const configuration = pool.wire.cloudServiceConfiguration as Wire | undefined;
  if (configuration === undefined)
    throw new BatchError('OperationNotValidOnPool', { Reason: 'The pool has no cloudServiceConfiguration.' });
  const { targetOSVersion } = request.body ?? {};
  if (typeof targetOSVersion !== 'string' || targetOSVersion === '')
    throw new BatchError('MissingRequiredProperty', { PropertyName: 'targetOSVersion' });
  if (configuration.osVersion === targetOSVersion) throw new BatchError('PoolVersionEqualsUpgradeVersion');
  pool.wire.cloudServiceConfiguration = { ...configuration, osVersion: targetOSVersion };
  return changed(context, savePool, pool, 202, 'upgradeos');
}

function deletePool(context: Context, request: Request): Reply {
  const pool = existing(context, request);
  context.pools.deletePool(pool);
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
          return pool && poolWire(pool, request);
        }),
      );
    },
  ],
  ['GET', '/pools/{}', getPool],
  ['HEAD', '/pools/{}', getPool],
  ['PATCH', '/pools/{}', patchPool],
  ['DELETE', '/pools/{}', deletePool],
  ['POST', '/pools/{}/updateproperties', updateProperties],
  ['POST', '/pools/{}/upgradeos', versioned({ until: '2018-12-01.8.0' }, upgradeOs)],
  ['POST', '/pools/{}/resize', resize],
  ['POST', '/pools/{}/stopresize', stopResize],
  ['POST', '/pools/{}/enableautoscale', enableAutoScale],
  ['POST', '/pools/{}/disableautoscale', disableAutoScale],
  ['POST', '/pools/{}/evaluateautoscale', evaluateAutoScale],
  ['POST', '/pools/{}/removenodes', removeNodes],
];
