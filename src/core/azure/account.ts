import type { TokenCredential } from '@azure/identity';
import type { Log } from '../log';

/** How to sign in to an account. `local` is the service that this extension starts; `core` treats it like any other. */
export type SignIn = 'local' | 'keys' | 'microsoft' | 'identity';

/** Ways to sign in with tokens instead of keys. */
export type TokenSignIn = Exclude<SignIn, 'local' | 'keys'>;

/** An account without its secrets: it can be stored, shown and logged. */
export interface AccountRecord {
  /** Stays the same when the account is renamed. Part of the names of secrets and settings. */
  readonly id: string;
  label: string;
  readonly signIn: SignIn;
  /** Name of the Batch account in signatures. */
  readonly batchName: string;
  /** `https://name.region.batch.azure.com`, without a slash at the end. */
  readonly batchUrl: string;
  /** Name of the storage account in signatures. */
  readonly storageName: string;
  /** `https://name.blob.core.windows.net`, without a slash at the end. */
  readonly blobUrl: string;
  /** Directory of the tokens (`microsoft` and `identity`). */
  readonly tenantId?: string;
  readonly subscriptionId?: string;
  /** Azure Resource Manager id of the Batch account, for portal links and quota. */
  readonly resourceId?: string;
}

/** Whether a URL leads to this machine itself: nothing sent to it needs encryption, and no proxy reaches it. */
export function isLoopback(url: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/i.test(new URL(url).hostname);
}

/** A credential that can be told that a service has refused its token. */
export interface RenewableCredential extends TokenCredential {
  forget?(): void;
}

export type Credential =
  | { readonly kind: 'sharedKey'; readonly name: string; readonly key: string }
  | { readonly kind: 'token'; readonly credential: RenewableCredential };

/** An account with its credentials, which are never stored. */
export interface Connection {
  readonly account: AccountRecord;
  readonly batch: Credential;
  readonly storage: Credential;
  /** Gets a line for each request (`trace`) and each decision (`debug`). */
  readonly log?: Log;
}
