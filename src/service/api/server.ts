import { randomUUID } from 'node:crypto';
import type { ReadStream } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { Disturbances } from '../disturbances/disturbances';
import { PastStates } from '../disturbances/pastStates';
import type { Log } from '../guard/log';
import { Supervisor } from '../guard/supervisor';
import { Autoscaling } from '../scheduling/autoscaling';
import { Execution } from '../scheduling/execution';
import { Faults } from '../scheduling/faults';
import { JobSchedules } from '../scheduling/jobSchedules';
import { Jobs } from '../scheduling/jobs';
import { JobTasks } from '../scheduling/jobTasks';
import type { Loaded } from '../scheduling/loading';
import { TaskTokens } from '../scheduling/managers';
import { type NodeOptions, Nodes } from '../scheduling/nodes';
import { type PoolOptions, Pools } from '../scheduling/pools';
import { Scheduler, type SchedulerOptions } from '../scheduling/scheduler';
import type { Containers } from '../tasks/containers/containers';
import { BatchError, errorBody } from '../wire/errors';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import { accountRoutes } from './accountRoutes';
import { certificateRoutes } from './certificateRoutes';
import { faultRoutes } from './faultRoutes';
import { fileRoutes } from './fileRoutes';
import { checkEncoding, parseBody, readBody, setCommonHeaders, splitUrl, useOriginForm } from './http/body';
import type { Context, Reply, Request } from './http/context';
import { checkQuery } from './http/query';
import { Router } from './http/router';
import { type Account, authenticate } from './http/signature';
import { jobRoutes } from './jobRoutes';
import { nodeAccessRoutes } from './nodeAccessRoutes';
import { nodeRoutes } from './nodeRoutes';
import { poolRoutes } from './poolRoutes';
import { makeJob } from './resources/newJobs';
import { scheduleRoutes } from './scheduleRoutes';
import { taskRoutes } from './taskRoutes';

export interface ServerOptions
  extends Omit<SchedulerOptions & NodeOptions & PoolOptions, 'accountName' | 'accountUrl'> {
  readonly account: Account;
  /** Undefined where no container engine answers. */
  readonly containers?: Containers;
  /** Bearer tokens that are accepted in addition to signatures. */
  readonly tokens: readonly string[];
  /** 0 lets the system choose. */
  readonly port: number;
  readonly faults: boolean;
  readonly log: Log;
}

/** A reply whose body is text. */
type Rendered = Pick<Reply, 'status' | 'headers' | 'stream' | 'text'>;

export interface Server {
  readonly url: string;
  /** Milliseconds since the last request; 0 while tasks wait or run. */
  idleMs(): number;
  /** `isOurs` tells whether the data folder is still the service's: another's processes are left alone. */
  close(options: { readonly isOurs: boolean }): Promise<void>;
}

const router = new Router([
  ...accountRoutes,
  ...certificateRoutes,
  ...poolRoutes,
  ...nodeRoutes,
  ...nodeAccessRoutes,
  ...jobRoutes,
  ...scheduleRoutes,
  ...taskRoutes,
  ...fileRoutes,
  ...faultRoutes,
]);

/** On a full disk, jobs and tasks are acknowledged without waiting longer for Blob Storage. */
const maxSaveMs = 5_000;

/**
 * Starts the Batch service of one data folder on loopback. Its `close` closes the journal. If it rejects, nothing of it
 * is left, and the journal is still open.
 */
export async function startServer(options: ServerOptions, { journal, state }: Loaded): Promise<Server> {
  const { account, tokens, log } = options;
  const faults = new Faults(options.faults);
  let url = '';
  const surroundings = { ...options, accountName: account.name, accountUrl: () => url };
  const supervisor = new Supervisor(log);
  const nodes = new Nodes(state, surroundings, faults, supervisor, log);
  const pools = new Pools(state, surroundings, nodes, faults, supervisor);
  const taskTokens = new TaskTokens();
  const jobTasks = new JobTasks(state, surroundings, nodes, supervisor);
  const jobs = new Jobs(state, nodes, pools, jobTasks, supervisor);
  const jobSchedules = new JobSchedules(
    state,
    jobs,
    pools,
    supervisor,
    () => Date.now() + faults.clockOffsetMs,
  );
  const execution = new Execution(state, surroundings, nodes, jobs, jobTasks, taskTokens, supervisor);
  const autoscaling = new Autoscaling(state, pools, supervisor);
  const scheduler = new Scheduler(
    { state, pools, nodes, jobs, jobTasks, execution, autoscaling, supervisor },
    surroundings,
  );
  const disturbances = new Disturbances(state, nodes, faults, supervisor);
  const pastStates = new PastStates(state, faults, supervisor);
  const context: Context = {
    state,
    scheduler,
    pools,
    nodes,
    jobs,
    jobSchedules,
    autoscaling,
    faults,
    disturbances,
    pastStates,
    supervisor,
    log,
    containers: options.containers,
    storage: options.storage,
    accountName: account.name,
    base: () => url,
  };
  jobSchedules.onDue = (schedule, jobId) => {
    makeJob(context, jobId, structuredClone(schedule.wire.jobSpecification) as Wire, schedule);
  };
  /** By a clock that nobody sets. */
  let lastRequest = performance.now();

  const server = createServer((request, response) => {
    lastRequest = performance.now();
    answer(request, response).catch((error) => {
      log(`Unexpected: ${error instanceof Error ? error.stack : error}`);
      response.destroy();
    });
  });
  server.keepAliveTimeout = 65_000;

  let onStarted: () => void = () => undefined;
  const started = new Promise<void>((resolve) => {
    onStarted = resolve;
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that remembers the URL can send requests before the processes of the previous run have been ended.
    await started;
    const requestId = randomUUID();
    setCommonHeaders(request, response, requestId);
    let reply: Rendered;
    try {
      reply = render(await handle(request));
    } catch (error) {
      const isAbandoned = request.destroyed && !request.complete;
      if (isAbandoned) return;
      if (!(error instanceof BatchError)) log(`Unexpected: ${error instanceof Error ? error.stack : error}`);
      sendError(
        request,
        response,
        error instanceof BatchError ? error : new BatchError('InternalError'),
        requestId,
      );
      return;
    }
    await send(request, response, reply);
  }

  async function handle(request: IncomingMessage): Promise<Reply> {
    useOriginForm(request);
    // A web page whose name resolves to this address (DNS rebinding) sends that name as Host.
    const host = request.headers.host?.toLowerCase() ?? '';
    if (!/^(127\.0\.0\.1|localhost|\[::1\]):\d+$/.test(host)) throw new BatchError('Forbidden');
    // First, so that bodies of strangers take no memory.
    authenticate(request, account, tokens, (token) => taskTokens.jobOf(token));
    checkEncoding(request);
    const bytes = await readBody(request);
    const { path, query } = splitUrl(request.url ?? '/');
    const route = router.find(request.method ?? 'GET', path);
    if (path !== '/_faults') {
      await faults.delay();
      faults.maybeRefuse();
      if (faults.takeCut()) request.socket.destroy();
      checkQuery(query);
    } else if (!faults.isAllowed) {
      throw new BatchError('ResourceNotFound');
    }
    mustHaveRoom(request.method);
    const handled: Request = {
      method: request.method ?? 'GET',
      params: route.params,
      query,
      headers: request.headers,
      body: parseBody(bytes),
      url: request.url ?? '/',
      version: query.get('api-version') ?? '',
    };
    const reply = await route.handler(context, handled);
    if (addsWork(handled.method, path)) await saveStorage();
    const past = pastStates.stateFor(handled.method, path, route.params);
    return past ? route.handler({ ...context, state: past }, handled) : reply;
  }

  /** A job or task that is acknowledged must find its blobs again after a crash. */
  async function saveStorage(): Promise<void> {
    await options.storage?.save(AbortSignal.timeout(maxSaveMs)).catch((error) => {
      log(`Blob Storage was not saved before a job or task was added: ${error}`);
    });
  }

  /** Refuses changes while they cannot be stored. Deletions make room. */
  function mustHaveRoom(method: string | undefined): void {
    if (state.isWritable || method === 'GET' || method === 'HEAD' || method === 'DELETE') return;
    throw new BatchError(
      'ServerBusy',
      { Reason: `The disk of ${options.dataDir} is full. Free some space.` },
      { 'Retry-After': '5' },
    );
  }

  /** Serialises a reply before any of it is sent, so that a failure is answered as an error. */
  function render({ body, metadata, ...rest }: Reply): Rendered {
    if (body === undefined) return rest;
    const members = typeof body === 'string' ? body : JSON.stringify(body).slice(1, -1);
    const named = `"odata.metadata":${JSON.stringify(`${url}/$metadata#${metadata}`)}`;
    return { ...rest, text: `{${named}${members === '' ? '' : `,${members}`}}` };
  }

  async function send(request: IncomingMessage, response: ServerResponse, reply: Rendered): Promise<void> {
    const { status, text, headers = {}, stream } = reply;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.statusCode = status;
    if (stream) {
      await sendFile(response, stream, Number(headers['Content-Length'])).catch(() => response.destroy());
      return;
    }
    if (text === undefined) {
      if (status === 204) response.setHeader('Content-Length', '0');
      response.end();
      return;
    }
    if (!response.hasHeader('Content-Type'))
      response.setHeader('Content-Type', 'application/json;odata=minimalmetadata');
    const bodyCut = faults.takeBodyCut(`${request.method} ${request.url}`);
    if (bodyCut) sendHalf(response, text, bodyCut);
    else response.end(request.method === 'HEAD' ? undefined : text);
  }

  function sendError(
    request: IncomingMessage,
    response: ServerResponse,
    error: BatchError,
    requestId: string,
  ): void {
    for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
    response.statusCode = error.status;
    if (request.method === 'HEAD' || error.status === 304) {
      response.end();
      return;
    }
    const text = JSON.stringify(errorBody(error, url, requestId, timestamp()));
    response.setHeader('Content-Type', 'application/json;odata=minimalmetadata');
    response.setHeader('Content-Length', Buffer.byteLength(text));
    response.end(text);
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, '127.0.0.1', () => resolve());
  });
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const closeConnections = () => {
    server.close();
    server.closeAllConnections();
  };
  try {
    await options.containers?.removeLeftovers();
    await scheduler.start();
    jobSchedules.start();
  } catch (error) {
    closeConnections();
    await scheduler.close({ isOurs: false });
    throw error;
  }
  onStarted();
  return {
    url,
    idleMs: () => (scheduler.isBusy || jobSchedules.isWaiting ? 0 : performance.now() - lastRequest),
    async close({ isOurs }) {
      closeConnections();
      await scheduler.close({ isOurs });
      await options.containers?.close();
      journal.close();
    },
  };
}

function addsWork(method: string, path: string): boolean {
  return method === 'POST' && /^\/jobs($|\/[^/]+\/(tasks|addtaskcollection)$)/.test(path);
}

/** Announces the whole of a body and sends half of it. */
function sendHalf(response: ServerResponse, text: string, ending: 'close' | 'hang'): void {
  const bytes = Buffer.from(text);
  response.setHeader('Content-Length', bytes.length);
  response.write(bytes.subarray(0, bytes.length / 2), () => {
    if (ending === 'close') response.socket?.end();
  });
}

/** Throws when a file becomes shorter while it is sent: its reader would wait for the rest. */
async function sendFile(response: ServerResponse, file: ReadStream, length: number): Promise<void> {
  await pipeline(file, response, { end: false });
  if (file.bytesRead < length) throw new Error('The file has become shorter.');
  response.end();
}
