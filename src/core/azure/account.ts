import type { TokenCredential } from '@azure/identity';

/** How an account is signed in to. `local` is the service this extension starts; to `core` it is an account like any other. */
export type SignIn = 'local' | 'keys' | 'microsoft' | 'identity';

/** The ways that go by tokens, without any key. */
export type TokenSignIn = Exclude<SignIn, 'local' | 'keys'>;

/** What is known of an account without any secret: may be stored, shown and logged. */
export interface AccountRecord {
  /** Stable over renames; part of secret names and settings. */
  readonly id: string;
  label: string;
  readonly signIn: SignIn;
  /** Name of the Batch account, as it signs requests. */
  readonly batchName: string;
  /** `https://name.region.batch.azure.com`, without a slash at the end. */
  readonly batchUrl: string;
  /** Name of the storage account, as it signs requests. */
  readonly storageName: string;
  /** `https://name.blob.core.windows.net`, without a slash at the end. */
  readonly blobUrl: string;
  /** Where tokens come from and for which directory (`microsoft` and `identity`). */
  readonly tenantId?: string;
  readonly subscriptionId?: string;
  /** Azure Resource Manager id of the Batch account, for portal links and quota. */
  readonly resourceId?: string;
}

export type Credential =
  | { readonly kind: 'sharedKey'; readonly name: string; readonly key: string }
  | { readonly kind: 'token'; readonly credential: TokenCredential };

/** An account with live credentials: held in memory only. */
export interface Connection {
  readonly account: AccountRecord;
  readonly batch: Credential;
  readonly storage: Credential;
}
