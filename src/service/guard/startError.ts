/** The service cannot start. The message is for the user: what is wrong, with the path, and what to do about it. */
export class StartError extends Error {
  /** Whether a reset, which deletes the data, can help. */
  readonly canReset: boolean;

  constructor(message: string, { canReset = false, ...options }: ErrorOptions & { canReset?: boolean } = {}) {
    super(message, options);
    this.canReset = canReset;
  }
}

/** What a client gets on stdout, as one line of JSON, when the service does not start. */
export interface FailedStart {
  readonly ready: false;
  /** What is wrong, and what to do about it. */
  readonly reason: string;
  readonly canReset: boolean;
}

export function failedStart(error: unknown): FailedStart {
  const reason = error instanceof Error ? error.message : String(error);
  return { ready: false, reason, canReset: error instanceof StartError && error.canReset };
}

/** Turns an error of the file system into a StartError that names the path and what to do. */
export function unusable(path: string, error: unknown): StartError {
  const { code = '' } = error as { code?: string };
  const sentences: Record<string, string> = {
    EISDIR: `${path} is a folder, but a file is expected there. Move the folder away, then start the service again.`,
    ENOTDIR: `${path} is a file, but a folder is expected there. Move the file away, then start the service again.`,
    EEXIST: `${path} is a file, but a folder is expected there. Move the file away, then start the service again.`,
    EACCES: `${path} cannot be opened: permission denied. Give yourself read and write access, then start the service again.`,
    EPERM: `${path} cannot be opened: permission denied. Give yourself read and write access, then start the service again.`,
    EROFS: `${path} cannot be written: the file system is read-only. Use another data folder, or mount it writable.`,
    ENOSPC: `${path} cannot be written: the disk is full. Free some space, then start the service again.`,
    EDQUOT: `${path} cannot be written: the disk quota is reached. Free some space, then start the service again.`,
  };
  const sentence =
    sentences[code] ?? `${path} cannot be used: ${error instanceof Error ? error.message : error}.`;
  return new StartError(sentence, { cause: error });
}
