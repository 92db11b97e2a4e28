import assert from 'node:assert/strict';
import {
  parseBatchUrl,
  parseConnectionString,
  parseKey,
  parseStorageName,
} from '../../src/core/accounts/accountInput';
import type { Image } from '../../src/core/azure/batch';
import { clockSkewMinutes } from '../../src/core/azure/retry';
import { UserError } from '../../src/core/errors';
import { failureIn } from '../../src/core/jobs/ffmpegFailure';
import { parseProgress } from '../../src/core/jobs/taskProgress';
import { maskSas } from '../../src/core/log';
import { newAttempt } from '../../src/core/plan/manifest';
import { newRunId } from '../../src/core/plan/planRun';
import { scaleToZeroFormula } from '../../src/core/pools/autoscaleFormula';
import { newestUbuntu } from '../../src/core/pools/images';
import { nodeTargets } from '../../src/core/pools/nodeTargets';
import { parseFilter, select } from '../../src/service/api/http/odata';
import { evaluateFormula } from '../../src/service/autoscale/evaluate';
import { newJob, TaskState } from '../../src/service/scheduling/resources';
import { unmetDependency } from '../../src/service/scheduling/taskConditions';
import { durationMs, etagOf, timestamp, timeText } from '../../src/service/wire/time';

const key = Buffer.alloc(64, 7).toString('base64');

function image(sku: string, agent: string, more: Partial<Image> = {}): Image {
  return {
    nodeAgentSKUId: `batch.node.ubuntu ${agent}`,
    osType: 'linux',
    verificationType: 'verified',
    imageReference: { publisher: 'canonical', offer: `ubuntu-${agent.replace('.', '_')}-lts`, sku },
    ...more,
  } as Image;
}

describe('The image of a pool', () => {
  const images = [
    image('server', '22.04', { batchSupportEndOfLife: new Date('2027-06-01') }),
    image('server', '24.04'),
    image('server-gen1', '24.04'),
    image('server', '26.04', { verificationType: 'unverified' }),
    image('server', '25.10'),
    image('minimal', '24.04'),
    image('server-arm64', '24.04'),
  ];

  it('is the newest verified LTS of the generation that the size boots', () => {
    assert.equal(newestUbuntu(images, 'Standard_D2s_v5').imageReference.sku, 'server');
    assert.equal(newestUbuntu(images, 'Standard_D2s_v5').nodeAgentSKUId, 'batch.node.ubuntu 24.04');
    assert.equal(newestUbuntu(images, 'Standard_A1_v2').imageReference.sku, 'server-gen1');
  });

  it('is not one whose support has ended, and is reported if there is no other', () => {
    const old = [image('server', '22.04', { batchSupportEndOfLife: new Date('2020-01-01') })];
    assert.throws(
      () => newestUbuntu(old, 'Standard_D2s_v5'),
      (error) => error instanceof UserError && error.problem.kind === 'noImage',
    );
  });
});

describe('The nodes of a pool', () => {
  const pool = {
    lifetime: 'scaleToZero',
    vmSize: '',
    dedicatedNodes: 2,
    spotNodes: 5,
    slotsPerNode: 2,
  } as const;

  it('are no more than the tasks can use, dedicated ones first', () => {
    assert.deepEqual(nodeTargets(pool, 1), { dedicated: 1, spot: 0 });
    assert.deepEqual(nodeTargets(pool, 7), { dedicated: 2, spot: 2 });
    assert.deepEqual(nodeTargets(pool, 100), { dedicated: 2, spot: 5 });
  });

  it('come at once, stay while tasks wait, and are removed when none wait', () => {
    const submitted = Date.parse('2026-11-25T08:00:00Z');
    const formula = scaleToZeroFormula({ dedicated: 1, spot: 4 }, new Date(submitted));
    const targets = (minutes: number, pending: number[]) => {
      const now = submitted + minutes * 60_000;
      const samples = pending.map((value, index) => ({
        at: now - (pending.length - 1 - index) * 30_000,
        value,
      }));
      const run = evaluateFormula(formula, {
        now,
        samples: () => samples,
        current: { dedicated: 0, lowPriority: 0 },
      });
      assert.ok('targets' in run, JSON.stringify(run));
      return run.targets;
    };
    assert.deepEqual(targets(0, [0]), { dedicated: 1, lowPriority: 4, deallocation: 'taskcompletion' });
    assert.deepEqual(targets(60, Array(11).fill(3)), {
      dedicated: 1,
      lowPriority: 4,
      deallocation: 'taskcompletion',
    });
    assert.deepEqual(targets(60, Array(11).fill(0)), {
      dedicated: 0,
      lowPriority: 0,
      deallocation: 'taskcompletion',
    });
  });
});

describe('The line of a log that is shown', () => {
  it('is the reason, not the banner and not the last line', () => {
    const log = [
      'ffmpeg version 5.1',
      '[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55d] moov atom not found',
      'input.mp4: Invalid data found when processing input',
      'Conversion failed!',
    ].join('\n');
    assert.equal(failureIn(log)?.line, 'moov atom not found');
    assert.equal(
      failureIn('Reading package lists...\nE: Could not get lock /var/lib/dpkg/lock')?.line,
      'E: Could not get lock /var/lib/dpkg/lock',
    );
    assert.equal(failureIn('something else\n')?.line, 'something else');
    assert.equal(failureIn(''), undefined);
  });

  it('shows no signature', () => {
    assert.equal(maskSas('https://a/b?sv=1&sig=abc%2Bdef%3D&se=2'), 'https://a/b?sv=1&sig=***&se=2');
  });
});

describe('A pasted account value', () => {
  it('is cleaned and recognized', () => {
    assert.deepEqual(parseBatchUrl(' "mybatch.chinanorth2.batch.chinacloudapi.cn/"\n'), {
      url: 'https://mybatch.chinanorth2.batch.chinacloudapi.cn',
      name: 'mybatch',
    });
    assert.equal(parseKey(` ${key}\n`, 'batchKey'), key);
    assert.deepEqual(
      parseConnectionString(
        `DefaultEndpointsProtocol=https;AccountName=mystore;AccountKey=${key};EndpointSuffix=core.chinacloudapi.cn`,
      ),
      { name: 'mystore', key, blobUrl: 'https://mystore.blob.core.chinacloudapi.cn' },
    );
    for (const local of ['http://127.0.0.1:10000/mystore', 'http://[::1]:10000/mystore']) {
      assert.equal(
        parseConnectionString(`AccountName=mystore;AccountKey=${key};BlobEndpoint=${local}`).blobUrl,
        local,
      );
    }
  });

  it('is refused before it is sent anywhere', () => {
    const wrong = [
      () => parseBatchUrl('http://mybatch.region.batch.azure.com'),
      () => parseBatchUrl('mybatch'),
      () => parseKey(key.slice(1), 'batchKey'),
      () => parseStorageName('My Store'),
      () => parseConnectionString('AccountName=x'),
      () => parseConnectionString(`AccountName=x;AccountKey=${key};BlobEndpoint=x.blob.core.windows.net`),
      () => parseConnectionString(`AccountName=x y;AccountKey=${key}`),
      // The key's signatures, and all that is transferred, would be readable on their way.
      () => parseConnectionString(`DefaultEndpointsProtocol=http;AccountName=mystore;AccountKey=${key}`),
      () => parseConnectionString(`AccountName=x;AccountKey=${key};BlobEndpoint=http://10.0.0.7:10000/x`),
    ];
    for (const parse of wrong) {
      assert.throws(parse, (error) => error instanceof UserError && error.problem.kind === 'accountInvalid');
    }
  });
});

describe('The progress of a task', () => {
  const block = (us: string, speed: string, end = 'continue') =>
    `frame=1\nout_time_us=${us}\nout_time=00:00:01\nspeed=${speed}\nprogress=${end}\n`;

  it('is read from the last complete block', () => {
    assert.deepEqual(parseProgress(block('1000000', '2.5x') + block('2500000', ' 3.0x')), {
      seconds: 2.5,
      speed: 3,
    });
    assert.deepEqual(parseProgress(`${block('1000000', '2x')}frame=2\nout_time_us=9`), {
      seconds: 1,
      speed: 2,
    });
  });

  it('is unknown at first, and where ffmpeg reports none', () => {
    assert.equal(parseProgress('frame=1\nout_time'), undefined);
    assert.equal(parseProgress(block('N/A', 'N/A')), undefined);
    assert.deepEqual(parseProgress(block('0', 'N/A')), { seconds: 0, speed: undefined });
  });
});

describe('A wrong clock', () => {
  it('is reported in minutes once signatures fail', () => {
    const now = Date.parse('2026-11-25T08:20:00Z');
    assert.equal(clockSkewMinutes('Wed, 25 Nov 2026 08:00:00 GMT', now), 20);
    assert.equal(clockSkewMinutes('Wed, 25 Nov 2026 08:19:00 GMT', now), undefined);
    assert.equal(clockSkewMinutes(undefined, now), undefined);
  });
});

describe('The names of a run', () => {
  it('sort by time, obey the rules of containers and are never used twice', () => {
    const limits = { monitorMinutes: 30, taskMinutes: 60, jobMinutes: 180, retries: 1 };
    const runId = newRunId(new Date('2026-11-25T07:47:18Z'));
    assert.match(runId, /^20261125-074718-[a-z0-9]{6}$/);
    const first = newAttempt({ runId, attempts: [], limits }, ['0001']);
    const second = newAttempt({ runId, attempts: [first], limits }, ['0001']);
    for (const { inputContainer, jobId } of [first, second]) {
      assert.match(inputContainer, /^[a-z0-9](-?[a-z0-9]){2,62}$/);
      assert.match(jobId, /^[\w-]{1,64}$/);
    }
    assert.notEqual(first.jobId, second.jobId);
    assert.notEqual(first.inputContainer, second.inputContainer);
  });
});

describe('Filters of the local Batch service', () => {
  const item = {
    id: 'a',
    state: 'active',
    creationTime: '2026-01-01T00:00:00.5Z',
    executionInfo: { exitCode: 3 },
  };

  it('match what they match in Azure Batch', () => {
    const yes = [
      "id eq 'a'",
      "state eq 'Active' and executionInfo/exitCode ge 3",
      "id eq 'x' or (id eq 'a' and not (executionInfo/exitCode lt 3))",
      'executionInfo/exitCode ne 0',
      "startswith(id,'A')",
      "creationTime gt datetime'2026-01-01T00:00:00Z'",
      'creationTime le 2026-01-01T00:00:00.5Z',
      "creationTime eq datetime'2026-01-01T01:00:00.50+01:00'",
      "creationTime gt datetimeoffset'2026-01-01T00:59:59+01:00'",
      "creationTime lt '2026-01-01T00:00:00.5000001'",
      "creationTime lt datetime'2026-01-01T00:01'",
      'creationTime ge 2026-01-01',
    ];
    for (const filter of yes) assert.ok(parseFilter(filter, 'tasks')(item), filter);
    for (const filter of ["id ne 'a'", "executionInfo/result eq 'failure'", 'executionInfo/exitCode gt 3'])
      assert.ok(!parseFilter(filter, 'tasks')(item), filter);
    assert.ok(parseFilter('enableAutoScale eq false', 'pools')({ enableAutoScale: false }));
  });

  it('are refused when they cannot be parsed', () => {
    for (const filter of [
      '',
      'id',
      'id eq',
      "id eq 'a' and",
      "id is 'a'",
      "(id eq 'a'",
      'commandLine eq 1',
      "id eq 'a' x",
      'id eq true',
      'id eq 1',
      "executionInfo/exitCode eq '3'",
      "creationTime gt 'yesterday'",
      "creationTime gt datetime'2026-02-30T00:00:00Z'",
      "startswith(creationTime,'2026')",
      '§',
    ]) {
      assert.throws(() => parseFilter(filter, 'tasks'), { code: 'InvalidQueryParameterValue' }, filter);
    }
  });

  it('select members and nested members', () => {
    assert.deepEqual(select(item, 'id, executionInfo/exitCode'), {
      id: 'a',
      executionInfo: { exitCode: 3 },
    });
  });
});

describe('Times of the local Batch service', () => {
  it('are each later than the one before, however many a millisecond has', () => {
    const times = Array.from({ length: 25_000 }, () => timestamp());
    for (const time of times) assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,6}[1-9])?Z$/);
    const ticks = times.map((time) => BigInt(etagOf(time)));
    assert.ok(ticks.every((tick, index) => index === 0 || tick > (ticks[index - 1] ?? tick)));
    assert.ok(Math.abs(Date.parse(times.at(-1) ?? '') - Date.now()) < 60_000);
  });

  it('follow a clock that is set back', () => {
    const now = Date.parse('2036-01-01T12:00:00Z');
    assert.equal(timestamp(now), '2036-01-01T12:00:00Z');
    assert.equal(timestamp(now - 500), '2036-01-01T12:00:00.0000001Z');
    assert.equal(timestamp(now - 3_600_000), '2036-01-01T11:00:00Z');
    assert.ok(Math.abs(Date.parse(timestamp()) - Date.now()) < 60_000);
  });

  it('are read in every form of ISO 8601, and returned in UTC', () => {
    for (const [sent, returned] of [
      ['2026-11-27T10:00:00Z', '2026-11-27T10:00:00Z'],
      ['2026-11-27T10:00:00', '2026-11-27T10:00:00Z'],
      ['2026-11-27 10:00', '2026-11-27T10:00:00Z'],
      ['2026-11-27', '2026-11-27T00:00:00Z'],
      ['2026-11-27T10:00:00+0200', '2026-11-27T08:00:00Z'],
      ['2026-11-27t10:00:00z', '2026-11-27T10:00:00Z'],
      ['2026-11-27T10:00:00.1200000-05:30', '2026-11-27T15:30:00.12Z'],
      ['9999-12-31T23:59:59.9999999Z', '9999-12-31T23:59:59.9999999Z'],
    ] as const)
      assert.equal(timeText(sent), returned);
    for (const text of [
      '2026-02-30',
      '2026-11-27T24:00:00Z',
      '2026-11-27T10:00:60Z',
      '9999-12-31T23:00:00-05:00',
      '0001-01-01T00:00:00+05:00',
      '1',
      '',
    ])
      assert.equal(timeText(text), undefined, text);
  });

  it('become the same ETags as in Azure', () => {
    assert.equal(etagOf('2022-09-06T23:45:31.168152Z'), '0x8DA9061E271C7F0');
  });

  it('are parsed as durations', () => {
    assert.equal(durationMs('PT1H30M'), 5_400_000);
    assert.equal(durationMs('P10675199DT2H48M5.4775807S'), Number.POSITIVE_INFINITY);
    assert.equal(durationMs('1 hour'), undefined);
  });
});

describe('A task that depends on a range of tasks of the local Batch service', () => {
  const count = 500;

  it('is searched from where the last search ended, and once more before it starts', () => {
    const job = Object.assign(newJob('job'), { wire: { usesTaskDependencies: true } });
    let lookups = 0;
    const { byNumber } = job;
    const get = byNumber.get.bind(byNumber);
    byNumber.get = (number) => {
      lookups++;
      return get(number);
    };
    const taskIdRanges = [
      { start: 1, end: count / 2 },
      { start: count / 2 + 1, end: count },
    ];
    const task = new TaskState('last', job, { dependsOn: { taskIdRanges } });
    const done = (number: number) =>
      new TaskState(String(number), job, { state: 'completed', executionInfo: { result: 'success' } });
    for (let number = 1; number <= count; number++) {
      assert.equal(unmetDependency(task), `#${number}`);
      byNumber.set(number, new Set([done(number)]));
    }
    assert.equal(unmetDependency(task), undefined);
    assert.ok(lookups <= 4 * count, String(lookups));
    // A dependency that was deleted meanwhile is no longer satisfied.
    byNumber.delete(7);
    assert.equal(unmetDependency(task), '#7');
  });
});
