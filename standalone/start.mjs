#!/usr/bin/env node
// Starts the local Batch service of this folder and shows how to connect: `node start.mjs [options]`.
// All options of the service are accepted; `--data-dir` defaults to `data` in this folder. Needs Node 20 or newer only.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const minNode = 20;
const folder = dirname(fileURLToPath(import.meta.url));
const options = process.argv.slice(2);
const service = join(folder, 'service.js');

if (Number(process.versions.node.split('.')[0]) < minNode) {
  console.error(
    `The local Batch service requires Node ${minNode} or newer. This is Node ${process.versions.node}.`,
  );
  process.exit(1);
}
if (options.includes('--help')) {
  spawn(process.execPath, [service, '--help'], { stdio: 'inherit' }).once('exit', (code) =>
    process.exit(code ?? 1),
  );
} else {
  start();
}

function start() {
  const given = dataDirOf(options);
  const dataDir = resolve(given ?? join(folder, 'data'));
  const all = given === undefined ? ['--data-dir', dataDir, ...options] : options;
  const child = spawn(process.execPath, [service, ...all], { stdio: ['inherit', 'pipe', 'inherit'] });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill('SIGTERM'));
  createInterface(child.stdout).on('line', (line) => {
    console.log(line);
    const said = JSON.parse(line);
    if (said.ready) explain(said, dataDir, said.pid === child.pid);
  });
  child.once('exit', (code) => process.exit(code ?? 1));
}

/** The data folder that the options name, as `--data-dir DIR` or `--data-dir=DIR`. */
function dataDirOf(args) {
  const index = args.findLastIndex((one) => one === '--data-dir' || one.startsWith('--data-dir='));
  if (index < 0) return undefined;
  const [, value] = args[index].split(/=(.*)/s);
  return value ?? args[index + 1];
}

/** Prints where the service listens and where its keys are. The keys themselves are not printed. */
function explain(
  { batchUrl, blobUrl, batchName, storageName, version, pid, containerEngine },
  dataDir,
  isNew,
) {
  const end = isNew
    ? 'Press Ctrl+C to stop.'
    : `It was running already, as process ${pid}, which SIGTERM stops.`;
  console.error(`
Local Batch service ${version}
  Batch account    ${batchName} at ${batchUrl}
  Storage account  ${storageName} at ${blobUrl}
  Keys             ${keysIn(join(dataDir, 'credentials.json'))}
  Containers       ${containerEngine ?? 'no engine answers: pools and tasks with containers are refused'}

In another shell, this sets the variables that clients read:
  export $(node "${join(folder, 'env.mjs')}" --data-dir "${dataDir}")
${end}`);
}

function keysIn(path) {
  try {
    const keys = Object.keys(JSON.parse(readFileSync(path, 'utf8'))).filter((key) => key.endsWith('Key'));
    return `${keys.join(' and ')} in ${path}`;
  } catch {
    return 'as given on standard input';
  }
}
