// Runs beside the extension in its host: makes time pass faster and writes the host's memory use to a file.
const { appendFileSync, mkdirSync } = require('node:fs');
const { subscribe } = require('node:diagnostics_channel');
const { syncBuiltinESMExports } = require('node:module');
const { join } = require('node:path');
const promises = require('node:timers/promises');
const v8 = require('node:v8');
const vm = require('node:vm');
const vscode = require('vscode');

v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc');

exports.activate = ({ subscriptions }) => {
  const { env } = process;
  const [wantedMs, samples] = [Number(env.BENCH_HOURS) * 3_600_000, Number(env.BENCH_SAMPLE_COUNT)];
  subscriptions.push(
    vscode.commands.registerCommand('bench.hurry', async () => {
      const pause = promises.setTimeout;
      hurry(Number(env.BENCH_SPEED));
      const started = Date.now();
      let refreshes = 0;
      subscribe('http.client.request.start', ({ request }) => {
        if (request.path.startsWith('/jobs?')) refreshes++;
      });
      const save = (name) => {
        if (env.BENCH_SNAPSHOTS === '') return;
        mkdirSync(env.BENCH_SNAPSHOTS, { recursive: true });
        v8.writeHeapSnapshot(join(env.BENCH_SNAPSHOTS, `${name}.heapsnapshot`));
      };
      for (let sample = 0; sample <= samples; sample++) {
        while (Date.now() - started < (sample * wantedMs) / samples) await pause(20);
        collectGarbage();
        if (sample === samples / 4) save('first');
        if (sample === samples) save('last');
        const { heapUsed, external, rss } = process.memoryUsage();
        appendFileSync(env.BENCH_SAMPLES, `${JSON.stringify({ refreshes, heapUsed, external, rss })}\n`);
      }
    }),
  );
};

/** Lets the host's clock and timers run faster. `new Date()` stays right: services compare it with their own. */
function hurry(speed) {
  const [pause, now, started] = [promises.setTimeout, Date.now, Date.now()];
  const { setTimeout: later } = globalThis;
  Date.now = () => started + (now() - started) * speed;
  globalThis.setTimeout = (work, ms, ...args) => later(work, ms / speed, ...args);
  promises.setTimeout = (ms, ...args) => pause(ms / speed, ...args);
  syncBuiltinESMExports();
}
