import assert from 'node:assert/strict';
import { TimeLeft } from '../../src/core/estimates/timeLeft';
import type { FileResult } from '../../src/core/plan/manifest';
import type { RunProgress } from '../../src/core/runs/runEvents';
import { progressOf } from '../runProgress';

interface Simulated {
  readonly files: { id: string; size: number; seconds?: number }[];
  readonly slots: number;
  /** Seconds of media per second. */
  readonly speed: number;
  /** Seconds of a task besides encoding. */
  readonly overhead: number;
  readonly uploadBytesPerSecond: number;
  /** Bytes of outputs, as large as their sources, that are downloaded in a second. Default: at once. */
  readonly fetchBytesPerSecond?: number;
  /** Multiplies the speed from this second on. */
  readonly slowdown?: { after: number; factor: number };
}

/** Plays a run second by second as its progress would show it; returns what is estimated and what is true. */
function play({ files, slots, speed, overhead, uploadBytesPerSecond, slowdown, ...rest }: Simulated) {
  const { fetchBytesPerSecond = Number.POSITIVE_INFINITY } = rest;
  const start = Date.parse('2026-11-26T12:00:00Z');
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const progress: RunProgress = {
    phase: 'uploading',
    upload: { files: 0, filesTotal: files.length, bytes: 0, bytesTotal: total },
    nodes: { idle: 0, running: 0, starting: 0, failed: 0, total: slots, dedicated: 0, target: slots },
    tasks: { active: 0, running: 0, completed: 0, failed: 0, total: files.length },
    fetch: { bytes: 0 },
    running: new Map(),
    settling: new Set(),
    pieces: new Map(),
  };
  const ended = new Map<string, FileResult & { outputBytes: number }>();
  const received = new Map<string, number>();
  const results = new Map<string, FileResult>();
  const left = new TimeLeft(files);
  const queue = [...files];
  const running = new Map<string, { began: number; done: number; seconds: number }>();
  const shown: { at: number; ms: number }[] = [];
  let second = 0;
  for (; results.size < files.length; second++) {
    const rate = slowdown && second >= slowdown.after ? speed * slowdown.factor : speed;
    progress.upload.bytes = Math.min(total, second * uploadBytesPerSecond);
    if (progress.upload.bytes === total) {
      while (running.size < slots && queue[0]) {
        const file = queue.shift();
        if (file) running.set(file.id, { began: second, done: 0, seconds: file.seconds ?? file.size / 1000 });
      }
      progress.phase = 'tasks';
    }
    for (const [id, task] of running) {
      if (second - task.began >= overhead) task.done = Math.min(task.done + rate, task.seconds);
      if (task.done >= task.seconds) {
        running.delete(id);
        progress.running.delete(id);
        const iso = (at: number) => new Date(start + at * 1000).toISOString();
        const outputBytes = files.find((file) => file.id === id)?.size ?? 0;
        ended.set(id, { id, startTime: iso(task.began), endTime: iso(second + 1), outputBytes });
        progress.settling.add(id);
      } else if (second % 6 === 0 && task.done > 0) {
        progress.running.set(id, { seconds: task.done, speed: rate });
      }
    }
    let budget = fetchBytesPerSecond;
    for (const [id, result] of ended) {
      const bytes = Math.min(budget, result.outputBytes - (received.get(id) ?? 0));
      budget -= bytes;
      received.set(id, (received.get(id) ?? 0) + bytes);
      progress.fetch.bytes += bytes;
      if (received.get(id) !== result.outputBytes) continue;
      ended.delete(id);
      progress.settling.delete(id);
      results.set(id, result);
    }
    progress.tasks.running = running.size;
    progress.tasks.active = queue.length;
    const ms = left.estimate(start + second * 1000, progress, results);
    if (ms !== undefined) shown.push({ at: second, ms });
  }
  return { shown, seconds: second };
}

/** The largest rise over the lowest estimate so far. */
function largestRise(shown: readonly { ms: number }[]): number {
  let lowest = Number.POSITIVE_INFINITY;
  let largest = 1;
  for (const { ms } of shown) {
    largest = Math.max(largest, ms / lowest);
    lowest = Math.min(lowest, Math.max(ms, 1));
  }
  return largest;
}

const files = (count: number, seconds: (index: number) => number | undefined) =>
  Array.from({ length: count }, (_, index) => ({
    id: String(index),
    size: (seconds(index) ?? 60) * 1000,
    seconds: seconds(index),
  }));

describe('The time that a run still takes', () => {
  const steady = { slots: 3, speed: 4, overhead: 3, uploadBytesPerSecond: 60_000 };
  const cases = {
    'five files of one length': { ...steady, files: files(5, () => 120) },
    'forty files of many lengths': { ...steady, files: files(40, (index) => 20 + ((index * 37) % 200)) },
    'files of which some have no known length': {
      ...steady,
      files: files(12, (index) => (index % 3 === 0 ? undefined : 100)),
    },
    'one file': { ...steady, files: files(1, () => 400) },
    'thirty files whose outputs take as long to fetch as to make': {
      ...steady,
      files: files(30, () => 120),
      fetchBytesPerSecond: 9_000,
    },
    'thirty files whose outputs take long to fetch': {
      ...steady,
      files: files(30, (index) => 60 + ((index * 37) % 120)),
      fetchBytesPerSecond: 6_000,
    },
  };
  for (const [title, run] of Object.entries(cases)) {
    it(`does not rise in a steady run of ${title}, and is right`, () => {
      const { shown, seconds } = play(run);
      assert.ok(shown.length > seconds / 3, `${shown.length} estimates in ${seconds} s`);
      assert.ok(largestRise(shown) <= 1.1, `rises by the factor ${largestRise(shown)}`);
      for (const { at, ms } of shown.filter(({ at }) => at > 0.4 * seconds)) {
        const error = Math.abs(ms / 1000 - (seconds - at));
        assert.ok(error <= 0.25 * seconds, `${ms} ms at ${at} of ${seconds} s`);
      }
    });
  }

  it('does not take a short clip, which is mostly overhead, for the speed of long files', () => {
    const lengths = [3, ...Array(6).fill(2_400)];
    const { shown, seconds } = play({
      ...{ slots: 4, speed: 150, overhead: 6, uploadBytesPerSecond: 20_000_000 },
      files: files(lengths.length, (index) => lengths[index]),
    });
    assert.ok(shown.length > seconds / 3, `${shown.length} estimates in ${seconds} s`);
    for (const { at, ms } of shown)
      assert.ok(ms / 1000 < 2 * (seconds - at) + 10, `${ms} ms at ${at} of ${seconds} s`);
  });

  it('rises when the run becomes much slower', () => {
    const { shown, seconds } = play({
      ...steady,
      files: files(1, () => 1_200),
      slowdown: { after: 60, factor: 0.25 },
    });
    const late = shown.find(({ at }) => at === Math.round(seconds / 3));
    assert.ok(late && late.ms / 1000 > 0.6 * (seconds - late.at), JSON.stringify(late));
  });

  it('is unknown before anything shows how fast the run is, unless earlier runs do', () => {
    const progress = progressOf({
      phase: 'pool',
      nodes: { idle: 0, running: 0, starting: 1, failed: 0, total: 1, dedicated: 0, target: 1 },
      tasks: { active: 1, running: 0, completed: 0, failed: 0, total: 1 },
    });
    const one = files(1, () => 100);
    assert.equal(new TimeLeft(one).estimate(0, progress, new Map()), undefined);
    assert.equal(new TimeLeft(one, 5).estimate(0, progress, new Map()), 20_000);
  });

  it('is nothing once the run is done, and unknown while only an output of unknown size is fetched', () => {
    const one = files(1, () => 100);
    const left = new TimeLeft(one, 5);
    const progress = progressOf();
    assert.equal(left.estimate(0, progress, new Map()), 20_000);
    progress.settling.add('0');
    assert.equal(left.estimate(1_000, progress, new Map()), undefined);
    assert.equal(left.share(1_000, progress, new Map()), 1);
    progress.phase = 'done';
    assert.equal(left.estimate(2_000, progress, new Map()), 0);
  });
});
