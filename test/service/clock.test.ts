import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BatchServiceClient } from '@azure/batch';
import { eventually, machine, prepare, TestService } from './harness';

/** A module that a process loads first: its clock differs by the milliseconds in a file. */
const setClock = `
const { readFileSync } = require('node:fs');
const Real = Date;
let offset = 0;
const read = () => { offset = Number(readFileSync(process.env.CLOCK_FILE, 'utf8')); };
read();
setInterval(read, 20).unref();
globalThis.Date = class extends Real {
  constructor(...given) {
    if (given.length === 0) super(Real.now() + offset);
    else super(...given);
  }
  static now() { return Real.now() + offset; }
};
`;

/** Members of pools, jobs, tasks and job schedules. */
interface Resource {
  readonly state: string;
  readonly eTag: string;
  readonly creationTime: string;
  readonly schedule: { readonly doNotRunUntil: string };
  readonly executionInfo: Readonly<Record<'nextRunTime' | 'startTime' | 'endTime', string>>;
  readonly autoScaleRun: { readonly timestamp: string };
}

const hour = 3_600_000;

describe('The local Batch service on a machine whose clock is set', function () {
  this.timeout(240_000);
  let folder: string;
  let service: TestService;
  let client: BatchServiceClient;

  const offsetBy = (ms: number) => writeFileSync(join(folder, 'offset'), String(ms));
  /** A signed request, whose date is that of the service's clock. */
  const ask = (method: string, path: string, offset: number, body?: unknown) =>
    service.request(method, `${path}?api-version=2025-06-01`, body, {
      'ocp-date': new Date(Date.now() + offset).toUTCString(),
    });
  const read = async (path: string, offset: number) =>
    (await (await ask('GET', path, offset)).json()) as Resource;
  /** Waits until the service has seen that its clock was set. */
  const clockIs = (offset: number) =>
    eventually(
      () => ask('GET', '/pools', offset),
      ({ status }) => status === 200,
    );

  prepare(
    async () => {
      folder = mkdtempSync(join(tmpdir(), 'batch-clock-'));
      writeFileSync(join(folder, 'clock.cjs'), setClock);
      offsetBy(0);
      const env = {
        NODE_OPTIONS: `--require=${join(folder, 'clock.cjs')}`,
        CLOCK_FILE: join(folder, 'offset'),
        TZ: 'America/New_York',
      };
      service = await TestService.startAs({ batchName: 'localbatch', storageName: 'localstorage' }, env);
      client = service.client('2025-06-01');
    },
    async () => {
      await service.close();
      rmSync(folder, { recursive: true, force: true });
    },
  );

  it('takes times without a time zone as UTC, and returns every time in UTC', async () => {
    const add = (id: string, doNotRunUntil: string) =>
      ask('POST', '/jobschedules', 0, {
        id,
        schedule: { doNotRunUntil },
        jobSpecification: { poolInfo: { poolId: 'none' } },
      });
    for (const [id, sent, returned] of [
      ['bare', '2036-01-01T12:00:00', '2036-01-01T12:00:00Z'],
      ['day', '2036-01-01', '2036-01-01T00:00:00Z'],
      ['offset', '2036-01-01T12:00:00.50+02:00', '2036-01-01T10:00:00.5Z'],
    ] as const) {
      assert.equal((await add(id, sent)).status, 201);
      const { schedule, executionInfo } = await read(`/jobschedules/${id}`, 0);
      assert.equal(schedule.doNotRunUntil, returned);
      assert.equal(Date.parse(executionInfo.nextRunTime), Date.parse(returned));
      // A service with a schedule that waits is not idle.
      await client.jobSchedule.deleteMethod(id);
    }
    assert.equal((await add('never', '2036-02-30T00:00:00Z')).status, 400);
    await client.job.add({ id: 'filtered', poolInfo: { poolId: 'none' } });
    const at = (ms: number) => new Date(Date.now() + ms).toISOString().slice(0, 19);
    for (const filter of [
      `creationTime gt datetime'${at(-hour)}' and creationTime lt datetime'${at(hour)}'`,
      `creationTime gt datetime'${at(hour)}+02:00' and creationTime lt ${at(3 * hour)}+02:00`,
    ]) {
      const jobs = await client.job.list({ jobListOptions: { filter, select: 'id' } });
      assert.deepEqual(
        jobs.map(({ id }) => id),
        ['filtered'],
        filter,
      );
    }
  });

  it('goes on when the clock is set back: times, tags, formulas, and its end when idle', async () => {
    await client.pool.add({
      id: 'scaled',
      ...machine,
      enableAutoScale: true,
      autoScaleFormula: '$TargetDedicatedNodes = 1;',
    });
    await client.job.add({ id: 'before', poolInfo: { poolId: 'scaled' } });
    const formula = { autoScaleFormula: '$TargetDedicatedNodes = 1;' };
    assert.equal((await ask('POST', '/pools/scaled/enableautoscale', 0, formula)).status, 200);
    const tags = new Set([(await client.job.get('before')).eTag]);

    const back = -hour;
    offsetBy(back);
    await clockIs(back);
    await eventually(
      () => read('/pools/scaled', back),
      ({ autoScaleRun }) => Date.parse(autoScaleRun.timestamp) < Date.now() - hour / 2,
    );
    assert.equal((await ask('POST', '/pools/scaled/enableautoscale', back, formula)).status, 200);
    for (const priority of [1, 2, 3]) {
      assert.equal((await ask('PATCH', '/jobs/before', back, { priority })).status, 200);
      tags.add((await read('/jobs/before', back)).eTag);
    }
    assert.equal(tags.size, 4);
    await ask('POST', '/jobs/before/tasks', back, { id: 'task', commandLine: '/bin/sleep 0.2' });
    const { creationTime, executionInfo } = await eventually(
      () => read('/jobs/before/tasks/task', back),
      ({ state }) => state === 'completed',
    );
    const [created, started, ended] = [creationTime, executionInfo.startTime, executionInfo.endTime].map(
      (time) => Date.parse(time),
    ) as [number, number, number];
    assert.ok(Math.abs(created - (Date.now() + back)) < hour / 2, creationTime);
    assert.ok(created <= started && ended - started >= 100, JSON.stringify(executionInfo));

    offsetBy(3 * back);
    await clockIs(3 * back);
    writeFileSync(join(service.dataDir, 'end-when-idle'), '');
    await service.ended();
    assert.ok(!existsSync(join(service.dataDir, 'service.lock')));
  });
});
