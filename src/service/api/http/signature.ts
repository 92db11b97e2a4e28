import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { BatchError } from '../../wire/errors';

export interface Account {
  readonly name: string;
  /** Base64. */
  readonly key: string;
}

/** Maximum difference between the date of a request and the clock of the service, as in Azure. */
const skewMs = 15 * 60_000;

const signedHeaders = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-type',
  'date',
  'if-modified-since',
  'if-match',
  'if-none-match',
  'if-unmodified-since',
  'range',
];

/**
 * Checks the Shared Key signature of a request, or its bearer token. Throws AuthenticationFailed or
 * InvalidAuthenticationInfo. https://learn.microsoft.com/rest/api/batchservice/authenticate-requests-to-the-azure-batch-service
 */
export function authenticate(
  request: IncomingMessage,
  account: Account,
  tokens: readonly string[],
  jobOfToken: (token: string) => string | undefined,
  now = Date.now(),
): void {
  const { authorization } = request.headers;
  if (authorization === undefined)
    throw new BatchError('AuthenticationFailed', { Reason: 'No Authorization header.' });
  const bearer = /^Bearer (\S+)$/.exec(authorization)?.[1];
  if (bearer !== undefined) {
    if (tokens.some((token) => equal(token, bearer))) return;
    const job = jobOfToken(bearer);
    if (job !== undefined) {
      checkJob(request.url ?? '/', job);
      return;
    }
    throw new BatchError('AuthenticationFailed', { Reason: 'The token is not trusted.' });
  }
  const [, name, signature] = /^SharedKey ([^\s:]+):([A-Za-z0-9+/]+=*)$/.exec(authorization) ?? [];
  if (name === undefined || signature === undefined) throw new BatchError('InvalidAuthenticationInfo');
  const date = Date.parse(header(request, 'ocp-date') || header(request, 'date'));
  if (!(Math.abs(now - date) <= skewMs)) {
    throw new BatchError('AuthenticationFailed', {
      Reason: 'The date is too far from the time of this machine.',
    });
  }
  const isSigned = queryForms.some((form) =>
    lengthsOf(request).some((length) =>
      equal(sign(stringToSign(request, account.name, form, length), account.key), signature),
    ),
  );
  if (name !== account.name || !isSigned) {
    throw new BatchError('AuthenticationFailed', { Reason: 'The signature does not match.' });
  }
}

/** The token of a task is for its job and what is below that. */
function checkJob(url: string, job: string): void {
  const [path = '/'] = splitOnce(url, '?');
  const [, jobs, id] = path.split('/');
  // The id as it stands in the path: job ids need no encoding, and what is encoded names another path.
  const isOfJob =
    jobs === 'jobs' && (id?.toLowerCase() === job.toLowerCase() || id === encodeURIComponent(job));
  if (!isOfJob || /%2e|\/\.\.?(\/|$)/i.test(path))
    throw new BatchError('AuthenticationFailed', { Reason: `The token is for job ${job} only.` });
}

export function sign(text: string, key: string): string {
  return createHmac('sha256', Buffer.from(key, 'base64')).update(text, 'utf8').digest('base64');
}

/** How a client writes the names of query parameters into the string that it signs. */
interface QueryForm {
  readonly nameOf: (name: string) => string;
  readonly compare: (one: string, other: string) => number;
}

const asSent = (name: string) => name;
const byCodePoint = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);

/**
 * Forms that official clients sign. They differ where a name has a capital letter or begins with `$`: the Python clients and
 * `@azure/batch` 10 sort names as they are sent, Java's client writes them in lower case, as the documentation says, and
 * `@azure/batch` 13 sorts them as the locale en-US does.
 */
const queryForms: readonly QueryForm[] = [
  { nameOf: asSent, compare: byCodePoint },
  { nameOf: (name) => name.toLowerCase(), compare: byCodePoint },
  { nameOf: asSent, compare: (one, other) => one.localeCompare(other, 'en-US') },
];

/** Lengths that clients sign: where there is no body, some sign 0 and send no length, as `@azure/batch` 7 does. */
function lengthsOf(request: Pick<IncomingMessage, 'headers'>): readonly string[] {
  const length = header(request, 'content-length');
  return length === '' ? ['', '0'] : length === '0' ? ['0', ''] : [length];
}

/** Returns the string that a client signs: the path in it is still encoded. */
function stringToSign(
  request: Pick<IncomingMessage, 'method' | 'url' | 'headers'>,
  accountName: string,
  form: QueryForm,
  length: string,
): string {
  const lines = signedHeaders.map((name) => {
    if (name === 'content-length') return length;
    return name === 'date' && request.headers['ocp-date'] ? '' : header(request, name);
  });
  const ocp = Object.keys(request.headers)
    .filter((name) => name.startsWith('ocp-'))
    .sort()
    .map((name) => `${name}:${header(request, name)}\n`);
  const resource = resourceOf(request.url ?? '/', accountName, form);
  return `${[request.method, ...lines].join('\n')}\n${ocp.join('')}${resource}`;
}

function resourceOf(url: string, accountName: string, form: QueryForm): string {
  const [path = '/', query = ''] = splitOnce(url, '?');
  const parameters = query
    .split('&')
    .filter(Boolean)
    .map((pair) => splitOnce(pair, '='))
    .map(([name = '', value = '']) => [form.nameOf(decode(name)), decode(value)] as const)
    .sort(([one], [other]) => form.compare(one, other));
  return `/${accountName}${path}${parameters.map(([name, value]) => `\n${name}:${value}`).join('')}`;
}

function splitOnce(text: string, mark: string): string[] {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new BatchError('InvalidUri');
  }
}

function header(request: Pick<IncomingMessage, 'headers'>, name: string): string {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(',') : (value ?? '');
}

function equal(one: string, other: string): boolean {
  const [first, second] = [Buffer.from(one), Buffer.from(other)];
  return first.length === second.length && timingSafeEqual(first, second);
}
