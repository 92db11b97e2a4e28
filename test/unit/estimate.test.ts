import assert from 'node:assert/strict';
import { estimateRun, idleNodeHours } from '../../src/core/estimates/estimate';
import { withLimits } from '../../src/core/estimates/limits';
import { activeCores, addSpeed, builtInSpeeds, rateOf, speedOf } from '../../src/core/estimates/speeds';
import type { Manifest, ManifestFile, RunPool } from '../../src/core/plan/manifest';
import { builtInPresets } from '../../src/core/presets/builtIn';

function manifestOf(
  preset: string,
  lengths: readonly (number | undefined)[],
  pool: Partial<RunPool> = {},
): Manifest {
  const found = builtInPresets.find(({ id }) => id === preset);
  if (found === undefined) throw new Error(`No preset ${preset}`);
  const files = lengths.map((seconds, index): ManifestFile => {
    const id = String(index + 1);
    return {
      ...{ id, path: `${id}.mp4`, uri: `file:///${id}.mp4`, size: 1_000_000, modified: 0, seconds },
      ...{ inputBlob: `${id}/${id}.mp4`, nodeInput: 'input.mp4', commandLine: '' },
      output: { nodePath: 'output.mp3', blob: `${id}/x`, isFolder: false, name: 'x', proof: 'none' },
    };
  });
  return {
    version: 1,
    runId: 'run',
    created: '2026-11-26T12:00:00.000Z',
    workspace: '',
    preset: found,
    pool: {
      ...{ lifetime: 'run', vmSize: 'Standard_D2s_v5', dedicatedNodes: 0, spotNodes: 5, slotsPerNode: 1 },
      ...pool,
    },
    limits: { monitorMinutes: 30, taskMinutes: 240, jobMinutes: 540, retries: 1 },
    outputContainer: 'c',
    onConflict: 'rename',
    files,
    refused: [],
    attempts: [],
  };
}

const azure = { isLocal: false };

describe('The estimate of a run', () => {
  it('grows with the media and shrinks with the nodes, but never below the longest file', () => {
    const hour = 3600;
    const one = estimateRun(manifestOf('h264-720p', [hour]), azure);
    const five = estimateRun(manifestOf('h264-720p', Array(5).fill(hour)), azure);
    const ten = estimateRun(manifestOf('h264-720p', Array(10).fill(hour)), azure);
    assert.ok(Math.abs(one.minutes - five.minutes) < 1, 'five nodes work side by side');
    assert.ok(ten.minutes > 1.7 * five.minutes - 5);
    assert.ok(one.minutes > 30);
  });

  it('counts the nodes that come, of each kind, and never more than the limits of the run allow', () => {
    const { nodeHours, maxNodeHours } = estimateRun(manifestOf('mp3', [60, 60]), azure);
    assert.equal(nodeHours.dedicated, 0);
    assert.ok(nodeHours.spot > 0 && nodeHours.spot < maxNodeHours.spot);
    assert.equal(maxNodeHours.spot, (2 * 540) / 60);
    const mixed = estimateRun(
      manifestOf('mp3', Array(4).fill(60), { dedicatedNodes: 1, spotNodes: 3 }),
      azure,
    );
    assert.ok(Math.abs(mixed.nodeHours.spot - 3 * mixed.nodeHours.dedicated) < 1e-9);
  });

  it('knows that a pool that scales to zero keeps its nodes for a while', () => {
    const short = estimateRun(manifestOf('mp3', [5]), azure);
    const kept = estimateRun(manifestOf('mp3', [5], { lifetime: 'scaleToZero' }), azure);
    assert.ok(kept.nodeHours.spot > short.nodeHours.spot);
    assert.ok(kept.nodeHours.spot >= 20 / 60);
    assert.equal(kept.minutes, short.minutes);
  });

  it('knows that a short file takes seconds on this machine, and minutes on Azure', () => {
    assert.ok(estimateRun(manifestOf('mp3', [5]), { isLocal: true }).minutes < 5 / 60);
    assert.ok(estimateRun(manifestOf('mp3', [5]), azure).minutes > 3);
  });

  it('follows the earlier runs of the account, the more runs the closer', () => {
    const [preset] = builtInPresets.filter(({ id }) => id === 'h264-720p');
    assert.ok(preset);
    const task = { preset, vmSize: 'Standard_D2s_v5', overhead: 4 };
    const builtIn = rateOf(task, undefined);
    const little = rateOf(task, { files: 1, mediaSeconds: 10, taskSeconds: 1 });
    const much = rateOf(task, { files: 50, mediaSeconds: 72_000, taskSeconds: 7_400 });
    assert.ok(little > builtIn && little < 1.2 * builtIn, `${little}`);
    assert.ok(Math.abs(much - 10) < 0.2, `${much}`);
    const manifest = manifestOf('h264-720p', [3600]);
    const speed = { files: 50, mediaSeconds: 72_000, taskSeconds: 7_400 };
    const estimate = estimateRun(manifest, { isLocal: true, speed });
    assert.ok(Math.abs(estimate.minutes - 6.1) < 0.3, `${estimate.minutes}`);
    assert.equal(estimate.basedOn, 50);
  });

  it('gives a long run time to end: its job, its SAS, and its monitoring', () => {
    const short = manifestOf('mp3', [60]);
    assert.deepEqual(estimateRun(short, azure).limits, short.limits);
    const long = manifestOf('h264-1080p', Array(100).fill(2 * 3600));
    const { minutes, limits, maxNodeHours, notes } = estimateRun(long, azure);
    assert.ok(minutes > 30 * 60, `${minutes}`);
    assert.ok(limits.jobMinutes > 2.5 * minutes && limits.jobMinutes < 7 * 24 * 60, `${limits.jobMinutes}`);
    assert.ok(limits.monitorMinutes > 1.5 * minutes, `${limits.monitorMinutes}`);
    assert.equal(maxNodeHours.spot, (5 * limits.jobMinutes) / 60);
    assert.deepEqual(notes, []);
    const created = '2026-11-26T12:00:00.000Z';
    const attempts = [{ jobId: 'j', inputContainer: 'i', created, fileIds: ['1'], sasExpiry: created }];
    const [attempt] = withLimits({ ...long, attempts }, limits).attempts;
    const sasMinutes = (Date.parse(attempt?.sasExpiry ?? '') - Date.parse(created)) / 60_000;
    assert.ok(sasMinutes > limits.jobMinutes && sasMinutes <= 7 * 24 * 60, `${sasMinutes}`);
  });

  it('says which files take longer than a task may, and that a run takes longer than a job may', () => {
    const { notes } = estimateRun(manifestOf('h265', [3600, 5 * 3600]), azure);
    assert.deepEqual(
      notes.map(
        (note) => note.kind === 'tooLongForTask' && [note.file, note.limit, Math.round(note.minutes / 60)],
      ),
      [['2.mp4', 240, 10]],
    );
    const endless = estimateRun(manifestOf('h264-1080p', Array(1000).fill(2 * 3600)), azure);
    assert.deepEqual(
      endless.notes.map(({ kind }) => kind),
      ['tooLongForJob'],
    );
    assert.equal(endless.limits.jobMinutes, 7 * 24 * 60 - 60);
  });

  it('has a rate for each built-in preset, and knows that large pictures take longer', () => {
    for (const { id } of builtInPresets) assert.ok(builtInSpeeds[id], id);
    const minutesOf = (preset: string, pixels: number | undefined) => {
      const manifest = manifestOf(preset, [3600]);
      const files = manifest.files.map((file) => ({ ...file, pixels }));
      return estimateRun({ ...manifest, files }, { isLocal: true }).minutes;
    };
    const unknown = minutesOf('h264-source', undefined);
    assert.ok(Math.abs(minutesOf('h264-source', 3840 * 2160) / unknown - 4) < 0.1);
    assert.ok(Math.abs(minutesOf('h264-1080p', 3840 * 2160) / minutesOf('h264-1080p', undefined) - 1) < 0.01);
    assert.ok(minutesOf('h264-source', 854 * 480) < unknown / 4);
  });

  it('learns its speed from the files that succeeded', () => {
    const manifest = manifestOf('mp3', [100, 200, undefined]);
    const at = (seconds: number) => new Date(Date.parse(manifest.created) + seconds * 1000).toISOString();
    const speed = speedOf(manifest, [
      { id: '1', startTime: at(0), endTime: at(10) },
      { id: '2', startTime: at(0), endTime: at(1), problem: { kind: 'ended', file: '2.mp4' } },
      { id: '3', startTime: at(0), endTime: at(5), outputSeconds: 50 },
    ]);
    assert.deepEqual(speed, { files: 2, mediaSeconds: 150, taskSeconds: 15 });
    assert.equal(speedOf(manifest, []), undefined);
    const empty = { ...manifest, files: manifest.files.map((file) => ({ ...file, seconds: 0 })) };
    assert.equal(speedOf(empty, [{ id: '1', startTime: at(0), endTime: at(10) }]), undefined);
    const nothing = { files: 2, mediaSeconds: 0, taskSeconds: 10 };
    assert.ok(estimateRun(manifest, { isLocal: false, speed: nothing }).minutes > 0, 'learned earlier');
    const newer = { files: 10, mediaSeconds: 1000, taskSeconds: 50 };
    const both = addSpeed(speed, newer);
    assert.ok(both.mediaSeconds / both.taskSeconds > 17);
  });

  it('counts the nodes that stay for a while after the last attempt, one for each of its tasks', () => {
    const manifest = manifestOf('h264-720p', [3600], { lifetime: 'scaleToZero' });
    const end = Date.parse(manifest.created);
    const hoursOf = (...tasks: number[]) => {
      const attempts = tasks.map((count) => ({
        ...{ jobId: '', inputContainer: '', created: manifest.created, fileIds: ['1'], sasExpiry: '' },
        submitted: { at: manifest.created, tasks: count },
      }));
      return idleNodeHours({ ...manifest, attempts }, end);
    };
    // A video in 24 parts has more tasks than the pool has nodes.
    assert.ok(Math.abs(hoursOf(26) - (5 * 20) / 60) < 1e-9);
    assert.ok(Math.abs(hoursOf(26, 2) - (2 * 20) / 60) < 1e-9);
    assert.equal(hoursOf(), 0);
  });

  it('reads the cores of a size from its name', () => {
    assert.equal(activeCores('Standard_D2s_v5'), 2);
    assert.equal(activeCores('Standard_D16s_v5'), 16);
    assert.equal(activeCores('Standard_E16-4s_v5'), 4);
    assert.equal(activeCores('Standard_A1_v2'), 1);
    assert.equal(activeCores('Standard_DS3_v2'), 4);
    assert.equal(activeCores('odd'), 2);
  });
});
