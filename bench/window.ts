import { execFileSync } from 'node:child_process';
import { temporaryFolder } from '../test/media';
import { TestService } from '../test/service/harness';
import { Relay } from '../test/service/relay';
import { optionsOf } from './options';
import { type BenchResult, report, type Table } from './table';
import type { Place } from './window/account';
import { activation } from './window/activation';
import { hostMemory } from './window/hostMemory';
import { responseTimes } from './window/responseTimes';

/**
 * A real VS Code: activation, response times, and the extension host's memory over so many hours. `--only` chooses one of them.
 * `--snapshots FOLDER` saves the heap there after a quarter of the hours and at the end, and prints what has grown.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, {
    /** `activation`, `times`, `memory`, or all. */
    only: undefined,
    rounds: '5',
    hours: '6',
    snapshots: '',
  });
  execFileSync(process.execPath, ['scripts/build.mjs', '--production']);
  const tables: Table[] = [];
  const isWanted = (part: string) => values.only === undefined || values.only === part;
  const rounds = Number(values.rounds);
  if (isWanted('activation')) tables.push(await withFolder((root) => activation(rounds, root)));
  if (isWanted('times')) tables.push(await withPlace((place) => responseTimes(rounds, place)));
  if (isWanted('memory')) {
    const options = { hours: Number(values.hours), snapshots: values.snapshots };
    tables.push(await withPlace((place) => hostMemory(options, place)));
  }
  const result = { name: 'window', tables };
  report(result);
  return result;
}

async function withFolder(work: (root: string) => Promise<Table>): Promise<Table> {
  const root = await temporaryFolder('bench-window');
  try {
    return await work(root.path);
  } finally {
    await root.remove();
  }
}

function withPlace(work: (place: Place) => Promise<Table>): Promise<Table> {
  return withFolder(async (root) => {
    const service = await TestService.start();
    const blobs = await Relay.before(service.ready.blobUrl);
    try {
      return await work({ root, service, blobs });
    } finally {
      await blobs.close();
      await service.close();
    }
  });
}
