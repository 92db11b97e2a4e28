import { workerData } from 'node:worker_threads';
import { type GuardOptions, guardState } from './messages';

/*
 * A thread of the parser process that ends the process when the parser takes too much time or memory. It runs there and
 * not in the extension host, so that a parser in an endless loop ends even if the extension host has ended.
 */

const checkMs = 100;

const { state, limits } = workerData as GuardOptions;
let busyMs = 0;
let before = 0;

setInterval(() => {
  const file = Atomics.load(state, guardState.file);
  const isWaiting = Atomics.load(state, guardState.reads) > 0;
  if (file === 0 || file !== before) busyMs = 0;
  else if (!isWaiting) busyMs += checkMs;
  before = file;
  if (busyMs > limits.busyMs || process.memoryUsage.rss() > limits.memoryBytes) {
    process.kill(process.pid, 'SIGKILL');
  }
}, checkMs);
