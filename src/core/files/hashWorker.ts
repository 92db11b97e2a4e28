// The program of a hashing thread: dist/hashWorker.js. Data arrives in shared memory, without a copy.
import { parentPort } from 'node:worker_threads';
import { errorCode } from '../errors';
import { FileHash } from './fileHash';
import type { HashOrder, HashReply } from './hashThread';

interface Sequence {
  readonly hash: FileHash;
  /** After it the hash is of no use. */
  failure?: HashReply['failure'];
}

const sequences = new Map<number, Sequence>();

parentPort?.on('message', (order: HashOrder) => {
  const { sequence: name, ends, to } = order;
  const sequence: Sequence = (name === undefined ? undefined : sequences.get(name)) ?? {
    hash: new FileHash(),
  };
  const isLast = ends || name === undefined;
  if (name !== undefined) {
    if (ends) sequences.delete(name);
    else sequences.set(name, sequence);
  }
  // What follows the data in the file is hashed after the reply, which lets the memory of the data be used again.
  attempt(sequence, () => take(sequence.hash, order));
  if (!isLast) reply(order, sequence);
  if (to) attempt(sequence, () => sequence.hash.catchUp(to.fd));
  if (isLast) reply(order, sequence, sequence.hash.digest());
});

function take(hash: FileHash, { data, to }: HashOrder): void {
  if (to) hash.write(data, to);
  else hash.update(data);
}

function attempt(sequence: Sequence, step: () => void): void {
  if (sequence.failure) return;
  try {
    step();
  } catch (error) {
    const { message } = error as Error;
    sequence.failure = { code: errorCode(error) ?? '', message };
  }
}

/** A failure is that of an order to write: a hash that is only ended has none. */
function reply({ id, to }: HashOrder, sequence: Sequence, digest?: Uint8Array): void {
  const failure = to && sequence.failure;
  parentPort?.postMessage({ id, digest, failure } satisfies HashReply);
}
