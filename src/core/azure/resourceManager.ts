import { BatchManagementClient } from '@azure/arm-batch';
import { SubscriptionClient } from '@azure/arm-resources-subscriptions';
import { StorageManagementClient } from '@azure/arm-storage';
import type { TokenCredential } from '@azure/identity';
import { endedBy, isAbort, UserError } from '../errors';
import { maskSas } from '../log';
import { anyOf, untilAborted } from '../wait';
import type { AccountRecord } from './account';
import type { Cloud } from './clouds';
import { isCertificateCode, isNetworkCode } from './retry';

/** How long a call may take as a whole, in milliseconds, with its retries and all pages of a list, once it has a token. */
const callMs = 60_000;

/** Endpoint and credential of Azure Resource Manager. */
export interface Arm {
  readonly cloud: Cloud;
  readonly credential: TokenCredential;
  /** Replaces the endpoint of the cloud, for tests and private clouds. */
  readonly endpoint?: string;
  /** Replaces `callMs`. */
  readonly limitMs?: number;
}

export interface Tenant {
  readonly id: string;
  readonly name: string;
}

export interface Subscription {
  readonly id: string;
  readonly name: string;
  readonly tenantId?: string;
}

export interface FoundBatch {
  readonly resourceId: string;
  readonly name: string;
  readonly location: string;
  readonly url: string;
  /** Resource id of the linked storage account. */
  readonly storageId?: string;
  /** Whether requests can be signed with a key; undefined if the account does not say. */
  readonly allowsKeys?: boolean;
}

export interface FoundStorage {
  readonly resourceId: string;
  readonly name: string;
  readonly location: string;
  readonly blobUrl: string;
  /** Whether only selected networks have access. */
  readonly isFirewalled: boolean;
}

/** Limits of an account. Cores are undefined for an account that uses the quota of its subscription. */
export interface Quota {
  readonly dedicatedCores?: number;
  readonly spotCores?: number;
  /** Dedicated cores by family (`standardDSv5Family`), if the account limits them. */
  readonly families?: ReadonlyMap<string, number>;
  readonly pools: number;
  readonly jobs: number;
}

/** Generation of a virtual machine, as Azure's `HyperVGenerations` says it. */
export type VmGeneration = 'V1' | 'V2';

/** What an account says about a virtual machine size. */
export interface VmSize {
  readonly cores?: number;
  /** Family of the core quota: `standardDSv5Family`. */
  readonly family?: string;
  readonly generations?: readonly VmGeneration[];
}

/** By name in lower case. */
export type VmSizes = ReadonlyMap<string, VmSize>;

/** Lists the directories that the signed-in user belongs to. */
export async function tenants(arm: Arm, signal: AbortSignal): Promise<Tenant[]> {
  return all(
    arm,
    signal,
    (abortSignal) => new SubscriptionClient(arm.credential, options(arm)).tenants.list({ abortSignal }),
    ({ tenantId = '', displayName, defaultDomain }) => ({
      id: tenantId,
      name: displayName ?? defaultDomain ?? tenantId,
    }),
  );
}

export async function subscriptions(arm: Arm, signal: AbortSignal): Promise<Subscription[]> {
  const found = await all(
    arm,
    signal,
    (abortSignal) => new SubscriptionClient(arm.credential, options(arm)).subscriptions.list({ abortSignal }),
    ({ subscriptionId = '', displayName = '', tenantId, state }) => ({
      id: subscriptionId,
      name: displayName,
      tenantId,
      state,
    }),
  );
  return found.filter(({ state }) => state === undefined || state === 'Enabled' || state === 'PastDue');
}

export async function batchAccounts(
  arm: Arm,
  subscription: string,
  signal: AbortSignal,
): Promise<FoundBatch[]> {
  const client = new BatchManagementClient(arm.credential, subscription, options(arm));
  return all(
    arm,
    signal,
    (abortSignal) => client.batchAccountOperations.list({ abortSignal }),
    ({
      id = '',
      name = '',
      location = '',
      accountEndpoint = '',
      autoStorage,
      allowedAuthenticationModes,
    }) => ({
      resourceId: id,
      name,
      location,
      url: `https://${accountEndpoint.replace(/^https:\/\//, '')}`,
      storageId: autoStorage?.storageAccountId,
      allowsKeys: allowedAuthenticationModes?.includes('SharedKey'),
    }),
  );
}

/** Lists storage accounts with blobs, those in `location` first: traffic within a region is free. */
export async function storageAccounts(
  arm: Arm,
  subscription: string,
  location: string,
  signal: AbortSignal,
): Promise<FoundStorage[]> {
  const client = new StorageManagementClient(arm.credential, subscription, options(arm));
  const found = await all(
    arm,
    signal,
    (abortSignal) => client.storageAccounts.list({ abortSignal }),
    ({
      id = '',
      name = '',
      location: place = '',
      primaryEndpoints,
      publicNetworkAccess,
      networkRuleSet,
    }) => ({
      resourceId: id,
      name,
      location: place,
      blobUrl: (primaryEndpoints?.blob ?? '').replace(/\/+$/, ''),
      isFirewalled: publicNetworkAccess === 'Disabled' || networkRuleSet?.defaultAction === 'Deny',
    }),
  );
  return found
    .filter(({ blobUrl }) => blobUrl !== '')
    .sort((one, other) => Number(other.location === location) - Number(one.location === location));
}

/**
 * Whether only selected networks have access to the storage account of an account, which shuts out nodes of pools that
 * are in none of them. Undefined if the storage account cannot be found.
 * https://learn.microsoft.com/azure/storage/common/storage-network-security
 */
export async function isFirewalled(
  arm: Arm,
  { subscriptionId, storageName }: AccountRecord,
  signal: AbortSignal,
): Promise<boolean | undefined> {
  if (subscriptionId === undefined) return undefined;
  const found = await storageAccounts(arm, subscriptionId, '', signal);
  return found.find(({ name }) => name === storageName)?.isFirewalled;
}

export async function quotaOf(
  arm: Arm,
  account: AccountRecord,
  signal: AbortSignal,
): Promise<Quota | undefined> {
  const found = await batchAccount(arm, account, signal);
  if (found === undefined) return undefined;
  // An account in user subscription mode uses the quota of the subscription, which this request does not return.
  const isOwn = found.poolAllocationMode !== 'UserSubscription';
  return {
    dedicatedCores: isOwn ? found.dedicatedCoreQuota : undefined,
    spotCores: isOwn ? found.lowPriorityCoreQuota : undefined,
    families:
      isOwn && found.dedicatedCoreQuotaPerVMFamilyEnforced
        ? new Map(
            (found.dedicatedCoreQuotaPerVMFamily ?? []).map(({ name = '', coreQuota = 0 }) => [
              name,
              coreQuota,
            ]),
          )
        : undefined,
    pools: found.poolQuota ?? Number.POSITIVE_INFINITY,
    jobs: found.activeJobAndJobScheduleQuota ?? Number.POSITIVE_INFINITY,
  };
}

/**
 * Lists the sizes that Batch supports in the region of an account. Undefined for an account without a resource id.
 * https://learn.microsoft.com/rest/api/batchmanagement/location/list-supported-virtual-machine-skus
 */
export async function supportedSizes(
  arm: Arm,
  account: AccountRecord,
  signal: AbortSignal,
): Promise<VmSizes | undefined> {
  const found = await batchAccount(arm, account, signal);
  if (found === undefined) return undefined;
  const client = new BatchManagementClient(arm.credential, found.subscription, options(arm));
  const sizes = await all(
    arm,
    signal,
    (abortSignal) => client.location.listSupportedVirtualMachineSkus(found.location ?? '', { abortSignal }),
    ({ name = '', familyName: family, capabilities = [] }) => {
      const value = (wanted: string) => capabilities.find(({ name }) => name === wanted)?.value;
      const cores = Number(value('vCPUs'));
      const generations = value('HyperVGenerations')
        ?.split(',')
        .filter((generation): generation is VmGeneration => generation === 'V1' || generation === 'V2');
      return [name.toLowerCase(), { cores: cores > 0 ? cores : undefined, family, generations }] as const;
    },
  );
  return new Map(sizes);
}

async function batchAccount(arm: Arm, { resourceId = '' }: AccountRecord, signal: AbortSignal) {
  const [, subscription, group, name] =
    /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/.*\/batchAccounts\/([^/]+)$/i.exec(resourceId) ?? [];
  if (!subscription || !group || !name) return undefined;
  const client = new BatchManagementClient(arm.credential, subscription, options(arm));
  const found = await called(arm, signal, (abortSignal) =>
    client.batchAccountOperations.get(group, name, { abortSignal }),
  );
  return { ...found, subscription };
}

function options({ cloud, endpoint = cloud.arm }: Arm) {
  return {
    endpoint,
    credentialScopes: scopesOf(cloud),
    retryOptions: { maxRetries: 2 },
  };
}

function scopesOf({ arm }: Cloud): string[] {
  return [`${arm}/.default`];
}

function all<T, R>(
  arm: Arm,
  signal: AbortSignal,
  list: (signal: AbortSignal) => AsyncIterable<T>,
  map: (item: T) => R,
): Promise<R[]> {
  return called(arm, signal, async (abortSignal) => {
    const found: R[] = [];
    for await (const item of list(abortSignal)) found.push(map(item));
    return found;
  });
}

/**
 * Makes a call within `callMs`. The time in which the user signs in does not count. Turns an error of Resource Manager or of
 * the authority into a UserError.
 */
async function called<T>(
  { cloud, credential, endpoint = cloud.arm, limitMs = callMs }: Arm,
  signal: AbortSignal,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { host } = new URL(endpoint);
  let limit = signal;
  try {
    await untilAborted(Promise.resolve(credential.getToken(scopesOf(cloud))), signal);
    limit = anyOf(signal, AbortSignal.timeout(limitMs));
    return await untilAborted(call(limit), limit);
  } catch (error) {
    if (limit.aborted) throw endedBy(limit.reason, host);
    if (isAbort(error) || error instanceof UserError) throw error;
    const { statusCode, code, message } = error as { statusCode?: number; code?: string; message?: string };
    if (statusCode === undefined) {
      if (code === undefined) throw error;
      if (isCertificateCode(code)) throw new UserError({ kind: 'certificate', host, code }, { cause: error });
      if (isNetworkCode(code)) throw new UserError({ kind: 'unreachable', host, code }, { cause: error });
    }
    throw new UserError(
      {
        kind: 'service',
        service: 'arm',
        operation: 'list accounts',
        status: statusCode,
        code: code ?? `HTTP ${statusCode}`,
        detail: message && maskSas(message.split('\n')[0] ?? ''),
      },
      { cause: error },
    );
  }
}
