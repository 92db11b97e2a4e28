import { readFileSync, writeFileSync } from 'node:fs';
import { StartError } from './guard/startError';

type Kind = 'batch' | 'blob';

/**
 * The ports of the last time: tasks that waited through a restart hold URLs with them. Where the system chooses, they are
 * tried first, and given up if they are in use. A file that cannot be read is ignored.
 */
export class Ports {
  readonly #last: Partial<Record<Kind, number>>;

  constructor(
    private readonly path: string,
    private readonly notice: (sentence: string) => void,
  ) {
    this.#last = portsIn(path);
  }

  /** Throws a StartError if the port that is wanted is not free; 0 stands for any. */
  async take<T>(kind: Kind, wanted: number, start: (port: number) => Promise<T>): Promise<T> {
    if (wanted !== 0) {
      return start(wanted).catch((error) => {
        throw portProblem(kind, wanted, error);
      });
    }
    const last = this.#last[kind];
    if (last === undefined) return start(0);
    try {
      return await start(last);
    } catch (error) {
      // A fault of the data folder doesn't depend on the port.
      if (error instanceof StartError) throw error;
      const started = await start(0);
      if (isInUse(error)) {
        this.notice(
          `Another program uses port ${last}, so ${names[kind]} has another port now. Tasks that were added before and need the old port fail; retry them.`,
        );
      }
      return started;
    }
  }

  /** Keeps ports for the next time. Without room on the disk the next start chooses new ones. */
  keep(ports: Record<Kind, number>): void {
    if (ports.batch === this.#last.batch && ports.blob === this.#last.blob) return;
    try {
      writeFileSync(this.path, JSON.stringify(ports), { mode: 0o600 });
    } catch (error) {
      this.notice(`${this.path} could not be written: ${error instanceof Error ? error.message : error}`);
    }
  }
}

const flags: Readonly<Record<Kind, string>> = { batch: '--port', blob: '--blob-port' };

const names: Readonly<Record<Kind, string>> = { batch: 'the local Batch service', blob: 'Blob Storage' };

/** Azurite's process tells the reason as text only. */
function isInUse(error: unknown): boolean {
  return String(error).includes('listen EADDRINUSE');
}

function portProblem(kind: Kind, wanted: number, error: unknown): unknown {
  const text = String(error);
  if (isInUse(error)) {
    return new StartError(
      `Port ${wanted} on 127.0.0.1 is in use. End the program that uses it, or choose another port with ${flags[kind]}.`,
      { cause: error },
    );
  }
  if (text.includes('listen EACCES')) {
    return new StartError(
      `Port ${wanted} on 127.0.0.1 requires administrator rights. Choose a port from 1024 on with ${flags[kind]}.`,
      { cause: error },
    );
  }
  return error;
}

function portsIn(path: string): Partial<Record<Kind, number>> {
  try {
    const { batch, blob } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Record<Kind, unknown>>;
    return { batch: port(batch), blob: port(blob) };
  } catch {
    return {};
  }
}

function port(value: unknown): number | undefined {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) < 65_536 ? Number(value) : undefined;
}
