import type { ReadStream } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import type { Disturbances } from '../../disturbances/disturbances';
import type { PastStates } from '../../disturbances/pastStates';
import type { Log } from '../../guard/log';
import type { Supervisor } from '../../guard/supervisor';
import type { Autoscaling } from '../../scheduling/autoscaling';
import type { Faults } from '../../scheduling/faults';
import type { JobSchedules } from '../../scheduling/jobSchedules';
import type { Jobs } from '../../scheduling/jobs';
import type { Nodes } from '../../scheduling/nodes';
import type { Pools } from '../../scheduling/pools';
import type { Scheduler } from '../../scheduling/scheduler';
import type { JobState, PoolState, State, TaskState } from '../../scheduling/state';
import type { Containers } from '../../tasks/containers/containers';
import type { OwnStorage } from '../../tasks/ownStorage';
import { BatchError } from '../../wire/errors';
import type { Wire } from '../../wire/wire';
import { named } from '../requests/oldNames';
import { type FilteredList, parseFilter, select } from './odata';

export interface Context {
  readonly state: State;
  readonly scheduler: Scheduler;
  readonly pools: Pools;
  readonly nodes: Nodes;
  readonly jobs: Jobs;
  readonly jobSchedules: JobSchedules;
  readonly autoscaling: Autoscaling;
  readonly faults: Faults;
  readonly disturbances: Disturbances;
  readonly pastStates: PastStates;
  readonly supervisor: Supervisor;
  readonly log: Log;
  /** Undefined where no container engine answers. */
  readonly containers: Containers | undefined;
  /** The storage account of the Batch account, if there is one. */
  readonly storage: OwnStorage | undefined;
  readonly accountName: string;
  /** URL of the service, without a slash at the end. */
  readonly base: () => string;
}

export interface Request {
  readonly method: string;
  /** Decoded path parameters, in the order of the route. */
  readonly params: readonly string[];
  /** Query parameters by lower-case name. */
  readonly query: ReadonlyMap<string, string>;
  readonly headers: IncomingHttpHeaders;
  readonly body: Wire | undefined;
  /** Path and query as they were sent, for links to the next page. */
  readonly url: string;
  readonly version: string;
}

export interface Reply {
  readonly status: number;
  /** JSON object, or the members of one as text. */
  readonly body?: Wire | string;
  /** What `odata.metadata` names: `pools`, `pools/@Element`. */
  readonly metadata?: string;
  readonly headers?: Record<string, string>;
  /** Text that is sent as it is, in place of JSON; its `Content-Type` is in `headers`. */
  readonly text?: string;
  /** A file that is sent; its `Content-Length` is in `headers`. */
  readonly stream?: ReadStream;
}

export type Handler = (context: Context, request: Request) => Reply | Promise<Reply>;

/** Restricts a handler to the API versions from one on, or before another. */
export function versioned(
  { from = '', until = '~' }: { from?: string; until?: string },
  handler: Handler,
): Handler {
  return (context, request) => {
    const { version } = request;
    if (version < from || version >= until) throw new BatchError('ResourceNotFound');
    return handler(context, request);
  };
}

/** Method, path with `{}` for each parameter, handler. */
export type Route = readonly [method: string, path: string, handler: Handler];

/** Characters of ids: letters, digits, hyphens and underscores, and a colon in jobs of job schedules. */
const idPattern = /^[A-Za-z0-9_:-]{1,80}$/;

export function isId(text: string): boolean {
  return idPattern.test(text);
}

export function poolOf({ state }: Context, id: string): PoolState {
  const pool = isId(id) ? state.pool(id) : undefined;
  if (pool === undefined) throw new BatchError('PoolNotFound');
  return pool;
}

export function jobOf({ state }: Context, id: string): JobState {
  const job = isId(id) ? state.job(id) : undefined;
  if (job === undefined) throw new BatchError('JobNotFound');
  return job;
}

export function taskOf(context: Context, jobId: string, taskId: string): TaskState {
  const job = jobOf(context, jobId);
  const task = isId(taskId) ? context.state.task(job, taskId) : undefined;
  if (task === undefined) throw new BatchError('TaskNotFound');
  return task;
}

/** Returns the headers of a reply about one resource. */
export function resourceHeaders(wire: Wire, url: string, withLocation = false): Record<string, string> {
  return { ...etagHeaders(wire), DataServiceId: url, ...(withLocation ? { Location: url } : {}) };
}

export function etagHeaders({ eTag, lastModified }: Wire): Record<string, string> {
  return { ETag: String(eTag), 'Last-Modified': new Date(String(lastModified)).toUTCString() };
}

/**
 * Checks If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since. Only one may be sent, except for the two
 * pairs in which the ETag decides. Throws ConditionNotMet or NotModified.
 * https://learn.microsoft.com/rest/api/batchservice/specifying-conditional-headers
 */
export function checkConditions(
  { method, headers }: Pick<Request, 'method' | 'headers'>,
  { eTag, lastModified }: { eTag?: unknown; lastModified: unknown },
): void {
  const {
    'if-match': match,
    'if-none-match': noneMatch,
    'if-modified-since': modified,
    'if-unmodified-since': unmodified,
  } = headers;
  const positive = [match, unmodified].filter(Boolean).length;
  const negative = [noneMatch, modified].filter(Boolean).length;
  if (positive > 0 && negative > 0) throw new BatchError('MultipleConditionHeadersNotSupported');
  const same = (given: string) =>
    given === '*' || given.split(',').some((tag) => tag.trim().replace(/^"|"$/g, '') === eTag);
  const seconds = Math.floor(Date.parse(String(lastModified)) / 1000) * 1000;
  const since = (given: string) => {
    const time = Date.parse(given);
    if (Number.isNaN(time)) throw new BatchError('InvalidHeaderValue');
    return time;
  };
  const failed = match
    ? !same(match)
    : noneMatch
      ? same(noneMatch)
      : unmodified
        ? seconds > since(unmodified)
        : modified
          ? seconds <= since(modified)
          : false;
  if (!failed) return;
  const isRead = method === 'GET' || method === 'HEAD';
  throw new BatchError(isRead && negative > 0 ? 'NotModified' : 'ConditionNotMet');
}

/** Shows one resource under the member names of the version of the request, as far as `$select` names them. */
export function shown(wire: Wire, { query, version }: Request): Wire {
  return select(named(wire, version), query.get('$select'));
}

/** Characters after which a page ends early: a task can have 1 MB, and a page 1,000 tasks. */
const maxPageLength = 8 * 1024 * 1024;

/**
 * Returns one page of a list that is ordered by id. `items` yields the items after an id lazily, so that the cost of a
 * page depends on the items it reads, not on the length of the list. An item that is not wholly in memory has the members
 * by which the list can be filtered, and a function that reads it.
 */
export function page(
  context: Context,
  request: Request,
  metadata: FilteredList,
  items: (after: string | undefined) => Iterable<readonly [id: string, wire: Wire, read?: () => Wire]>,
  maxSize = 1000,
): Reply {
  const { query } = request;
  const size = pageSize(query.get('maxresults'), maxSize);
  const filterText = query.get('$filter');
  const filter = filterText ? parseFilter(filterText, metadata) : undefined;
  const token = query.get('$skiptoken');
  const after = token === undefined ? undefined : readToken(token);
  const texts: string[] = [];
  let length = 0;
  let last: string | undefined;
  let link: string | undefined;
  for (const [id, wire, read = () => wire] of items(after)) {
    if (filter && !filter(wire)) continue;
    if (texts.length === size || length > maxPageLength) {
      link = nextLink(context.base(), request.url, last ?? '');
      break;
    }
    const text = JSON.stringify(shown(read(), request));
    texts.push(text);
    length += text.length;
    last = id;
  }
  const more = link === undefined ? '' : `,"odata.nextLink":${JSON.stringify(link)}`;
  return { status: 200, metadata, body: `"value":[${texts.join(',')}]${more}` };
}

function pageSize(text: string | undefined, maxSize: number): number {
  if (!text) return maxSize;
  const size = Number(text);
  const refuse = (reason: string) =>
    new BatchError('InvalidQueryParameterValue', {
      QueryParameterName: 'maxresults',
      QueryParameterValue: text,
      Reason: reason,
    });
  if (!/^-?\d+$/.test(text)) throw refuse('MaxResults must be a whole number');
  if (size < 1) throw refuse('MaxResults cannot be less than 1');
  if (size > maxSize) throw refuse(`MaxResults cannot be greater than ${maxSize}`);
  return size;
}

function nextLink(base: string, url: string, last: string): string {
  const kept = url.replace(/([?&])\$?(%24)?skiptoken=[^&]*&?/i, '$1').replace(/[?&]$/, '');
  const token = `WATV2:${Buffer.from(last).toString('base64url')}:1$1`;
  return `${base}${kept}${kept.includes('?') ? '&' : '?'}$skiptoken=${encodeURIComponent(token)}`;
}

function readToken(token: string): string {
  const [, encoded] = /^WATV2:([\w-]*):/.exec(token) ?? [];
  if (encoded === undefined) {
    throw new BatchError('InvalidQueryParameterValue', {
      QueryParameterName: '$skiptoken',
      QueryParameterValue: token,
    });
  }
  return Buffer.from(encoded, 'base64url').toString();
}

/** Yields the items of a fixed list that come after one of its places. */
export function* afterIndex<T>(
  items: readonly T[],
  after: string | undefined,
): Generator<readonly [string, T]> {
  for (const [index, item] of items.entries()) {
    const place = String(index).padStart(4, '0');
    if (place > (after ?? '')) yield [place, item];
  }
}

/** Yields the items of an ordered list of ids that come after an id. */
export function* afterId<T>(
  ids: readonly string[],
  after: string | undefined,
  get: (id: string) => T | undefined,
): Generator<readonly [string, T]> {
  let low = 0;
  let high = after === undefined ? 0 : ids.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ids[middle] ?? '') <= (after ?? '')) low = middle + 1;
    else high = middle;
  }
  for (let index = low; index < ids.length; index++) {
    const id = ids[index] ?? '';
    const item = get(id);
    if (item !== undefined) yield [id, item];
  }
}
