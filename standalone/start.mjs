#!/usr/bin/env node
// Starts the local Batch service of this folder and shows how to connect: `node start.mjs [options]`.
// All options of the service are accepted; `--data-dir` defaults to `data` in this folder. Needs Node 20 or newer only.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const folder = import.meta.dirname;
const options = process.argv.slice(2);
const service = join(folder, 'service.js');

if (options.includes('--help')) {
  spawn(process.execPath, [service, '--help'], { stdio: 'inherit' }).once('exit', (code) =>
    process.exit(code ?? 1),
  );
} else {
  start();
}

function start() {
  const index = options.indexOf('--data-dir');
  const dataDir = index >= 0 ? options[index + 1] : join(folder, 'data');
  const all = index >= 0 ? options : ['--data-dir', dataDir, ...options];
  const child = spawn(process.execPath, [service, ...all], { stdio: ['ignore', 'pipe', 'inherit'] });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill('SIGTERM'));
  createInterface(child.stdout).on('line', (line) => {
    console.log(line);
    explain(JSON.parse(line), dataDir);
  });
  child.once('exit', (code) => process.exit(code ?? 1));
}

/** Prints where the service listens and where its keys are. The keys themselves are not printed. */
function explain({ batchUrl, blobUrl, batchName, storageName, version }, dataDir) {
  const credentials = join(dataDir, 'credentials.json');
  const keys = Object.keys(JSON.parse(readFileSync(credentials, 'utf8'))).filter((key) =>
    key.endsWith('Key'),
  );
  console.error(`
Local Batch service ${version}
  Batch account    ${batchName} at ${batchUrl}
  Storage account  ${storageName} at ${blobUrl}
  Keys             ${keys.join(' and ')} in ${credentials}

In another shell, export $(node ${join(folder, 'env.mjs')} --data-dir ${dataDir}) sets the variables
that clients read. Press Ctrl+C to stop.`);
}
