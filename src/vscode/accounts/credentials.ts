import type { TokenCredential } from '@azure/identity';
import { authentication, workspace } from 'vscode';
import type { AccountRecord, TokenSignIn } from '../../core/azure/account';
import { type Cloud, cloudOf } from '../../core/azure/clouds';
import { UserError } from '../../core/errors';

/** A token that ends sooner is asked for anew. */
const assumedMs = 5 * 60_000;

/** The provider of VS Code that signs in to a cloud; its setting names the sovereign one. */
export function providerOf({ name }: Cloud): string {
  return name === 'public' ? 'microsoft' : 'microsoft-sovereign-cloud';
}

/** Clouds that this VS Code can sign in to: the public one, and the sovereign one of its setting. */
export function signInClouds(clouds: readonly Cloud[]): Cloud[] {
  const environment = workspace.getConfiguration('microsoft-sovereign-cloud').get<string>('environment', '');
  const names: Record<string, Cloud['name']> = { ChinaCloud: 'china', USGovernment: 'usGovernment' };
  return clouds.filter(({ name }) => name === 'public' || name === names[environment]);
}

/**
 * Tokens of VS Code's own sign-in. Nothing is asked unless `mayAsk`: work in the background throws `signedOut` instead,
 * which a person can act on.
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
    const session = await authentication.getSession(this.provider, wanted, how);
    if (session === undefined) throw new UserError({ kind: 'signedOut', account: this.label });
    return { token: session.accessToken, expiresOnTimestamp: expiryOf(session.accessToken) };
  }
}

/** Tokens of an account that is signed in to; undefined for accounts with keys. */
export async function credentialOf(account: AccountRecord): Promise<TokenCredential | undefined> {
  const { signIn, label, tenantId, batchUrl } = account;
  if (signIn !== 'microsoft' && signIn !== 'identity') return undefined;
  return credentialFor(signIn, { cloud: cloudOf(batchUrl), label, tenantId, mayAsk: false });
}

export interface CredentialNeed {
  readonly cloud: Cloud;
  /** Whose credential it is, for people. */
  readonly label: string;
  readonly tenantId?: string;
  /** Whether a person is there who may be asked to sign in. */
  readonly mayAsk: boolean;
}

/**
 * Tokens of VS Code's own sign-in; or of the Azure CLI, the environment, or a managed identity, whichever answers: for
 * remote and headless use.
 */
export async function credentialFor(
  signIn: TokenSignIn,
  { cloud, label, tenantId, mayAsk }: CredentialNeed,
): Promise<TokenCredential> {
  const { NamedCredential } = await import('../../core/azure/identity');
  if (signIn === 'microsoft') {
    return new NamedCredential(new SessionCredential(providerOf(cloud), label, tenantId, mayAsk), label);
  }
  const { DefaultAzureCredential } = await import('@azure/identity');
  return new NamedCredential(new DefaultAzureCredential({ authorityHost: cloud.authority, tenantId }), label);
}

/** When a token ends: it says so itself. Milliseconds since 1970. */
function expiryOf(token: string): number {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      exp?: number;
    };
    if (exp) return exp * 1000;
  } catch {
    // Not every token can be read.
  }
  return Date.now() + assumedMs;
}
