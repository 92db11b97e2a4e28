// Works on a run in a process of its own, which can be killed: RUN holds the orders as JSON. Prints its summary.
import type { Connection, Credential } from '../../src/core/azure/account';
import { UserError } from '../../src/core/errors';
import type { Manifest } from '../../src/core/plan/manifest';
import { Run } from '../../src/core/runs/run';
import { partsOf } from './runSetup';

export interface RunOrders {
  readonly connection: Connection;
  /** Instead of the connection's keys. */
  readonly tokens?: { readonly batch: string; readonly storage: string };
  readonly manifest: Manifest;
  readonly claimFolder: string;
}

const { tokens, manifest, claimFolder, ...orders }: RunOrders = JSON.parse(process.env.RUN ?? '');
const connection = tokens
  ? { ...orders.connection, batch: credential(tokens.batch), storage: credential(tokens.storage) }
  : orders.connection;
const { signal } = new AbortController();
const parts = { ...partsOf({ connection }).parts, claimFolder };

function credential(token: string): Credential {
  const expiresOnTimestamp = Date.now() + 3_600_000;
  return { kind: 'token', credential: { getToken: async () => ({ token, expiresOnTimestamp }) } };
}

async function open(): Promise<Run> {
  try {
    return await Run.open(parts, manifest.outputContainer, signal);
  } catch (error) {
    const isNew = error instanceof UserError && error.problem.kind === 'runNotFound';
    if (!isNew) throw error;
    return Run.create(parts, manifest, signal);
  }
}

try {
  const run = await open();
  const summary = await run.advance('fetched', signal);
  await run.close();
  console.log(JSON.stringify(summary));
} catch (error) {
  console.log(JSON.stringify(error instanceof UserError ? error.problem : { kind: String(error) }));
  process.exit(1);
}
