import { appendFileSync, existsSync, renameSync, statSync, writeFileSync } from 'node:fs';
import type { Log } from './guard/log';

const maxBytes = 4 * 1024 * 1024;

/**
 * A log of one line for each event, with its time. When the file reaches 4 MB it becomes `PATH.old`. With `echo`, lines go to
 * stderr too. A line that cannot be written, for example because the disk is full, is dropped: logging never fails what is
 * logged.
 */
export function logTo(path: string, { echo }: { readonly echo: boolean }): Log {
  let size = existsSync(path) ? statSync(path).size : 0;
  return (line) => {
    const text = `${new Date().toISOString()} ${line}\n`;
    if (echo) process.stderr.write(text);
    try {
      if (size > maxBytes) {
        renameSync(path, `${path}.old`);
        writeFileSync(path, '', { mode: 0o600 });
        size = 0;
      }
      appendFileSync(path, text, { mode: 0o600 });
      size += Buffer.byteLength(text);
    } catch {
      // This error cannot be reported anywhere.
    }
  };
}
