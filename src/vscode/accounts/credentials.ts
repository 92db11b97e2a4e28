import type { TokenCredential } from '@azure/identity';
import {
  type AuthenticationGetSessionOptions,
  type AuthenticationSession,
  authentication,
  workspace,
} from 'vscode';
import type { AccountRecord, RenewableCredential, TokenSignIn } from '../../core/azure/account';
import { type Cloud, cloudOf } from '../../core/azure/clouds';
import { UserError } from '../../core/errors';

/** Assumed lifetime of a token that does not say when it expires. */
const assumedMs = 5 * 60_000;

/** The authentication provider of VS Code for a cloud. The sovereign one has a setting that names its cloud. */
export function providerOf({ name }: Cloud): string {
  return name === 'public' ? 'microsoft' : 'microsoft-sovereign-cloud';
}

/** The clouds that this VS Code can sign in to: the public one, and the sovereign one of its setting. */
export function signInClouds(clouds: readonly Cloud[]): Cloud[] {
  const environment = workspace.getConfiguration('microsoft-sovereign-cloud').get<string>('environment', '');
  const names: Record<string, Cloud['name']> = { ChinaCloud: 'china', USGovernment: 'usGovernment' };
  return clouds.filter(({ name }) => name === 'public' || name === names[environment]);
}

/**
 * Tokens of VS Code's own sign-in. Asks the user to sign in only if `mayAsk`: work in the background throws `signedOut`
 * instead.
 */
class SessionCredential implements TokenCredential {
  constructor(
    private readonly provider: string,
    private readonly label: string,
    private readonly tenantId: string | undefined,
    private readonly mayAsk: boolean,
  ) {}

  async getToken(scopes: string | string[]) {
    const wanted = [scopes].flat();
    if (this.tenantId) wanted.push(`VSCODE_TENANT:${this.tenantId}`);
    const how = this.mayAsk ? { createIfNone: true } : { silent: true };
    const session = await sessionOf(this.provider, wanted, how);
    if (session === undefined) throw new UserError({ kind: 'signedOut', account: this.label });
    return { token: session.accessToken, expiresOnTimestamp: expiryOf(session.accessToken) };
  }
}

/**
 * A session of VS Code. Throws an AbortError if the user closes the sign-in page or does not allow it: VS Code rejects
 * with plain errors that only their message tells apart (`mainThreadAuthentication.ts`).
 */
export async function sessionOf(
  provider: string,
  scopes: readonly string[],
  options: AuthenticationGetSessionOptions,
): Promise<AuthenticationSession | undefined> {
  try {
    return await authentication.getSession(provider, scopes, options);
  } catch (error) {
    const isCanceled =
      error instanceof Error && /did not consent|cancell?ed/i.test(`${error.name} ${error.message}`);
    throw isCanceled ? new DOMException('The sign-in was canceled.', 'AbortError') : error;
  }
}

/** Tokens of an account that the user signed in to; undefined for accounts with keys. */
export async function credentialOf(account: AccountRecord): Promise<TokenCredential | undefined> {
  const { signIn, label, tenantId, batchUrl } = account;
  if (signIn !== 'microsoft' && signIn !== 'identity') return undefined;
  return credentialFor(signIn, { cloud: cloudOf(batchUrl), label, tenantId, mayAsk: false });
}

/** Credentials of the environment by authority and tenant, shared by all connections so that each token is got once. */
const environmentCredentials = new Map<string, RenewableCredential>();

export interface CredentialNeed {
  readonly cloud: Cloud;
  /** The name of the account or directory, for messages. */
  readonly label: string;
  readonly tenantId?: string;
  /** Whether the user may be asked to sign in. */
  readonly mayAsk: boolean;
}

/**
 * Tokens of VS Code's own sign-in; or, for remote machines, of the environment, a managed identity or the Azure CLI,
 * whichever answers first.
 */
export async function credentialFor(
  signIn: TokenSignIn,
  { cloud, label, tenantId, mayAsk }: CredentialNeed,
): Promise<TokenCredential> {
  const { CachedCredential, NamedCredential } = await import('../../core/azure/identity');
  if (signIn === 'microsoft') {
    // VS Code caches its sessions, and knows when the user signs out.
    return new NamedCredential(new SessionCredential(providerOf(cloud), label, tenantId, mayAsk), label);
  }
  const key = `${cloud.authority} ${tenantId ?? ''}`;
  let credential = environmentCredentials.get(key);
  if (credential === undefined) {
    const { DefaultAzureCredential } = await import('@azure/identity');
    credential = new CachedCredential(
      new DefaultAzureCredential({ authorityHost: cloud.authority, tenantId }),
    );
    environmentCredentials.set(key, credential);
  }
  return new NamedCredential(credential, label);
}

/** When a token expires, in milliseconds since 1970. */
function expiryOf(token: string): number {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      exp?: number;
    };
    if (exp) return exp * 1000;
  } catch {
    // Not every token is a JSON Web Token.
  }
  return Date.now() + assumedMs;
}
