import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { ParserPool } from '../../src/core/media/parser/pool';

/*
 * Started by parser.test.ts: has a parser work on the file that is named, prints the process id of the parser, and waits
 * to be killed.
 */
const bytes = readFileSync(process.argv[2] ?? '');
const parsing = new ParserPool({ busyMs: 2_000 }).parse('probe', {
  size: bytes.length,
  read: async (position, length) => bytes.subarray(position, position + length),
});
parsing.catch(() => undefined);
setTimeout(() => {
  const children = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args=']).toString().split('\n');
  const parser = children
    .map((line) => line.trim().split(/\s+/))
    .find(([, parent, ...args]) => {
      return parent === String(process.pid) && args.some((arg) => arg.endsWith('parserProcess.js'));
    });
  process.stdout.write(`${parser?.[0]}\n`);
}, 500);
setInterval(() => undefined, 1_000);
