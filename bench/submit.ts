import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Batch, type TaskAdd } from '../src/core/azure/batch';
import { addTasks } from '../src/core/jobs/addTasks';
import { TestService } from '../test/service/harness';
import { Counter } from './counter';
import { optionsOf } from './options';
import { type BenchResult, type Row, report } from './table';

const { signal } = new AbortController();
const run_ = promisify(execFile);
/** One request at a time is so slow that it's measured on a part of the tasks. */
const oneByOneShare = 10;

/**
 * Adds tasks to a job: this extension, with a healthy service and with one that answers every twentieth request with 503;
 * one request at a time, as in the tutorial's first edition; and the collections of Microsoft's Python SDK.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, { tasks: '10000' });
  const tasks = Number(values.tasks);
  const service = await TestService.start();
  const counter = await Counter.before(service.ready.batchUrl);
  try {
    const { connection } = service;
    const batch = new Batch({ ...connection, account: { ...connection.account, batchUrl: counter.url } });
    const measured = async (job: string, count: number, work: () => Promise<unknown>) => {
      await batch.addJob({ id: job, poolInfo: { poolId: 'none' } });
      counter.take();
      const start = performance.now();
      await work();
      const seconds = (performance.now() - start) / 1000;
      const { requests, maxInFlight } = counter.take();
      const { active } = await batch.taskCounts(job);
      if (active !== count) throw new Error(`${active} of ${count} tasks are in ${job}.`);
      return { seconds: (seconds * tasks) / count, requests: (requests * tasks) / count, maxInFlight };
    };
    const rows: Row[] = [];
    const ours = async (job: string) =>
      measured(job, tasks, () => addTasks(batch, job, tasksOf(tasks), signal));
    rows.push({ way: 'this extension', figures: await ours('ours') });
    await service.fault({ refuseShare: 0.05 });
    rows.push({ way: 'this extension, 1 in 20 answers is 503', figures: await ours('storm') });
    await service.fault({ refuseShare: 0 });
    const few = Math.max(1, Math.round(tasks / oneByOneShare));
    const single = await measured('single', few, async () => {
      for (const task of tasksOf(few)) await batch.addTasks('single', [task], signal);
    });
    rows.push({ way: `one by one (${few} tasks, scaled)`, figures: single });
    rows.push(await byPython(service, counter, tasks, measured));
    const result = {
      name: 'submit',
      tables: [
        {
          title: `Adding ${tasks} tasks`,
          columns: [
            { key: 'seconds', label: 'seconds', digits: 2 },
            { key: 'requests', label: 'requests' },
            { key: 'maxInFlight', label: 'max in flight' },
          ],
          rows,
          ratio: {
            label: 'times as fast',
            key: 'seconds',
            of: `one by one (${few} tasks, scaled)`,
            isLessBetter: true,
          },
        },
      ],
    };
    report(result);
    return result;
  } finally {
    counter.close();
    await service.close();
  }
}

/** Command lines of realistic length. */
function tasksOf(count: number): TaskAdd[] {
  const commandLine = `ffmpeg -hide_banner -nostdin -y -i input.mp4 -map 0:a:0 -b:a 192k output.mp3 ${'x'.repeat(300)}`;
  return Array.from({ length: count }, (_, index) => ({ id: String(index).padStart(6, '0'), commandLine }));
}

type Measure = (job: string, count: number, work: () => Promise<unknown>) => Promise<Record<string, number>>;

async function byPython(
  service: TestService,
  counter: Counter,
  tasks: number,
  measured: Measure,
): Promise<Row> {
  const way = 'Python SDK, add_collection with 4 threads';
  const program = `
import json, sys
from azure.batch import BatchServiceClient
from azure.batch.batch_auth import SharedKeyCredentials
from azure.batch.models import TaskAddParameter
name, key, url, count = sys.argv[1:]
client = BatchServiceClient(SharedKeyCredentials(name, key), batch_url=url)
line = 'ffmpeg -hide_banner -nostdin -y -i input.mp4 -map 0:a:0 -b:a 192k output.mp3 ' + 'x' * 300
client.task.add_collection('python', [TaskAddParameter(id='%06d' % i, command_line=line) for i in range(int(count))], threads=4)`;
  const { batchName, batchKey } = service.credentials;
  try {
    await run_('/usr/bin/python3', ['-c', 'import azure.batch']);
  } catch {
    return { way, note: 'not installed' };
  }
  const figures = await measured('python', tasks, async () => {
    await run_('/usr/bin/python3', ['-c', program, batchName, batchKey, counter.url, String(tasks)]);
  });
  return { way, figures };
}
