/** A position in a file that this process has open. */
export interface FilePosition {
  /** The file descriptor, which must stay open until the order is done. */
  readonly fd: number;
  readonly position: number;
}

/** The MD5 of data that arrives in parts. */
export interface RunningHash {
  /** Continues with data in shared memory, which must not change until the promise resolves. */
  update(data: Uint8Array): Promise<void>;
  /**
   * Writes the data to a file and hashes the file in its order: data after a gap is read from the file when the gap has been
   * filled. The positions count from the same beginning as the hash. Undefined for a hash without a thread. Rejects with the
   * error of the system, after which the hash is of no use.
   */
  readonly updateAndWrite?: (data: Uint8Array, to: FilePosition) => Promise<void>;
  /** Returns the MD5 of all data and ends the hash. */
  digest(): Promise<Uint8Array>;
  /** Ends a hash whose result is not needed. Does nothing after `digest`. */
  drop(): Promise<void>;
}
