import { randomUUID } from 'node:crypto';
import { FormulaError } from '../../autoscale/evaluate';
import { type JobState, type PoolState, touch } from '../../scheduling/state';
import type { PackageReference } from '../../tasks/packages/applicationPackages';
import { BatchError, invalidProperty } from '../../wire/errors';
import { timestamp } from '../../wire/time';
import type { Wire } from '../../wire/wire';
import type { Context } from '../http/context';
import { checkImage } from './images';
import { checkPoolMembers } from './poolChecks';
import { withPoolDefaults } from './poolDefaults';
import { checkResourceFiles, checkUserIdentity } from './taskChecks';

const poolQuota = 100;
/** Characters. */
const maxFormula = 8192;

/** A pool as its description asks for it, checked; the state does not have it yet. */
export function newPool(context: Context, id: string, given: Wire): PoolState {
  if (given.virtualMachineConfiguration === undefined && given.cloudServiceConfiguration === undefined)
    throw new BatchError('MissingRequiredProperty', { PropertyName: 'virtualMachineConfiguration' });
  if (given.virtualMachineConfiguration !== undefined && given.cloudServiceConfiguration !== undefined) {
    throw invalidProperty(
      'cloudServiceConfiguration',
      undefined,
      'Only one of cloudServiceConfiguration and virtualMachineConfiguration may be given.',
    );
  }
  checkImage(given.virtualMachineConfiguration as Wire | undefined);
  checkPoolMembers(given);
  checkScale(given);
  checkPackages(context, given);
  checkStartTask(given.startTask as Wire | undefined, given);
  const pool: PoolState = { id, wire: poolDescription(context, id, given), nodes: new Map() };
  if (pool.wire.enableAutoScale) checkFormula(context, pool, String(pool.wire.autoScaleFormula));
  return pool;
}

/** Gives the state a pool that `newPool` made, and lets it get its nodes. */
export function startPool({ state, pools, autoscaling }: Context, pool: PoolState): void {
  if (state.pool(pool.id)) throw new BatchError('PoolExists');
  if (state.pools.size >= poolQuota) throw new BatchError('PoolQuotaReached');
  state.addPool(pool);
  if (pool.wire.enableAutoScale) autoscaling.evaluate(pool);
  else pools.reconcile(pool);
}

/** The pool of a job or job schedule that brings its own, checked but not started. */
export function newAutoPool(context: Context, owner: Pick<JobState, 'id'>, specification: Wire): PoolState {
  const { pool, autoPoolIdPrefix, poolLifetimeOption, keepAlive } = specification as {
    pool?: Wire;
    autoPoolIdPrefix?: string;
    poolLifetimeOption?: string;
    keepAlive?: boolean;
  };
  if (pool === undefined) throw new BatchError('MissingRequiredProperty', { PropertyName: 'pool' });
  const unique = randomUUID().toUpperCase();
  const id = autoPoolIdPrefix ? `${autoPoolIdPrefix}_${unique}` : unique;
  return Object.assign(newPool(context, id, pool), {
    autoPoolOf: owner.id,
    deleteWithJob: poolLifetimeOption === 'job' && keepAlive !== true,
  });
}

function poolDescription(context: Context, id: string, given: Wire): Wire {
  const now = timestamp();
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
    // The formula sets the targets of a pool with autoscale.
    targetDedicatedNodes: 0,
    targetLowPriorityNodes: 0,
    ...withPoolDefaults(given),
    vmSize: String(given.vmSize).toLowerCase(),
  };
  touch(wire);
  return wire;
}

/** Refuses a start task with bad resource files or an unknown user. One that asks for more rights is skipped later. */
export function checkStartTask(startTask: Wire | undefined, pool: Wire): void {
  if (startTask === undefined) return;
  checkResourceFiles(startTask);
  checkUserIdentity(startTask);
  const { username } = (startTask.userIdentity ?? {}) as { username?: string };
  const accounts = (pool.userAccounts ?? []) as Wire[];
  if (username !== undefined && !accounts.some(({ name }) => name === username))
    throw invalidProperty('username', username, 'The pool has no user account of this name.');
}

/** Refuses packages that the account does not have. */
export function checkPackages({ nodes }: Context, { applicationPackageReferences = [] }: Wire): void {
  const missing = (applicationPackageReferences as PackageReference[]).filter(
    (reference) => nodes.packages.find(reference) === undefined,
  );
  if (missing.length === 0) return;
  const why = 'The specified application package does not exist.';
  throw new BatchError(
    'InvalidApplicationPackageReferences',
    Object.fromEntries(missing.map(({ applicationId }) => [applicationId, why])),
  );
}

/**
 * Refuses references of a pool to packages and certificates that the account does not have. As in Azure, a job with an
 * auto pool may refer to any certificate.
 */
export function checkReferences(context: Context, given: Wire): void {
  checkPackages(context, given);
  const { certificateReferences = [] } = given;
  const missing = (certificateReferences as { thumbprint: string }[])
    .map(({ thumbprint }) => thumbprint)
    .filter((thumbprint) => !context.state.certificates.has(thumbprint.toLowerCase()));
  if (missing.length === 0) return;
  const why = 'The specified certificate does not exist.';
  throw new BatchError(
    'InvalidCertificateReferences',
    Object.fromEntries(missing.map((thumbprint) => [thumbprint, why])),
  );
}

function checkScale(given: Wire): void {
  if (given.enableAutoScale === true) {
    if (given.autoScaleFormula === undefined)
      throw new BatchError('MissingRequiredProperty', { PropertyName: 'autoScaleFormula' });
    if (given.targetDedicatedNodes !== undefined || given.targetLowPriorityNodes !== undefined) {
      const name =
        given.targetDedicatedNodes === undefined ? 'targetLowPriorityNodes' : 'targetDedicatedNodes';
      throw invalidProperty(name, given[name], 'A pool with autoscale has no targets of its own.');
    }
  } else {
    for (const name of ['autoScaleFormula', 'autoScaleEvaluationInterval']) {
      if (given[name] !== undefined)
        throw invalidProperty(name, undefined, 'The value is only for pools with enableAutoScale.');
    }
  }
}

/** Refuses a formula that can never be evaluated, before the pool has it. */
export function checkFormula({ autoscaling }: Context, pool: PoolState, formula: string): void {
  checkFormulaLength(formula);
  try {
    autoscaling.checkFormula(pool, formula);
  } catch (error) {
    if (!(error instanceof FormulaError)) throw error;
    throw new BatchError('AutoScalingFormulaSyntaxError', { Message: error.message });
  }
}

export function checkFormulaLength(formula: string): void {
  if (formula.length > maxFormula) throw new BatchError('AutoScaleFormulaTooLong');
}
