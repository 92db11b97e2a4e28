import type { IncomingMessage, ServerResponse } from 'node:http';
import { BatchError } from '../../wire/errors';
import type { Wire } from '../../wire/wire';

const maxBodyBytes = 1024 * 1024;
/** Maximum nesting of objects and arrays. The deepest request of the API has about 12 levels. */
const maxDepth = 64;
/** Throws for bytes that are not UTF-8, and drops the byte order mark that some editors write. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Reads a request body. Throws RequestBodyTooLarge. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    // Keeps reading past the limit, so that the reply reaches a client that is still sending.
    if (size <= maxBodyBytes) chunks.push(chunk);
  }
  if (size > maxBodyBytes) throw new BatchError('RequestBodyTooLarge');
  return Buffer.concat(chunks);
}

/** Throws UnsupportedHeader for a body that is compressed. */
export function checkEncoding({ headers }: IncomingMessage): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || /^(identity)?$/i.test(encoding)) return;
  throw new BatchError('UnsupportedHeader', { HeaderName: 'Content-Encoding', HeaderValue: encoding });
}

/** Parses a request body; undefined when there is none. Throws InvalidRequestBody. */
export function parseBody(bytes: Buffer): Wire | undefined {
  if (bytes.length === 0) return undefined;
  if (isTooDeep(bytes))
    throw new BatchError('InvalidRequestBody', {
      Reason: `The body is nested more than ${maxDepth} levels deep.`,
    });
  let body: unknown;
  try {
    body = JSON.parse(utf8.decode(bytes));
  } catch {
    throw new BatchError('InvalidRequestBody', { Reason: 'The body is not valid JSON in UTF-8.' });
  }
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Wire;
  throw new BatchError('InvalidRequestBody', { Reason: 'The body must be a JSON object.' });
}

const [quote, backslash] = [0x22, 0x5c];
const opening = new Set([0x5b, 0x7b]);
const closing = new Set([0x5d, 0x7d]);

/** Counts brackets outside of strings. JSON.parse takes any depth, but JSON.stringify overflows the stack later. */
function isTooDeep(bytes: Buffer): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (inString) {
      if (byte === backslash) at++;
      else if (byte === quote) inString = false;
    } else if (byte === quote) inString = true;
    else if (opening.has(byte) && ++depth > maxDepth) return true;
    else if (closing.has(byte)) depth--;
  }
  return false;
}

/**
 * Makes a target in absolute form, as clients send it to a proxy, one in origin form. Its host takes the place of the
 * Host header. https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
 */
export function useOriginForm(request: IncomingMessage): void {
  const [whole, host] = /^https?:\/\/([^/?]+)/i.exec(request.url ?? '') ?? [];
  if (whole === undefined || host === undefined) return;
  const rest = request.url?.slice(whole.length) ?? '';
  request.url = rest.startsWith('/') ? rest : `/${rest}`;
  request.headers.host = host;
}

/** Splits a URL into its path, still encoded, and its query by lower-case names. */
export function splitUrl(url: string): { path: string; query: Map<string, string> } {
  const [path = '/', search = ''] = url.split(/\?(.*)/s);
  return {
    path,
    query: new Map([...new URLSearchParams(search)].map(([name, value]) => [name.toLowerCase(), value])),
  };
}

/** Sets the headers that every reply has. */
export function setCommonHeaders(
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
): void {
  response.setHeader('request-id', requestId);
  response.setHeader('DataServiceVersion', '3.0');
  response.setHeader('Server', 'Microsoft-HTTPAPI/2.0');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  const clientId = request.headers['client-request-id'];
  if (clientId && String(request.headers['return-client-request-id']).toLowerCase() === 'true') {
    response.setHeader('client-request-id', clientId);
  }
}
