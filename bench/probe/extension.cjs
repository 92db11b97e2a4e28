// Lives beside the extension in its host: refreshes its tree again and again and writes what memory the host takes.
const { appendFileSync } = require('node:fs');
const { setTimeout: pause } = require('node:timers/promises');
const v8 = require('node:v8');
const vm = require('node:vm');
const vscode = require('vscode');

v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc');

/** VS Code gathers the refreshes of a tree for so long. */
const gatheredMs = 200;

exports.activate = ({ subscriptions }) => {
  const { BENCH_POLLS, BENCH_SAMPLES } = process.env;
  subscriptions.push(
    vscode.commands.registerCommand('bench.poll', async () => {
      const polls = Number(BENCH_POLLS);
      const every = Math.max(1, Math.floor(polls / 20));
      for (let poll = 0; poll <= polls; poll++) {
        if (poll % every === 0) {
          collectGarbage();
          const { heapUsed, external, rss } = process.memoryUsage();
          appendFileSync(BENCH_SAMPLES, `${JSON.stringify({ poll, heapUsed, external, rss })}\n`);
        }
        await vscode.commands.executeCommand('batchTranscode.refresh');
        await pause(gatheredMs + 20);
      }
      appendFileSync(BENCH_SAMPLES, '"done"\n');
    }),
  );
};
