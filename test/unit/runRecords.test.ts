import assert from 'node:assert/strict';
import { defaultPolicy, type RetryNotice, type RetryPolicy, withRetries } from '../../src/core/azure/retry';
import type { FileResult, Manifest } from '../../src/core/plan/manifest';
import { plan } from '../../src/core/plan/plan';
import { planRepaired } from '../../src/core/plan/repairedFiles';
import { withoutFiles } from '../../src/core/plan/withoutFiles';
import { builtInPresets } from '../../src/core/presets/builtIn';
import type { RunEvent } from '../../src/core/runs/runEvents';
import { hasSources, knownOutputs } from '../../src/vscode/runs/knownOutputs';
import { ServiceHealth } from '../../src/vscode/runs/liveRun';
import {
  isRetryable,
  isUpload,
  mergeRecords,
  type RunRecord,
  recordOf,
  withRecord,
} from '../../src/vscode/runs/runRecord';

const [mp3] = builtInPresets;

function manifestOf(names: readonly string[], others: Partial<Manifest> = {}): Manifest {
  assert.ok(mp3);
  const sources = names.map((name) => ({ uri: `file:///v/${name}`, path: name, size: 10, modified: 1 }));
  const { files } = plan({ sources, preset: mp3 });
  return {
    version: 1,
    runId: 'run',
    created: '2026-11-26T12:00:00.000Z',
    workspace: 'v',
    preset: mp3,
    pool: { lifetime: 'run', vmSize: 'Standard_D2s_v5', dedicatedNodes: 0, spotNodes: 1, slotsPerNode: 1 },
    limits: { monitorMinutes: 1, taskMinutes: 1, jobMinutes: 1, retries: 0 },
    outputContainer: 'transcode-run-output',
    onConflict: 'rename',
    files,
    refused: [],
    attempts: [
      {
        ...{ jobId: 'j', inputContainer: 'i', created: '', sasExpiry: '' },
        fileIds: files.map(({ id }) => id),
      },
    ],
    ...others,
  };
}

function record(runId: string, others: Partial<RunRecord> = {}): RunRecord {
  return {
    ...{ runId, accountId: 'a', outputContainer: '', created: runId, preset: 'MP3', files: 1, sources: [] },
    status: 'finished',
    ...others,
  };
}

describe('The list of runs', () => {
  it('adds the runs of other windows, and drops those that no longer exist in the account', () => {
    const before = [record('4'), record('3'), record('2', { accountId: 'b' }), record('1')];
    const merged = mergeRecords(
      before,
      'a',
      [record('5'), record('3', { succeeded: 7 })],
      ({ runId }) => runId === '4',
    );
    assert.deepEqual(
      merged.map(({ runId, succeeded }) => [runId, succeeded]),
      [
        ['5', undefined],
        ['4', undefined],
        ['3', 7],
        ['2', undefined],
      ],
    );
  });

  it('keeps how far this window takes a run, until the account shows that the run has ended', () => {
    const before = [record('1', { status: 'running' }), record('2', { status: 'uploaded' })];
    const stopped = [record('1', { status: 'stopped' }), record('2', { status: 'stopped' })];
    assert.deepEqual(
      mergeRecords(before, 'a', stopped, () => false).map(({ status }) => status),
      ['uploaded', 'running'],
    );
    const over = mergeRecords(before, 'a', [record('1', { status: 'canceled' }), record('2')], () => false);
    assert.deepEqual(
      over.map(({ status }) => status),
      ['finished', 'canceled'],
    );
  });

  it('takes what this window writes, whatever it wrote before', () => {
    const before = [record('2', { status: 'running', isCanceling: true }), record('1')];
    const stopped = record('2', { status: 'stopped', waitsFor: 'signIn' });
    assert.deepEqual(withRecord(before, stopped), [stopped, record('1')]);
    assert.deepEqual(withRecord(before, record('3'))[0], record('3'));
  });

  it('remembers that a run waits for its account, and is to be canceled, until the account shows its end', () => {
    const waits = record('1', { status: 'stopped', waitsFor: 'access', isCanceling: true });
    const read = (found: RunRecord) => mergeRecords([waits], 'a', [found], () => false)[0];
    const still = read(record('1', { status: 'stopped', succeeded: 1 }));
    assert.deepEqual([still?.waitsFor, still?.isCanceling, still?.succeeded], ['access', true, 1]);
    assert.equal(read(record('1', { status: 'finished' }))?.waitsFor, undefined);
  });

  it('remembers a cancellation that the account has taken, until this window has ended the jobs', () => {
    const canceled = record('1', { status: 'canceled', succeeded: 1 });
    const read = (before: Partial<RunRecord>) =>
      mergeRecords([record('1', before)], 'a', [canceled], () => false)[0];
    for (const before of [
      { status: 'stopped', waitsFor: 'connection', isCanceling: true },
      // The window has closed meanwhile.
      { status: 'running', waitsFor: undefined, isCanceling: true },
    ] as const) {
      const { status, waitsFor, isCanceling, succeeded } = read(before) ?? {};
      assert.deepEqual([status, waitsFor, isCanceling, succeeded], [before.status, before.waitsFor, true, 1]);
    }
    assert.deepEqual(read({ status: 'stopped', isCanceling: true }), canceled);
    assert.deepEqual(read({ status: 'stopped', waitsFor: 'connection' }), canceled);
  });

  it('remembers how far a run that waits for its account is to go', () => {
    const found = record('1', { status: 'stopped', until: 'submitted' });
    const read = (before: Partial<RunRecord>) => {
      const [merged] = mergeRecords([record('1', before)], 'a', [found], () => false);
      return [merged?.status, merged?.until, merged?.waitsFor];
    };
    const asked = { status: 'submitted', until: 'fetched' } as const;
    assert.deepEqual(read({ ...asked, waitsFor: 'signIn' }), ['submitted', 'fetched', 'signIn']);
    assert.deepEqual(read(asked), ['submitted', 'submitted', undefined]);
    const other = { status: 'uploaded', until: 'fetched', waitsFor: 'access' } as const;
    assert.deepEqual(read(other), ['stopped', 'fetched', 'access']);
    const canceled = record('1', { status: 'canceled', until: 'submitted' });
    const waits = { status: 'canceled', until: 'fetched', waitsFor: 'access' } as const;
    const [merged] = mergeRecords([record('1', waits)], 'a', [canceled], () => false);
    assert.deepEqual([merged?.status, merged?.until, merged?.waitsFor], ['canceled', 'fetched', 'access']);
  });

  it('shows which runs were submitted in part only', () => {
    const isHalf = (others: Partial<Manifest>) =>
      recordOf('a', manifestOf(['a.mp4'], others), [], 'stopped').isHalfSubmitted;
    assert.equal(isHalf({ goal: 'submitted' }), true);
    assert.equal(isHalf({ goal: 'fetched' }), false);
    assert.equal(isHalf({ goal: 'submitted', canceled: '2026-11-26T12:00:00.000Z' }), false);
    const [attempt] = manifestOf(['a.mp4']).attempts;
    assert.ok(attempt);
    const attempts = [{ ...attempt, submitted: { at: '', tasks: 1 } }];
    assert.equal(isHalf({ goal: 'submitted', attempts }), false);
  });

  it('shows that another window has taken a run further than this one', () => {
    const merged = (before: RunRecord['status'], until: RunRecord['until']) =>
      mergeRecords(
        [record('1', { status: before })],
        'a',
        [record('1', { status: 'stopped', until })],
        () => false,
      )[0]?.status;
    assert.equal(merged('uploaded', 'uploaded'), 'uploaded');
    assert.equal(merged('uploaded', 'submitted'), 'stopped');
    assert.equal(merged('submitted', 'submitted'), 'submitted');
    assert.equal(merged('submitted', 'fetched'), 'stopped');
    assert.equal(merged('running', 'fetched'), 'running');
  });

  it('knows which runs were only uploaded, on whatever machine, and have no tasks whose outputs could be fetched', () => {
    for (const status of ['running', 'stopped', 'uploaded'] as const) {
      assert.ok(isUpload(record('1', { status, until: 'uploaded' })), status);
      assert.ok(!isUpload(record('1', { status, until: 'submitted' })), status);
      assert.ok(!isUpload(record('1', { status })), status);
    }
    for (const status of ['canceled', 'finished'] as const)
      assert.ok(!isUpload(record('1', { status, until: 'uploaded' })), status);
    const found = recordOf('a', manifestOf(['a.mp4'], { goal: 'uploaded' }), [], 'stopped');
    assert.ok(isUpload(found));
    // A cancellation ends files, which are no failures, and can be transcoded again.
    assert.ok(isRetryable(record('1', { status: 'canceled', succeeded: 0, failed: 0 })));
    assert.ok(!isRetryable(record('1', { status: 'finished', succeeded: 1, failed: 0 })));
  });

  it('shows a canceled run as canceled, and counts no file that the cancellation ended as a failure', () => {
    const manifest = manifestOf(['a.mp4', 'b.mp4', 'c.mp4'], { canceled: '2026-11-26T12:01:00Z' });
    const results: FileResult[] = [
      { id: '0001' },
      { id: '0002', problem: { kind: 'ended', file: 'b.mp4' } },
      { id: '0003', problem: { kind: 'emptyFile', file: 'c.mp4' } },
    ];
    const { status, succeeded, failed, files } = recordOf('a', manifest, results, 'stopped');
    assert.deepEqual(
      { status, succeeded, failed, files },
      { status: 'canceled', succeeded: 1, failed: 1, files: 3 },
    );
    assert.equal(recordOf('a', manifest, results, 'running').status, 'running');
  });
});

describe('Outputs of earlier runs', () => {
  const sources = ['file:///v/clip.mp4', 'file:///v/my%20trip.mp4'];

  it('are known by their URIs', () => {
    const isOutput = knownOutputs([{ sources, outputs: ['file:///v/other.mp3'], outputExtension: 'mp3' }]);
    assert.ok(isOutput('file:///v/other.mp3'));
    assert.ok(!isOutput('file:///v/clip.mp3'));
  });

  it('are known by their names where their URIs are not known', () => {
    const isOutput = knownOutputs([{ sources, outputExtension: 'mp3' }]);
    for (const name of ['clip.mp3', 'clip%20%282%29.mp3', 'clip (3).mp3', 'my%20trip.mp3'])
      assert.ok(isOutput(`file:///v/${name}`), name);
    for (const name of ['clip.mp4', 'clip.wav', 'clips.mp3', 'sub/clip.mp3'])
      assert.ok(!isOutput(`file:///v/${name}`), name);
    assert.ok(knownOutputs([{ sources, outputExtension: '' }])('file:///v/clip'));
  });
});

describe('The record of a large run', () => {
  const names = Array.from({ length: 5_000 }, (_, index) => `clip ${index}.mp4`);
  const manifest = manifestOf(names);
  const results = manifest.files.map(
    ({ id }, index): FileResult => ({ id, outputUri: `file:///v/out ${index}.mp3` }),
  );
  const large = recordOf('a', manifest, results, 'stopped');

  it('knows each of its sources and outputs, and no other file', () => {
    const isOutput = knownOutputs([large]);
    for (const index of [0, 499, 500, 2_500, 4_999]) {
      assert.ok(isOutput(`file:///v/out ${index}.mp3`), String(index));
      assert.ok(!isOutput(`file:///v/clip ${index}.mp4`), String(index));
      assert.ok(hasSources(large, [`file:///v/clip ${index}.mp4`, 'file:///v/clip 7.mp4']), String(index));
    }
    assert.ok(!isOutput('file:///v/out 5000.mp3'));
    assert.ok(!hasSources(large, ['file:///v/clip 1.mp4', 'file:///v/clip 5000.mp4']));
  });

  it('takes little memory', () => {
    assert.ok(JSON.stringify(large).length < 150_000);
  });
});

describe('A run', () => {
  it('adds refused files that were repaired, with new ids and unique names', () => {
    const manifest = manifestOf(['a.mp4', 'b.mp4']);
    const probed = {
      sources: [{ uri: 'file:///v/a.mov', path: 'a.mov', size: 5, modified: 2 }],
      refused: [
        { uri: 'file:///v/c.mp4', path: 'c.mp4', problem: { kind: 'emptyFile' as const, file: 'c.mp4' } },
      ],
    };
    const { files, refused } = planRepaired(manifest, probed, 'default');
    assert.deepEqual(
      files.map(({ id, path }) => [id, path]),
      [['0003', 'a.mov']],
    );
    const [file] = files;
    assert.ok(file?.inputBlob.startsWith('0003/') && file.output.blob.startsWith('0003/'));
    assert.ok(!manifest.files.some(({ output }) => output.name === file?.output.name), file?.output.name);
    assert.deepEqual(
      refused.map(({ path }) => path),
      ['c.mp4'],
    );
  });

  it('is planned without the files that are skipped', () => {
    const { files, attempts } = withoutFiles(manifestOf(['a.mp4', 'b.mp4', 'c.mp4']), new Set(['0002']));
    assert.deepEqual(
      files.map(({ path }) => path),
      ['a.mp4', 'c.mp4'],
    );
    assert.deepEqual(attempts[0]?.fileIds, ['0001', '0003']);
  });
});

describe('The services of a run', () => {
  it('are shown as not answering after 10 seconds of failures, until a call succeeds', async () => {
    let now = 0;
    let told = 0;
    const timers: (() => void)[] = [];
    const answers = new ServiceHealth(
      () => told++,
      () => now,
      (act) => timers.push(act),
    );
    const steps: string[] = [];
    const report = (event: RunEvent) => steps.push(event.kind === 'step' ? event.step.kind : event.kind);
    const batch = answers.policy('batch', report);
    const storage = answers.policy('storage', report);
    const fail = (policy: Partial<RetryPolicy>, reason: RetryNotice['reason']) =>
      policy.onRetry?.({ reason, attempt: 1, waitMs: 0 });
    fail(batch, 'unreachable');
    now = 9_999;
    assert.equal(answers.missing(), undefined, 'after 9 seconds');
    now = 10_000;
    assert.equal(answers.missing(), 'unreachable', 'after 10 seconds');
    for (const act of timers.splice(0)) act();
    assert.equal(told, 1, 'although no other call fails or succeeds');
    fail(batch, 'throttled');
    storage.onSuccess?.();
    assert.equal(answers.missing(), 'throttled', 'Storage says nothing about Batch');
    const failures = [Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })];
    await withRetries(
      async () => {
        const failure = failures.pop();
        if (failure) throw failure;
      },
      { ...defaultPolicy, ...batch },
      undefined,
    );
    assert.equal(answers.missing(), undefined, 'after a call that succeeded');
    fail(batch, 'unreachable');
    batch.onSuccess?.();
    now = 30_000;
    for (const act of timers.splice(0)) act();
    assert.equal(told, 1, 'not after a short failure');
    assert.deepEqual(steps, ['waiting', 'waiting', 'waiting', 'waiting']);
  });
});
