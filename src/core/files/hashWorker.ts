// The program of a hashing thread: dist/hashWorker.js. Data arrives in shared memory, without a copy.
import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import type { HashOrder, HashReply } from './hashThread';

const running = new Map<number, Hash>();

parentPort?.on('message', ({ id, sequence, data, ends }: HashOrder) => {
  let digest: Uint8Array | undefined;
  if (sequence === undefined) {
    digest = createHash('md5').update(data).digest();
  } else {
    const hash = running.get(sequence) ?? createHash('md5');
    hash.update(data);
    if (ends) {
      digest = hash.digest();
      running.delete(sequence);
    } else {
      running.set(sequence, hash);
    }
  }
  parentPort?.postMessage({ id, digest } satisfies HashReply);
});
