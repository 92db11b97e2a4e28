// The program of a hashing thread: dist/hashWorker.js. Data arrives in shared memory, without a copy.
import { createHash, type Hash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { errorCode } from '../errors';
import type { HashOrder, HashReply } from './hashThread';
import type { FilePosition } from './runningHash';
import { writeBytes } from './writeBytes';

interface Sequence {
  readonly hash: Hash;
  /** After it nothing more is written, so that a file has no gap. */
  failure?: HashReply['failure'];
}

const sequences = new Map<number, Sequence>();

parentPort?.on('message', ({ id, sequence: name, data, ends, to }: HashOrder) => {
  const sequence: Sequence = (name === undefined ? undefined : sequences.get(name)) ?? {
    hash: createHash('md5'),
  };
  const { hash } = sequence;
  if (to) sequence.failure ??= writeAndHash(hash, data, to);
  else hash.update(data);
  if (name !== undefined) {
    if (ends) sequences.delete(name);
    else sequences.set(name, sequence);
  }
  const digest = ends || name === undefined ? hash.digest() : undefined;
  const failure = to && sequence.failure;
  parentPort?.postMessage({ id, digest, failure } satisfies HashReply);
});

/** Writes and hashes in short turns, so that the second finds the data in the processor's cache. */
function writeAndHash(hash: Hash, data: Uint8Array, { fd, position }: FilePosition): HashReply['failure'] {
  try {
    for (let done = 0; done < data.length; ) {
      // On a disk that is nearly full one write can be short without an error.
      const written = writeSync(fd, data, done, Math.min(writeBytes, data.length - done), position + done);
      hash.update(data.subarray(done, done + written));
      done += written;
    }
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    return { code: errorCode(error) ?? '', message };
  }
}
