// Works on a run in a process of its own, which can be killed: RUN holds the orders as JSON. Prints its summary.
import type { Connection } from '../../src/core/account';
import { UserError } from '../../src/core/errors';
import type { Manifest } from '../../src/core/manifest';
import { Run } from '../../src/core/run';
import { partsOf } from './runSetup';

export interface RunOrders {
  readonly connection: Connection;
  readonly manifest: Manifest;
  readonly claimFolder: string;
}

const { connection, manifest, claimFolder }: RunOrders = JSON.parse(process.env.RUN ?? '');
const { signal } = new AbortController();
const parts = { ...partsOf({ connection }).parts, claimFolder };

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
