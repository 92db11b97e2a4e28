import { constants } from 'node:fs';

const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;

/** A retried task may have put a link or a pipe in the place of its output: neither is followed or waited for. */
export const outputFlags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK;

/** What is to be started, and where it writes. */
export interface StartOrder {
  readonly id: number;
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly stdoutPath: string;
  readonly stderrPath: string;
  /** Folder where the process is recorded while it runs, so that the next life of the service finds it. */
  readonly recordFolder: string;
  /** A command that ends what the program's end leaves running; run if the service dies first. */
  readonly ifLost?: readonly string[];
  /** What the program leaves running in its process group stays after its end, until an `EndOrder`. */
  readonly keepsGroup?: boolean;
}

/** Ends what a program with `keepsGroup` has left running. */
export interface EndOrder {
  readonly endGroup: number;
}

/** `ended` comes after `started`; `refused` instead of both. */
export type StartReply =
  | { readonly id: number; readonly kind: 'started'; readonly pid: number }
  | { readonly id: number; readonly kind: 'refused'; readonly code?: string; readonly message: string }
  /** The exit code is 128 and the number of the signal if one ended the program. */
  | { readonly id: number; readonly kind: 'ended'; readonly exitCode: number };
