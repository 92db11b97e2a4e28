import http from 'node:http';
import https from 'node:https';
import { BlobServiceClient, newPipeline, StorageSharedKeyCredential } from '@azure/storage-blob';
import type { Connection } from './account';

/** Opens the SDK's client of an account. Its retries are off: ours, in `retry.ts`, take their place. */
export function blobService({ account, storage }: Connection, silenceMs: number): BlobServiceClient {
  const credential =
    storage.kind === 'sharedKey'
      ? new StorageSharedKeyCredential(storage.name, storage.key)
      : storage.credential;
  // The package hands options that it does not name itself on to its pipeline, which knows `agent`.
  const transport = { agent: agentOf(account.blobUrl, silenceMs) };
  const pipeline = newPipeline(credential, { retryOptions: { maxTries: 1 }, ...transport });
  return new BlobServiceClient(account.blobUrl, pipeline);
}

/**
 * Keeps connections, and ends one on which nothing has moved for `silenceMs`: after a machine slept or changed its
 * network, a connection can stay open for hours without a byte, and the SDK waits for it as long.
 */
function agentOf(url: string, silenceMs: number): http.Agent {
  const agent = url.startsWith('https:')
    ? new https.Agent({ keepAlive: true, timeout: silenceMs })
    : new http.Agent({ keepAlive: true, timeout: silenceMs });
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const socket = connect(options, callback);
    socket?.on('timeout', () => socket.destroy(silence(silenceMs)));
    return socket;
  };
  return agent;
}

function silence(silenceMs: number): Error {
  return Object.assign(new Error(`no byte for ${silenceMs / 1000} s`), { code: 'ETIMEDOUT' });
}
