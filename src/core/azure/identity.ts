import type { AccessToken, GetTokenOptions } from '@azure/identity';
import { errorCode, isAbort, type Problem, UserError } from '../errors';
import { untilAborted } from '../wait';
import type { RenewableCredential } from './account';
import { isCertificateCode, isNetworkCode } from './retry';

const entra = 'Microsoft Entra ID';

/** How long before its end a token is replaced, or half its lifetime if that is shorter. */
const renewBeforeMs = 5 * 60_000;

interface CachedToken {
  readonly token: AccessToken;
  readonly renewAtMs: number;
}

/**
 * Gets each token once and uses it until shortly before it expires, for each audience and tenant. A source such as the
 * Azure CLI starts a process for every token, and Batch's client asks for one with every request. An abort ends only the call
 * that has the signal.
 */
export class CachedCredential implements RenewableCredential {
  readonly #tokens = new Map<string, CachedToken>();
  readonly #pending = new Map<string, Promise<AccessToken | null>>();

  constructor(
    private readonly inner: RenewableCredential,
    private readonly now: () => number = Date.now,
  ) {}

  async getToken(scopes: string | string[], options: GetTokenOptions = {}): Promise<AccessToken | null> {
    const { claims, tenantId, abortSignal } = options;
    // Claims come from a service that refuses the present token.
    if (claims) return untilAborted(this.inner.getToken(scopes, options), abortSignal);
    const key = JSON.stringify([[scopes].flat(), tenantId]);
    const known = this.#tokens.get(key);
    if (known && this.now() < known.renewAtMs) return known.token;
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      // Callers share the request, so none of them may abort it for the others.
      pending = this.#fetch(key, scopes, { ...options, abortSignal: undefined });
      this.#pending.set(key, pending);
    }
    return untilAborted(pending, abortSignal);
  }

  /** Drops all tokens, after a service has refused one. */
  forget(): void {
    this.#tokens.clear();
    this.inner.forget?.();
  }

  async #fetch(
    key: string,
    scopes: string | string[],
    options: GetTokenOptions,
  ): Promise<AccessToken | null> {
    try {
      const token = await this.inner.getToken(scopes, options);
      if (token) {
        const lifetimeMs = token.expiresOnTimestamp - this.now();
        const renewAtMs = token.expiresOnTimestamp - Math.min(renewBeforeMs, lifetimeMs / 2);
        this.#tokens.set(key, { token, renewAtMs });
      }
      return token;
    } finally {
      this.#pending.delete(key);
    }
  }
}

/** A credential whose failures are UserErrors that name the account. */
export class NamedCredential implements RenewableCredential {
  constructor(
    private readonly inner: RenewableCredential,
    private readonly account: string,
  ) {}

  forget(): void {
    this.inner.forget?.();
  }

  async getToken(scopes: string | string[], options?: GetTokenOptions): Promise<AccessToken | null> {
    try {
      return await this.inner.getToken(scopes, options);
    } catch (error) {
      if (isAbort(error) || error instanceof UserError) throw error;
      throw new UserError(problemOf(error, this.account), { cause: error });
    }
  }
}

/**
 * The problem with Microsoft Entra's own code, if the message has one:
 * https://learn.microsoft.com/entra/identity-platform/reference-error-codes. `CredentialUnavailable` if no credential of
 * a chain applies.
 */
function problemOf(error: unknown, account: string): Problem {
  const message = error instanceof Error ? error.message : String(error);
  const [code] = /AADSTS\d+/.exec(message) ?? [];
  if (code !== undefined) return refusal(code, lineWith(message, code));
  const network = networkCode(error);
  if (network !== undefined) {
    return isCertificateCode(network)
      ? { kind: 'certificate', host: entra, code: network }
      : { kind: 'unreachable', host: entra, code: network };
  }
  const isNone = /Unavailable|AggregateAuthentication|AuthenticationRequired/.test((error as Error).name);
  return refusal(isNone ? 'CredentialUnavailable' : 'Unknown', isNone ? undefined : lineWith(message, ''));

  function refusal(refused: string, detail: string | undefined): Problem {
    return { kind: 'unauthorized', account, service: 'identity', code: refused, detail };
  }
}

function networkCode(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = errorCode(cause);
    if (code !== undefined && (isNetworkCode(code) || isCertificateCode(code))) return code;
  }
  return undefined;
}

function lineWith(message: string, text: string): string | undefined {
  return message
    .split('\n')
    .find((line) => line.includes(text) && line.trim() !== '')
    ?.trim();
}
