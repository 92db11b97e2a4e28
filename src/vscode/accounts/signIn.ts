import { l10n } from 'vscode';
import type { AccountRecord, TokenSignIn } from '../../core/azure/account';
import { type Cloud, clouds } from '../../core/azure/clouds';
import type { Arm, FoundBatch, FoundStorage, Subscription, Tenant } from '../../core/azure/resourceManager';
import { isAbort, UserError } from '../../core/errors';
import { accountId } from './accounts';
import { credentialFor, providerOf, sessionOf, signInClouds } from './credentials';
import { type Choice, chooseStep, type Step, walk } from './wizard';

/** The user's choices so far. Each step depends on those before. */
interface Found {
  cloud?: Cloud;
  tenant?: Tenant;
  subscription?: Subscription;
  batch?: FoundBatch;
  storage?: FoundStorage;
}

/** Signs in, then asks for a Batch account and a storage account, step by step. */
export async function findBySignIn(way: TokenSignIn): Promise<AccountRecord | 'back' | 'cancelled'> {
  const search: Search = { way, found: {}, arm: await import('../../core/azure/resourceManager') };
  const outcome = await walk(
    l10n.t('Connect an Azure Batch account'),
    [cloudStep(search), tenantStep(search), subscriptionStep(search), batchStep(search), storageStep(search)],
    // A list of one is taken without asking.
    { knowsTotal: false },
  );
  return outcome === 'done' ? (recordOf(way, search.found) ?? 'cancelled') : outcome;
}

/** What the steps share. */
interface Search {
  readonly way: TokenSignIn;
  readonly found: Found;
  readonly arm: typeof import('../../core/azure/resourceManager');
}

function cloudStep({ way, found }: Search): Step {
  return {
    ask: (place) =>
      chooseStep<Cloud>(place, {
        placeholder: l10n.t('Which cloud?'),
        load: async () => (way === 'identity' ? clouds : signInClouds(clouds)).map(cloudChoice),
        take: (cloud) => {
          found.cloud = cloud;
        },
      }),
  };
}

function tenantStep({ way, found, arm }: Search): Step {
  return {
    isNeeded: () => way !== 'identity',
    ask: (place) =>
      chooseStep<Tenant>(place, {
        placeholder: l10n.t('Which directory (tenant)?'),
        load: async (signal) =>
          (await arm.tenants(await armOf({ cloud: found.cloud }, way), signal)).map((tenant) => ({
            label: tenant.name,
            description: tenant.id,
            value: tenant,
          })),
        take: (tenant) => {
          found.tenant = tenant;
        },
      }),
  };
}

function subscriptionStep({ way, found, arm }: Search): Step {
  return {
    ask: (place) =>
      chooseStep<Subscription>(place, {
        placeholder: l10n.t('Which subscription?'),
        load: async (signal) =>
          (await arm.subscriptions(await armOf(found, way), signal)).map((subscription) => ({
            label: subscription.name,
            description: subscription.id,
            value: subscription,
          })),
        take: (subscription) => {
          found.subscription = subscription;
        },
      }),
  };
}

function batchStep({ way, found, arm }: Search): Step {
  return {
    ask: (place) =>
      chooseStep<FoundBatch>(place, {
        placeholder: l10n.t('Which Batch account?'),
        load: async (signal) =>
          (await arm.batchAccounts(await armOf(found, way), found.subscription?.id ?? '', signal)).map(
            (batch) => ({ label: batch.name, description: batch.location, value: batch }),
          ),
        take: (batch) => {
          found.batch = batch;
        },
      }),
  };
}

function storageStep({ way, found, arm }: Search): Step {
  return {
    ask: (place) =>
      chooseStep<FoundStorage>(place, {
        placeholder: l10n.t('Which storage account?'),
        async load(signal) {
          const { subscription, batch } = found;
          const region = batch?.location ?? '';
          const credentials = await armOf(found, way);
          return storageChoices(
            await arm.storageAccounts(credentials, subscription?.id ?? '', region, signal),
            batch,
          );
        },
        take: (storage) => {
          found.storage = storage;
        },
      }),
  };
}

function cloudChoice(cloud: Cloud): Choice<Cloud> {
  return { label: cloudLabel(cloud), description: new URL(cloud.portal).host, value: cloud };
}

/** The account that is linked to the Batch account comes first. */
function storageChoices(all: readonly FoundStorage[], batch: FoundBatch | undefined): Choice<FoundStorage>[] {
  const isLinked = ({ resourceId }: FoundStorage) =>
    resourceId.toLowerCase() === batch?.storageId?.toLowerCase();
  return [...all]
    .sort((one, other) => Number(isLinked(other)) - Number(isLinked(one)))
    .map((storage) => ({
      label: storage.name,
      description: storage.location,
      detail: isLinked(storage)
        ? l10n.t('Linked to the Batch account')
        : storage.location === batch?.location
          ? undefined
          : l10n.t('In another region. Azure charges for traffic between regions.'),
      value: storage,
    }));
}

async function armOf({ cloud, tenant }: Found, way: TokenSignIn): Promise<Arm> {
  if (cloud === undefined) throw new Error('No cloud has been chosen.');
  const need = { cloud, label: tenant?.name ?? cloudLabel(cloud), tenantId: tenant?.id, mayAsk: true };
  return { cloud, credential: await credentialFor(way, need) };
}

function recordOf(
  signIn: TokenSignIn,
  { tenant, subscription, batch, storage }: Found,
): AccountRecord | undefined {
  if (batch === undefined || storage === undefined) return undefined;
  return {
    id: accountId(batch.url),
    label: batch.name,
    signIn,
    batchName: batch.name,
    batchUrl: batch.url,
    storageName: storage.name,
    blobUrl: storage.blobUrl,
    tenantId: tenant?.id ?? subscription?.tenantId,
    subscriptionId: subscription?.id,
    resourceId: batch.resourceId,
  };
}

function cloudLabel({ name }: Cloud): string {
  switch (name) {
    case 'public':
      return l10n.t('Azure');
    case 'china':
      return l10n.t('Azure China');
    case 'usGovernment':
      return l10n.t('Azure US Government');
  }
}

/** Signs in again after a session has ended. Throws an AbortError if the user cancels. */
export async function signInAgain(account: AccountRecord, cloud: Cloud): Promise<void> {
  const scopes = [`${cloud.batchAudience}/.default`];
  if (account.tenantId) scopes.push(`VSCODE_TENANT:${account.tenantId}`);
  try {
    await sessionOf(providerOf(cloud), scopes, { forceNewSession: true });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new UserError({ kind: 'signedOut', account: account.label }, { cause: error });
  }
}
