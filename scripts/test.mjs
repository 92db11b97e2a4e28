#!/usr/bin/env node
// Runs all tests, also on a fresh clone: installs what is missing, checks, builds, runs each suite, lists the slowest
// tests, and ends with the line `N passed, N failed`.
//   npm test                            everything
//   npm test -- unit service -g cancel  some suites, some tests
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { bootstrap, root, say } from './bootstrap.mjs';
import { ensureClients } from './clients.mjs';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { grep: { type: 'string', short: 'g' }, 'no-check': { type: 'boolean', default: false } },
});

/** A suite that exceeds its limit is ended and counts as failed. */
const minutes = { unit: 8, media: 15, service: 32, host: 8, browser: 30, recorded: 2 };
/** `recorded` compares with recorded answers of Azure, which aren't part of the project: it runs on request only. */
const usual = ['unit', 'media', 'service', 'host', 'browser'];
const suites = positionals.length > 0 ? positionals : usual;
const results = join(root, 'out/test-results');

bootstrap();
ensureClients();

let passed = 0;
let failed = 0;
const durations = [];
if (!flags['no-check'] && positionals.length === 0) {
  await step('types', 'npx', ['tsc', '--noEmit', '-p', '.']);
  await step('webview types', 'npx', ['tsc', '--noEmit', '-p', 'src/webview']);
  await step('format and lint', 'npx', ['biome', 'check', '--error-on-warnings']);
}
rmSync(join(root, 'out'), { recursive: true, force: true });
await step('build', process.execPath, ['scripts/build.mjs', '--tests']);
mkdirSync(results, { recursive: true });
// The tests of `service` and `browser` wait most of the time: the two run beside each other.
const pair = ['service', 'browser'].filter((suite) => suites.includes(suite));
for (const suite of suites.filter((suite) => !pair.includes(suite))) await runSuite(suite);
let running;
for (const suite of pair) running = runSuite(suite, running);
await running;
listSlowest();
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

/** Runs a check. It counts as a failure if it fails, and isn't counted otherwise. */
async function step(name, program, args) {
  say(name);
  const code = await run(program, args, 10);
  if (code === 0) return;
  failed++;
  console.error(`✗ ${name} (exit code ${code})`);
  if (name === 'build') {
    console.log(`\n${passed} passed, ${failed} failed`);
    process.exit(1);
  }
}

function listSlowest() {
  const slowest = durations.sort((a, b) => b.ms - a.ms).slice(0, 10);
  if (slowest.length === 0) return;
  console.log('\nSlowest tests:');
  for (const { suite, title, ms } of slowest)
    console.log(`${(ms / 1000).toFixed(1).padStart(7)} s  ${suite}: ${title}`);
}

/** Runs the tests of a suite and counts them. Its output is held back until the suite that runs beside it has ended. */
async function runSuite(suite, beside) {
  const files = tests(suite);
  if (files.length === 0) return;
  const output = beside && join(results, `${suite}.log`);
  if (!beside) console.log(`\n── ${suite}`);
  const end = Date.now() + minutes[suite] * 60_000;
  const outcomes = [];
  for (const part of partsOf(suite, files)) outcomes.push(await runPart(part, end, output));
  await beside;
  if (output !== undefined) console.log(`\n── ${suite}\n${readFileSync(output, 'utf8')}`);
  for (const outcome of outcomes) count(suite, outcome);
}

/**
 * What runs in one process. A second try tells a machine that is busy from a fault; each is listed, since a flaky test is
 * a fault as well. Tests that drive a window build on each other, so a file of them is tried again as a whole, in a new
 * process with a new window; other tests are tried again by mocha. The time-out ends what hangs; how long a test takes on a
 * slow machine is no reason to fail.
 */
function partsOf(suite, files) {
  const host = { name: 'host', args: () => [process.execPath, 'scripts/hostTests.mjs'], tries: 2 };
  if (suite === 'host') return [host];
  const timeout = ['--timeout', suite === 'browser' ? '600000' : '240000'];
  const common = ['npx', 'mocha', '--reporter', 'scripts/reporter.mjs', ...timeout, '--exit'];
  if (flags.grep) common.push('--grep', flags.grep);
  if (suite !== 'browser')
    return [{ name: suite, args: () => [...common, '--retries', '1', ...files], tries: 1 }];
  return files.map((file) => ({
    name: basename(file, '.test.js'),
    // What follows a test that failed in the first try is for the second.
    args: (isLast) => [...common, ...(isLast ? [] : ['--bail']), file],
    tries: 2,
  }));
}

/** Runs a part of a suite, at most as often as it may be tried. Resolves with the counts of the last try. */
async function runPart({ name, args, tries }, end, output) {
  const retried = [];
  for (let number = 1; ; number++) {
    const isLast = number === tries;
    const report = join(results, `${name}-${number}.json`);
    const [program, ...rest] = args(isLast);
    const env = { TEST_REPORT: report, TEST_GREP: flags.grep ?? '' };
    const code = await run(program, rest, (end - Date.now()) / 60_000, { env, output });
    const counts = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : undefined;
    if (code === 0 || isLast || Date.now() >= end) return { name, code, counts, retried };
    retried.push(...(counts?.failures ?? [`${name}: exit code ${code}`]));
  }
}

function count(suite, { name, code, counts, retried }) {
  passed += counts?.passed ?? 0;
  failed += counts?.failed ?? 0;
  durations.push(...(counts?.durations ?? []).map((test) => ({ suite, ...test })));
  for (const title of [...retried, ...(counts?.retried ?? [])]) console.log(`  second try: ${title}`);
  for (const skipped of counts?.skipped ?? []) console.log(`  skipped: ${skipped}`);
  const isSilent = counts === undefined || (counts.passed + counts.failed === 0 && !flags.grep);
  if (isSilent || (code !== 0 && counts.failed === 0)) {
    failed++;
    const why = isSilent ? 'no results' : 'although all tests passed';
    console.error(`✗ ${suite}, ${name}: exit code ${code}, ${why}`);
  }
}

function tests(suite) {
  const folder = join(root, 'out/test', suite);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .map((file) => join(folder, String(file)))
    .filter((file) => file.endsWith('.test.js'))
    .sort();
}

/**
 * Resolves with a program's exit code, or 124 if it ran longer than `limit` minutes and was killed with its children. Its
 * output goes to the file `output`, or else to the terminal.
 */
function run(program, args, limit, { env = {}, output } = {}) {
  return new Promise((resolve) => {
    const stream = output === undefined ? 'inherit' : openSync(output, 'a');
    const child = spawn(program, args, {
      cwd: root,
      stdio: ['ignore', stream, stream],
      env: { ...process.env, ...env },
      detached: process.platform !== 'win32',
      shell: process.platform === 'win32',
    });
    const timer = setTimeout(() => {
      console.error(`${program} ${args[0]} didn't end within ${limit.toFixed(1)} minutes`);
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        child.kill('SIGKILL');
      }
      resolve(124);
    }, limit * 60_000);
    child.once('exit', (code) => {
      clearTimeout(timer);
      if (output !== undefined) closeSync(stream);
      resolve(code ?? 1);
    });
  });
}
