import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import {
  createDefaultHttpClient,
  createPipelineFromOptions,
  createPipelineRequest,
} from '@azure/core-rest-pipeline';
import type { Connection } from '../azure/account';
import type { Batch } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { madeBy } from '../azure/ownership';
import type { Quota, VmSizes } from '../azure/resourceManager';
import type { Storage } from '../azure/storage';
import { errorCode, isAbort, type Problem, UserError } from '../errors';
import type { RunPool } from '../plan/manifest';
import { newestUbuntu } from '../pools/images';
import { generationsOf } from '../pools/vmSizes';
import { untilAborted } from '../wait';
import { refuseBeyond } from './quota';

const checkSteps = [
  'batchName',
  'batchTls',
  'clock',
  'batchRead',
  'batchWrite',
  'image',
  'quota',
  'storageName',
  'storageTls',
  'storageRead',
  'roundTrip',
  'nodeView',
] as const;

export type CheckStep = (typeof checkSteps)[number];

/** Result of one step. A step is `skipped` if it could not be tried, with the reason. */
export type CheckResult =
  | { readonly step: CheckStep; readonly status: 'ok'; readonly detail?: CheckDetail; readonly ms: number }
  | { readonly step: CheckStep; readonly status: 'failed'; readonly problem: Problem; readonly ms: number }
  | { readonly step: CheckStep; readonly status: 'skipped'; readonly why: SkipReason };

/** What a step found out: a name, an address, the difference of the clocks, or the quota. */
export type CheckDetail = string | { readonly quota: Quota } | { readonly clockSeconds: number };

export type SkipReason = 'notEncrypted' | 'proxy' | 'earlier' | 'needsSignIn' | 'subnet';

export interface Checked {
  readonly connection: Connection;
  readonly batch: Batch;
  readonly storage: Storage;
  readonly pool: RunPool;
  /** The quota of the account; undefined without a sign-in. */
  readonly quota?: () => Promise<Quota | undefined>;
  /** The sizes that the account supports; undefined without a sign-in. */
  readonly sizes?: () => Promise<VmSizes | undefined>;
  /** Whether a firewall restricts access to the storage account; undefined without a sign-in. */
  readonly isFirewalled?: () => Promise<boolean | undefined>;
  readonly signal: AbortSignal;
}

/** A clock that is off by this many minutes is reported. Azure refuses signatures from 15 minutes on. */
const clockMinutes = 5;
/** How long a connection to a service may take, in milliseconds. */
const tlsMs = 15_000;
/** How long making the container of the check, and deleting it, may take each, in milliseconds. */
const tidyMs = 30_000;

/** The step that must succeed before a step is tried. */
const needs: Partial<Record<CheckStep, CheckStep>> = {
  batchTls: 'batchName',
  clock: 'batchTls',
  batchRead: 'batchTls',
  batchWrite: 'batchRead',
  image: 'batchRead',
  quota: 'batchRead',
  storageTls: 'storageName',
  storageRead: 'storageTls',
  roundTrip: 'storageRead',
};

/**
 * Checks a connection step by step, from the name of the service to a blob and back. Leaves nothing behind. Throws the
 * signal's reason as soon as it aborts.
 */
export async function* checkConnection(checked: Checked): AsyncGenerator<CheckResult> {
  const failed = new Set<CheckStep>();
  for (const step of checkSteps) {
    const needed = needs[step];
    if (needed && failed.has(needed)) {
      failed.add(step);
      yield { step, status: 'skipped', why: 'earlier' };
      continue;
    }
    const start = performance.now();
    const took = () => Math.round(performance.now() - start);
    try {
      const outcome = await tries[step](checked);
      yield typeof outcome === 'object' && 'skipped' in outcome
        ? { step, status: 'skipped', why: outcome.skipped }
        : { step, status: 'ok', detail: outcome, ms: took() };
    } catch (error) {
      checked.signal.throwIfAborted();
      if (isAbort(error) || !(error instanceof UserError)) throw error;
      failed.add(step);
      yield { step, status: 'failed', problem: error.problem, ms: took() };
    }
  }
}

type Outcome = CheckDetail | undefined | { skipped: SkipReason };

/**
 * A direct connection can fail although the service answers. Then a proxy is in use that only VS Code knows, from its
 * settings or from the system.
 */
async function unlessAnswered(direct: Promise<Outcome>, ask: () => Promise<unknown>): Promise<Outcome> {
  try {
    return await direct;
  } catch (error) {
    if (isAbort(error)) throw error;
    const isAnswered = await ask().then(
      () => true,
      (refusal) => refusal instanceof UserError && !noAnswer.has(refusal.problem.kind),
    );
    if (isAnswered) return { skipped: 'proxy' };
    throw error;
  }
}

const noAnswer = new Set<Problem['kind']>(['unreachable', 'certificate']);

const tries: Record<CheckStep, (checked: Checked) => Promise<Outcome>> = {
  batchName: (checked) =>
    unlessAnswered(resolve(checked.connection.account.batchUrl, checked.signal), () =>
      tries.batchRead(checked),
    ),
  storageName: (checked) =>
    unlessAnswered(resolve(checked.connection.account.blobUrl, checked.signal), () =>
      tries.storageRead(checked),
    ),
  batchTls: (checked) =>
    unlessAnswered(handshake(checked.connection.account.batchUrl, checked.signal), () =>
      tries.batchRead(checked),
    ),
  storageTls: (checked) =>
    unlessAnswered(handshake(checked.connection.account.blobUrl, checked.signal), () =>
      tries.storageRead(checked),
    ),

  async clock({ connection, signal }) {
    const { batchUrl: url } = connection.account;
    const request = createPipelineRequest({
      url,
      method: 'HEAD',
      timeout: tlsMs,
      abortSignal: signal,
      allowInsecureConnection: true,
    });
    const pipeline = createPipelineFromOptions({ retryOptions: { maxRetries: 0 } });
    const reply = await pipeline.sendRequest(createDefaultHttpClient(), request).catch((error) => {
      throw signal.aborted ? signal.reason : unreachable(url, error);
    });
    const date = Date.parse(reply.headers.get('date') ?? '');
    if (Number.isNaN(date)) return undefined;
    const minutes = Math.round((Date.now() - date) / 60_000);
    if (Math.abs(minutes) >= clockMinutes) throw new UserError({ kind: 'clockSkew', minutes });
    return { clockSeconds: (Date.now() - date) / 1000 };
  },

  async batchRead({ batch, signal }) {
    await batch.poolPage({ pageSize: 1, signal });
    return undefined;
  },

  /** A change of a job that does not exist is answered with `JobNotFound`, or is forbidden. */
  async batchWrite({ batch, signal }) {
    const id = `transcode-check-${randomBytes(6).toString('hex')}`;
    try {
      await batch.patchJob(id, { priority: 0 }, signal);
    } catch (error) {
      if (!isBatchCode(error, 'JobNotFound')) throw error;
    }
    return undefined;
  },

  async image({ batch, pool, sizes, signal }) {
    const generations = generationsOf(pool.vmSize, await sizes?.());
    const image = newestUbuntu(await batch.images(signal), pool.vmSize, { generations, now: batch.now() });
    return image.nodeAgentSKUId;
  },

  async quota({ batch, pool, quota, sizes, signal }) {
    const allowed = await quota?.();
    if (allowed === undefined) return { skipped: 'needsSignIn' };
    refuseBeyond(allowed, pool, await sizes?.());
    const jobs = await batch.jobPage({ filter: "state eq 'active'", select: 'id', pageSize: 1000, signal });
    if (jobs.items.length >= allowed.jobs) throw new UserError({ kind: 'quota', what: 'jobs' });
    return { quota: allowed };
  },

  async storageRead({ storage, signal }) {
    await storage.check(signal);
    return undefined;
  },

  /** Nodes have addresses of their own, which are unknown until the nodes exist. */
  async nodeView({ connection, pool, isFirewalled }) {
    const isClosed = await isFirewalled?.();
    if (isClosed === undefined) return { skipped: 'needsSignIn' };
    // The firewall may let the subnet in.
    if (isClosed && pool.subnetId !== undefined) return { skipped: 'subnet' };
    if (isClosed) throw new UserError({ kind: 'storageFirewall', account: connection.account.storageName });
    return undefined;
  },

  async roundTrip({ storage, signal }) {
    const container = `transcode-check-${randomBytes(8).toString('hex')}`;
    const text = `check ${randomBytes(16).toString('hex')}`;
    try {
      // Not aborted with the rest: a request that was cut off can take effect after the container was deleted.
      await storage.createContainer(container, { [madeBy.name]: 'check' }, AbortSignal.timeout(tidyMs));
      const got = await storage.roundTrip(container, text, signal);
      if (got !== text) throw new UserError({ kind: 'transferDamaged', file: 'check.txt' });
    } finally {
      await storage.deleteContainer(container, AbortSignal.timeout(tidyMs));
    }
    return undefined;
  },
};

async function resolve(url: string, signal: AbortSignal): Promise<string> {
  const { hostname } = new URL(url);
  try {
    return (await untilAborted(lookup(hostname), signal)).address;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw unreachable(url, error);
  }
}

async function handshake(url: string, signal: AbortSignal): Promise<Outcome> {
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== 'https:') return { skipped: 'notEncrypted' };
  const ended = new AbortController();
  const shaken = new Promise<string>((done, fail) => {
    const socket = connect(
      {
        host: hostname,
        port: Number(port || 443),
        servername: isIP(hostname) ? '' : hostname,
        timeout: tlsMs,
      },
      () => {
        const { valid_to: until } = socket.getPeerCertificate();
        socket.end();
        done(`${socket.getProtocol() ?? ''}, ${until}`);
      },
    );
    socket.on('timeout', () => socket.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })));
    socket.on('error', (error) => fail(unreachable(url, error)));
    ended.signal.addEventListener('abort', () => socket.destroy());
  });
  try {
    return await untilAborted(shaken, signal);
  } finally {
    ended.abort();
  }
}

function unreachable(url: string, error: unknown): UserError {
  const { host } = new URL(url);
  const cause = (error as { cause?: unknown }).cause ?? error;
  const code = errorCode(cause) ?? 'unknown';
  return /CERT|SIGNATURE|ISSUER|ALTNAME/.test(code)
    ? new UserError({ kind: 'certificate', host, code })
    : new UserError({ kind: 'unreachable', host, code });
}
