import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

/** A self-signed certificate for 127.0.0.1 and for the Azure names of the stand-in. */
export const certificate = resolve('test/certificate/cert.pem');
export const certificateKey = resolve('test/certificate/key.pem');

export interface TokenStorage {
  readonly port: number;
  close(): Promise<void>;
}

/** Azurite over TLS, which accepts the key and bearer tokens. It does not verify the signatures of tokens. */
export async function startTokenStorage(location: string, name: string, key: string): Promise<TokenStorage> {
  const place = ['--blobHost', '127.0.0.1', '--blobPort', '0', '--location', location];
  const trust = ['--oauth', 'basic', '--cert', certificate, '--key', certificateKey];
  const quiet = ['--skipApiVersionCheck', '--disableTelemetry', '--silent'];
  const child = spawn(
    process.execPath,
    [resolve('node_modules/azurite/dist/src/blob/main.js'), ...place, ...trust, ...quiet],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, AZURITE_ACCOUNTS: `${name}:${key}` },
    },
  );
  const port = await new Promise<number>((done, fail) => {
    child.once('exit', (code) => fail(new Error(`Azurite ended with ${code}.`)));
    createInterface(child.stdout).on('line', (line) => {
      const match = /listens on https:\/\/127\.0\.0\.1:(\d+)/i.exec(line);
      if (match?.[1]) done(Number(match[1]));
    });
  });
  return {
    port,
    async close() {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}
