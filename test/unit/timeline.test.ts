import assert from 'node:assert/strict';
import { timelineOf, timelineSvg } from '../../src/core/estimates/timeline';
import type { Attempt, FileResult, Manifest } from '../../src/core/plan/manifest';
import { reportOf } from '../../src/core/runs/report';

const zero = Date.parse('2026-11-26T12:00:00Z');
const at = (seconds: number) => new Date(zero + seconds * 1000).toISOString();
const span = (start: number, end: number) => ({ start: at(start), end: at(end) });

/** As much of a manifest as reports and timelines read. */
function manifestOf(paths: readonly string[], others: Partial<Manifest> = {}): Manifest {
  const manifest: Partial<Manifest> = {
    runId: 'run',
    created: at(0),
    files: paths.map((path, index) => ({
      ...{ id: String(index), path, uri: `file:///${path}`, size: 100, modified: 0, seconds: 60 },
      ...{ inputBlob: '', nodeInput: '', commandLine: '' },
      output: { nodePath: '', blob: '', isFolder: false, name: '', proof: 'none' as const },
    })),
    refused: [],
    preset: { id: 'mp3', label: 'MP3', needs: 'audio', arguments: [], extension: 'mp3', proof: 'audio' },
    workspace: '',
    attempts: [attemptAt(0)],
    ...others,
  };
  return manifest as Manifest;
}

function attemptAt(seconds: number, fileIds: readonly string[] = []): Attempt {
  return { jobId: `job-${seconds}`, inputContainer: '', created: at(seconds), fileIds, sasExpiry: at(0) };
}

const results: FileResult[] = [
  { id: '0', node: 'n1', startTime: at(10), endTime: at(40), uploaded: span(0, 5), fetched: span(41, 42) },
  { id: '1', node: 'n2', startTime: at(12), endTime: at(30), uploaded: span(2, 8), fetched: span(31, 33) },
  {
    ...{ id: '2', node: 'n1', startTime: at(11), endTime: at(20), uploaded: span(4, 9) },
    ...{ problem: { kind: 'ended', file: 'c.mp4' }, failedAt: 'task' },
  },
  { id: '3', node: 'n1', startTime: at(41), endTime: at(60) },
];

describe('The timeline of a run', () => {
  const timeline = timelineOf(manifestOf(['a.mp4', 'b.mp4', 'c.mp4', '<d> & "e".mp4']), results);
  assert.ok(timeline);

  it('has the transfers first, then a lane for each slot of each node, on which no two tasks overlap', () => {
    assert.deepEqual(
      timeline.lanes.map(({ kind, node, slot, bars }) => [kind, node, slot, bars.length]),
      [
        ['upload', undefined, undefined, 3],
        ['fetch', undefined, undefined, 2],
        ['slot', 'n1', 1, 2],
        ['slot', 'n1', 2, 1],
        ['slot', 'n2', undefined, 1],
      ],
    );
    for (const { kind, bars } of timeline.lanes) {
      if (kind !== 'slot') continue;
      bars.forEach((bar, index) => {
        assert.ok(index === 0 || (bars[index - 1]?.end ?? 0) <= bar.start);
      });
    }
    assert.equal(timeline.lengthMs, 60_000);
    assert.deepEqual(
      timeline.lanes
        .flatMap(({ bars }) => bars)
        .filter(({ isFailed }) => isFailed)
        .map(({ file }) => file),
      ['c.mp4'],
    );
  });

  it('is drawn in one line of SVG that no file name can break, with a title and a description', () => {
    const svg = timelineSvg(timeline, {
      title: 'Title',
      description: 'Description',
      laneName: ({ kind, node }) => node ?? kind,
      time: (ms) => String(ms),
      barName: ({ file }) => `${file}\n\n`,
    });
    assert.ok(!svg.includes('\n'));
    assert.match(svg, /^<svg [^>]*role="img" aria-labelledby="tl-title tl-description"/);
    assert.match(svg, /&lt;d&gt; &amp; &quot;e&quot;\.mp4/);
    assert.equal(svg.match(/<rect /g)?.length, 9);
    assert.equal(svg.match(/tl-failed"/g)?.length, 1);
    for (const [, x, width] of svg.matchAll(/<rect [^>]*x="([\d.]+)"[^>]*width="([\d.]+)"/g))
      assert.ok(Number(x) >= 150 && Number(x) + Number(width) <= 860, `${x} ${width}`);
  });

  it('does not exist where no times are known', () => {
    assert.equal(timelineOf(manifestOf(['a.mp4']), [{ id: '0' }]), undefined);
  });
});

describe('The report of a run', () => {
  it('counts the time of failed tasks, and the hours that nodes must have existed', () => {
    const report = reportOf(manifestOf(['a.mp4', 'b.mp4', 'c.mp4', 'd.mp4'], { nodeHours: 0 }), results);
    assert.equal(report.totals.taskSeconds, 30 + 18 + 9 + 19);
    assert.ok(Math.abs((report.nodeHours ?? 0) * 3600 - (50 + 18)) < 1e-6);
    assert.equal(report.minutes, 1);
  });

  it('uses the number of observed nodes where it is higher', () => {
    const report = reportOf(manifestOf(['a.mp4'], { nodeHours: 5, finished: at(600) }), results.slice(0, 1));
    assert.equal(report.nodeHours, 5);
    assert.equal(reportOf(manifestOf(['a.mp4']), []).nodeHours, undefined);
  });

  it('takes the time in which somebody worked on the run, whether outputs were fetched later or files were retried', () => {
    const day = 86_400;
    const attempts = [attemptAt(0, ['0', '1']), attemptAt(day, ['1'])];
    const [first, second] = results;
    assert.ok(first && second);
    const minutes = (others: Partial<Manifest>, ...all: FileResult[]) =>
      reportOf(manifestOf(['a.mp4', 'b.mp4'], others), all).minutes;
    const late = { ...first, fetched: span(day, day + 20) };
    assert.equal(minutes({ finished: at(day + 21) }, late), 1);
    const again = {
      id: '1',
      startTime: at(day + 8),
      endTime: at(day + 16),
      fetched: span(day + 17, day + 18),
    };
    assert.equal(minutes({ attempts, finished: at(day + 19) }, first, again), 1);
    // Nothing was uploaded: the files failed before.
    assert.equal(minutes({ finished: at(6) }, { id: '0', failedAt: 'upload' }), 0.1);
    assert.equal(minutes({}), undefined);
  });

  it('knows what share of the nodes that came were dedicated', () => {
    const share = (others: Partial<Manifest>) => reportOf(manifestOf(['a.mp4'], others), []).dedicatedShare;
    assert.equal(share({ nodeHours: 4, dedicatedNodeHours: 1 }), 0.25);
    assert.equal(share({ nodeHours: 4 }), undefined);
    assert.equal(share({ nodeHours: 0, dedicatedNodeHours: 0 }), undefined);
  });

  it('lasts until a cancellation, and counts no file that it has ended as a failure', () => {
    const manifest = manifestOf(['a.mp4', 'b.mp4'], { canceled: at(90) });
    const [first] = results;
    assert.ok(first);
    const report = reportOf(manifest, [first, { ...results[2], id: '1' }]);
    assert.equal(report.minutes, 1.5);
    assert.equal(report.canceled, at(90));
    assert.deepEqual(
      report.rows.map(({ status }) => status),
      ['done', 'unfinished'],
    );
    assert.equal(report.totals.failed, 0);
    assert.equal(report.totals.taskSeconds, 30 + 9);
  });
});
