import { BatchManagementClient } from '@azure/arm-batch';
import { SubscriptionClient } from '@azure/arm-resources-subscriptions';
import { StorageManagementClient } from '@azure/arm-storage';
import type { TokenCredential } from '@azure/identity';
import { isAbort, UserError } from '../errors';
import type { AccountRecord } from './account';
import type { Cloud } from './clouds';

/** Where Azure Resource Manager is, and whom it believes. */
export interface Arm {
  readonly cloud: Cloud;
  readonly credential: TokenCredential;
  /** Instead of the cloud's own: for tests and private clouds. */
  readonly endpoint?: string;
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
  /** Resource id of the storage account that is linked to it. */
  readonly storageId?: string;
  /** Undefined where the account does not say. */
  readonly allowsKeys?: boolean;
}

export interface FoundStorage {
  readonly resourceId: string;
  readonly name: string;
  readonly location: string;
  readonly blobUrl: string;
  /** Whether it lets in only networks that were chosen. */
  readonly isFirewalled: boolean;
}

/** What an account may use, and uses. Cores of Batch's own subscription; undefined where they are the subscription's. */
export interface Quota {
  readonly dedicatedCores?: number;
  readonly spotCores?: number;
  /** Dedicated cores by family (`standardDSv5Family`), where they are bounded so. */
  readonly families?: ReadonlyMap<string, number>;
  readonly pools: number;
  readonly jobs: number;
}

/** The directories that a person is in. */
export async function tenants(arm: Arm, signal: AbortSignal): Promise<Tenant[]> {
  return all(
    new SubscriptionClient(arm.credential, options(arm)).tenants.list({ abortSignal: signal }),
    ({ tenantId = '', displayName, defaultDomain }) => ({
      id: tenantId,
      name: displayName ?? defaultDomain ?? tenantId,
    }),
  );
}

export async function subscriptions(arm: Arm, signal: AbortSignal): Promise<Subscription[]> {
  const found = await all(
    new SubscriptionClient(arm.credential, options(arm)).subscriptions.list({ abortSignal: signal }),
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
    client.batchAccountOperations.list({ abortSignal: signal }),
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

/** Storage accounts that hold blobs, those of a region first: traffic within one costs nothing. */
export async function storageAccounts(
  arm: Arm,
  subscription: string,
  location: string,
  signal: AbortSignal,
): Promise<FoundStorage[]> {
  const client = new StorageManagementClient(arm.credential, subscription, options(arm));
  const found = await all(
    client.storageAccounts.list({ abortSignal: signal }),
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
 * Whether the storage account of an account lets in only networks that were chosen: nodes of a pool that is in none of
 * them are kept out then. Undefined when it is not to be seen.
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
  const [, subscription, group, name] =
    /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/.*\/batchAccounts\/([^/]+)$/i.exec(
      account.resourceId ?? '',
    ) ?? [];
  if (!subscription || !group || !name) return undefined;
  const client = new BatchManagementClient(arm.credential, subscription, options(arm));
  const found = await called(client.batchAccountOperations.get(group, name, { abortSignal: signal }));
  // An account in user-subscription mode uses the subscription's quota, which is not its own to tell.
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

function options({ cloud, endpoint = cloud.arm }: Arm) {
  return {
    endpoint,
    credentialScopes: [`${cloud.arm}/.default`],
    retryOptions: { maxRetries: 2 },
  };
}

async function all<T, R>(items: AsyncIterable<T>, map: (item: T) => R): Promise<R[]> {
  const collect = async () => {
    const found: R[] = [];
    for await (const item of items) found.push(map(item));
    return found;
  };
  return called(collect());
}

/** What Resource Manager or the authority says, as a problem that can be shown. */
async function called<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (isAbort(error) || error instanceof UserError) throw error;
    const { statusCode, code, message } = error as { statusCode?: number; code?: string; message?: string };
    if (statusCode === undefined && code === undefined) throw error;
    throw new UserError(
      {
        kind: 'service',
        service: 'arm',
        operation: 'list accounts',
        status: statusCode,
        code: code ?? `HTTP ${statusCode}`,
        detail: message?.split('\n')[0],
      },
      { cause: error },
    );
  }
}
