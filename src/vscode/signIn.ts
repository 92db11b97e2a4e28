import type { TokenCredential } from '@azure/identity';
import { authentication, l10n, window } from 'vscode';
import type { AccountRecord } from '../core/account';
import type { Arm, FoundBatch, FoundStorage, Subscription, Tenant } from '../core/arm';
import { type Cloud, clouds } from '../core/cloud';
import { UserError } from '../core/errors';
import { chain, providerOf, SessionCredential, signInClouds } from './credentials';
import { sentenceOf } from './sentences';
import { back, type Choice, chooseStep } from './wizard';

interface Found {
  cloud?: Cloud;
  tenant?: Tenant | 'own';
  subscription?: Subscription;
  batch?: FoundBatch;
  storage?: FoundStorage;
}

type StepName = keyof Found;

const lookMs = 60_000;
const steps: readonly StepName[] = ['cloud', 'tenant', 'subscription', 'batch', 'storage'];

/** Finds a Batch account and its storage account by signing in, step by step. Undefined when the person gave up. */
export async function findBySignIn(signIn: 'microsoft' | 'identity'): Promise<AccountRecord | undefined> {
  const arm = await import('../core/arm');
  const found: Found = {};
  for (let step = 0; step < steps.length; ) {
    const name = steps[step] as StepName;
    const answer = await ask(name, step, found, signIn, arm);
    if (answer === undefined) return undefined;
    if (answer === back) {
      // A step that had but one answer was not seen: back is to the last one that was.
      step = Math.max(step - 1, 0);
      continue;
    }
    Object.assign(found, { [name]: answer });
    step++;
  }
  return recordOf(signIn, found);
}

async function ask(
  name: StepName,
  step: number,
  found: Found,
  signIn: 'microsoft' | 'identity',
  arm: typeof import('../core/arm'),
): Promise<unknown> {
  const place = { step: step + 1, steps: steps.length, isFirst: step === 0 };
  const title = l10n.t('Connect an Azure Batch account');
  const signal = AbortSignal.timeout(lookMs);
  switch (name) {
    case 'cloud':
      return chooseStep(title, { ...place, placeholder: l10n.t('Which cloud?') }, async () =>
        (signIn === 'identity' ? clouds : signInClouds(clouds)).map((cloud) => ({
          label: cloudLabel(cloud),
          description: new URL(cloud.portal).host,
          value: cloud,
        })),
      );
    case 'tenant': {
      if (signIn === 'identity') return 'own';
      return chooseStep<Tenant | 'own'>(
        title,
        { ...place, placeholder: l10n.t('Which directory (tenant)?') },
        async () =>
          (await arm.tenants(await armOf(found, signIn), signal)).map((tenant) => ({
            label: tenant.name,
            description: tenant.id,
            value: tenant,
          })),
      );
    }
    case 'subscription':
      return chooseStep(title, { ...place, placeholder: l10n.t('Which subscription?') }, async () =>
        (await arm.subscriptions(await armOf(found, signIn), signal)).map((subscription) => ({
          label: subscription.name,
          description: subscription.id,
          value: subscription,
        })),
      );
    case 'batch':
      return chooseStep(title, { ...place, placeholder: l10n.t('Which Batch account?') }, async () =>
        (await arm.batchAccounts(await armOf(found, signIn), found.subscription?.id ?? '', signal)).map(
          (batch) => ({
            label: batch.name,
            description: batch.location,
            value: batch,
          }),
        ),
      );
    case 'storage':
      return chooseStep(title, { ...place, placeholder: l10n.t('Which storage account?') }, async () =>
        storageChoices(
          await arm.storageAccounts(
            await armOf(found, signIn),
            found.subscription?.id ?? '',
            found.batch?.location ?? '',
            signal,
          ),
          found.batch,
        ),
      );
  }
}

/** The one that is linked to the Batch account first. */
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
          : l10n.t('In another region: traffic between regions costs money.'),
      value: storage,
    }));
}

async function armOf({ cloud, tenant }: Found, signIn: 'microsoft' | 'identity'): Promise<Arm> {
  if (cloud === undefined) throw new Error('The cloud comes first.');
  const tenantId = typeof tenant === 'object' ? tenant.id : undefined;
  return { cloud, credential: await credentialFor(cloud, tenantId, signIn) };
}

async function credentialFor(
  cloud: Cloud,
  tenantId: string | undefined,
  signIn: 'microsoft' | 'identity',
): Promise<TokenCredential> {
  return signIn === 'identity'
    ? chain(cloud, tenantId)
    : new SessionCredential(providerOf(cloud), cloudLabel(cloud), tenantId, true);
}

function recordOf(signIn: 'microsoft' | 'identity', found: Found): AccountRecord | undefined {
  const { tenant, subscription, batch, storage } = found;
  if (batch === undefined || storage === undefined) return undefined;
  return {
    id: batch.name,
    label: batch.name,
    signIn,
    batchName: batch.name,
    batchUrl: batch.url,
    storageName: storage.name,
    blobUrl: storage.blobUrl,
    tenantId: typeof tenant === 'object' ? tenant.id : subscription?.tenantId,
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

/** Signs in once more after a session has ended. */
export async function signInAgain(account: AccountRecord, cloud: Cloud): Promise<void> {
  const scopes = [`${cloud.batchAudience}/.default`];
  if (account.tenantId) scopes.push(`VSCODE_TENANT:${account.tenantId}`);
  try {
    await authentication.getSession(providerOf(cloud), scopes, { forceNewSession: true });
  } catch {
    await window.showErrorMessage(sentenceOf({ kind: 'signedOut', account: account.label }).text);
    throw new UserError({ kind: 'signedOut', account: account.label });
  }
}
