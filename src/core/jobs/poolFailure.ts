import type { Job, Pool } from '../azure/batch';
import type { Problem } from '../errors';
import { maskSas } from '../log';

/**
 * The reason why the service did not schedule a job, usually because it could not create its auto pool; undefined if there
 * is none. Codes: https://learn.microsoft.com/rest/api/batchservice/batch-status-and-error-codes.
 */
export function schedulingProblem({ id = '', executionInfo }: Job): Problem | undefined {
  const error = executionInfo?.schedulingError;
  if (error === undefined) return undefined;
  const { code = 'Unknown', message, details } = error;
  return /Quota/i.test(code)
    ? { kind: 'quota', what: 'pools' }
    : { kind: 'jobNotScheduled', job: id, code, detail: detailOf({ message, details }) };
}

/** Resize errors that waiting does not end. https://learn.microsoft.com/azure/batch/batch-pool-node-error-checking */
const quotaCodes: Record<string, 'spotCores' | 'dedicatedCores'> = {
  AccountCoreQuotaReached: 'dedicatedCores',
  AccountVMSeriesCoreQuotaReached: 'dedicatedCores',
  AccountLowPriorityCoreQuotaReached: 'spotCores',
  AccountSpotCoreQuotaReached: 'spotCores',
};

/**
 * The reason why a pool did not get its nodes, a quota before anything else, from errors of resizes since `since`: older
 * ones belong to other runs (https://github.com/microsoft/ga4gh-tes/issues/409).
 */
export function resizeProblem(pool: Pool, since: Date): Problem | undefined {
  const { resizeErrors = [], allocationStateTransitionTime: when, id = '' } = pool;
  if (when !== undefined && when < since) return undefined;
  const error = resizeErrors.find(({ code = '' }) => code in quotaCodes) ?? resizeErrors[0];
  if (error?.code === undefined) return undefined;
  const what = quotaCodes[error.code];
  return what
    ? { kind: 'quota', what }
    : {
        kind: 'resizeFailed',
        pool: id,
        code: error.code,
        detail: detailOf({ message: error.message, details: error.values }),
      };
}

interface FailureInfo {
  readonly message?: string;
  readonly details?: readonly { readonly name?: string; readonly value?: string }[];
}

/** The message and the details of a failure, in one line. */
export function detailOf(info: FailureInfo | undefined): string | undefined {
  const details = (info?.details ?? []).map(({ name, value }) => `${name}: ${maskSas(value ?? '')}`);
  return [maskSas(info?.message ?? ''), ...details].filter(Boolean).join(' · ') || undefined;
}
