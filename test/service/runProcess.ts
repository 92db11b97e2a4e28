import { type ChildProcess, spawn } from 'node:child_process';
import type { RunOrders } from './runAlone';

/** A process that works on a run until it is done or killed, and what it said in the end: a summary or a problem. */
export type RunProcess = ChildProcess & { readonly said: Promise<Record<string, unknown>> };

export function startRunProcess(orders: RunOrders, env: Record<string, string> = {}): RunProcess {
  const child = spawn(process.execPath, ['out/test/service/runAlone.js'], {
    env: { ...process.env, ...env, RUN: JSON.stringify(orders) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const said = new Promise<Record<string, unknown>>((resolve) => {
    child.once('close', () => resolve(text === '' ? {} : JSON.parse(text)));
  });
  return Object.assign(child, { said });
}
