// Runs beside the extension in its host: speeds up timers and writes the host's memory use to a file.
const { appendFileSync } = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');
const { join } = require('node:path');
const promises = require('node:timers/promises');
const v8 = require('node:v8');
const vm = require('node:vm');
const vscode = require('vscode');

v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc');

const samples = 48;
/** Samples with which the heap is saved, if it is to be: in the first quarter, and the last. */
const snapshots = [8, samples];

/** The tree's poll interval; timers of this length are counted as polls. */
const lookMs = 4_000;

exports.activate = ({ subscriptions }) => {
  const { BENCH_HOURS, BENCH_SPEED, BENCH_SAMPLES, BENCH_SNAPSHOTS } = process.env;
  subscriptions.push(
    vscode.commands.registerCommand('bench.hurry', async () => {
      const [pause, speed] = [promises.setTimeout, Number(BENCH_SPEED)];
      const wanted = (Number(BENCH_HOURS) * 3_600_000) / lookMs;
      const { setTimeout: later } = globalThis;
      let looks = 0;
      const counted = (work) => () => {
        looks++;
        work();
      };
      globalThis.setTimeout = (work, ms, ...args) =>
        later(ms === lookMs ? counted(work) : work, ms / speed, ...args);
      promises.setTimeout = (ms, ...args) => pause(ms / speed, ...args);
      syncBuiltinESMExports();
      for (let sample = 0; sample <= samples; sample++) {
        while (looks < (sample * wanted) / samples) await pause(50);
        collectGarbage();
        if (BENCH_SNAPSHOTS && snapshots.includes(sample))
          v8.writeHeapSnapshot(join(BENCH_SNAPSHOTS, `${sample}.heapsnapshot`));
        const { heapUsed, external, rss } = process.memoryUsage();
        appendFileSync(BENCH_SAMPLES, `${JSON.stringify({ looks, heapUsed, external, rss })}\n`);
      }
      appendFileSync(BENCH_SAMPLES, '"done"\n');
    }),
  );
};
