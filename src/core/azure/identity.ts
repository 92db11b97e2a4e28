import type { AccessToken, GetTokenOptions, TokenCredential } from '@azure/identity';
import { errorCode, isAbort, type Problem, UserError } from '../errors';
import { isCertificateCode, isNetworkCode } from './retry';

const entra = 'Microsoft Entra ID';

/** A credential whose failures are UserErrors that name the account. */
export class NamedCredential implements TokenCredential {
  constructor(
    private readonly inner: TokenCredential,
    private readonly account: string,
  ) {}

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
 * Microsoft Entra's own code where the message has one, as it has whatever package asked:
 * https://learn.microsoft.com/entra/identity-platform/reference-error-codes. A chain of credentials of which none
 * applies is `CredentialUnavailable`.
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
