import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { getSystemErrorName } from 'node:util';
import { type EndOrder, outputFlags, type StartOrder, type StartReply } from './startOrders';

/** A process that starts programs, and how orders reach it. */
export interface StarterProcess {
  /** Calls back with an error for an order that the process does not get. */
  send(order: StartOrder | EndOrder, failed: (error: Error) => void): void;
}

/** What a starter process reports. */
export interface StarterEvents {
  reply(reply: StartReply): void;
  /** It has ended, or cannot be started. `isUnusable` tells that it never worked, and has followed no order. */
  lost(error: Error, isUnusable: boolean): void;
}

function pathOf(script: string): string {
  return join(dirname(fileURLToPath(import.meta.url)), script);
}

/** Runs starter.ts. */
export function openNodeStarter(events: StarterEvents): StarterProcess {
  const child = spawn(process.execPath, [pathOf('starter.js')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
    windowsHide: true,
  });
  child.on('message', (reply: StartReply) => events.reply(reply));
  child.once('error', (error) => events.lost(error, false));
  child.once('exit', (code) => events.lost(endError(code), false));
  return { send: (order, failed) => child.send(order, (error) => error && failed(error)) };
}

/**
 * Runs starter.pl with a Perl interpreter. Its memory is an eighth of Node.js's, and a program starts in two thirds of
 * the time: the system copies the tables of that memory for each program.
 */
export function openPerlStarter(perl: string, events: StarterEvents): StarterProcess {
  const child = spawn(perl, [pathOf('starter.pl'), String(outputFlags)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // No modules of the user, and no complaint about a locale that the machine lacks.
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    // A session of its own: programs have no terminal.
    detached: true,
  });
  let isReady = false;
  let rest = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'ready') isReady = true;
      else events.reply(replyOf(line));
    }
  });
  child.once('error', (error) => events.lost(error, true));
  // All its replies have been read then.
  child.once('close', (code) => events.lost(endError(code), !isReady));
  // `close` says so.
  child.stdin.on('error', () => undefined);
  child.stdout.on('error', () => undefined);
  return {
    send(order, failed) {
      const fields = fieldsOf(order);
      if (fields.some((field) => field.includes('\0')))
        failed(new Error('The command line or the environment contains a null character.'));
      // An order that it does not get is settled when it has ended.
      else child.stdin.write(messageOf(fields), () => undefined);
    },
  };
}

function endError(code: number | null): Error {
  return new Error(`The starter ended with ${code}.`);
}

function fieldsOf(order: StartOrder | EndOrder): string[] {
  if ('endGroup' in order) return ['end', String(order.endGroup)];
  const { id, argv, cwd, env, stdoutPath, stderrPath, recordFolder, ifLost = [], keepsGroup } = order;
  const variables = Object.entries(env).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  return [
    'start',
    String(id),
    keepsGroup ? '1' : '0',
    cwd,
    stdoutPath,
    stderrPath,
    recordFolder,
    String(ifLost.length),
    ...ifLost,
    String(argv.length),
    ...argv,
    ...variables,
  ];
}

function messageOf(fields: readonly string[]): Buffer {
  const text = fields.join('\0');
  const bytes = Buffer.byteLength(text);
  const message = Buffer.allocUnsafe(4 + bytes);
  message.writeUInt32BE(bytes);
  message.write(text, 4);
  return message;
}

function replyOf(line: string): StartReply {
  const [kind, id, value] = line.split(' ');
  const number = Number(value);
  switch (kind) {
    case 'started':
      return { id: Number(id), kind, pid: number };
    case 'ended':
      return { id: Number(id), kind, exitCode: number };
    default: {
      const code = getSystemErrorName(-number);
      return { id: Number(id), kind: 'refused', code, message: `The system refused with ${code}.` };
    }
  }
}
