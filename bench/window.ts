import { execFileSync } from 'node:child_process';
import { temporaryFolder } from '../test/media';
import { TestService } from '../test/service/harness';
import { Relay } from '../test/service/relay';
import { optionsOf } from './options';
import { type BenchResult, report, type Table } from './table';
import type { Place } from './window/account';
import { hostMemory } from './window/hostMemory';
import { responseTimes } from './window/responseTimes';

/**
 * A real VS Code: response times, and the extension host's memory over so many hours. `--only` chooses one of the two.
 * `--snapshots FOLDER` saves the heap there after a quarter of the hours and at the end, and prints what has grown.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, {
    /** `times`, `memory`, or both. */
    only: undefined,
    rounds: '5',
    hours: '6',
    snapshots: '',
  });
  execFileSync(process.execPath, ['scripts/build.mjs', '--production']);
  const tables: Table[] = [];
  if (values.only !== 'memory')
    tables.push(await withPlace((place) => responseTimes(Number(values.rounds), place)));
  if (values.only !== 'times') {
    const options = { hours: Number(values.hours), snapshots: values.snapshots };
    tables.push(await withPlace((place) => hostMemory(options, place)));
  }
  const result = { name: 'window', tables };
  report(result);
  return result;
}

async function withPlace(work: (place: Place) => Promise<Table>): Promise<Table> {
  const root = await temporaryFolder('bench-window');
  const service = await TestService.start();
  const blobs = await Relay.before(service.ready.blobUrl);
  try {
    return await work({ root: root.path, service, blobs });
  } finally {
    await blobs.close();
    await service.close();
    await root.remove();
  }
}
