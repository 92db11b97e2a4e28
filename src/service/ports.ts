import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * The ports of the last life: tasks that waited through a restart hold URLs with them. Where the system chooses, they
 * are tried first, and given up when somebody else has them.
 */
export class Ports {
  readonly #last: Partial<Record<'batch' | 'blob', number>>;

  constructor(private readonly path: string) {
    this.#last = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  }

  async take<T>(which: 'batch' | 'blob', wanted: number, start: (port: number) => Promise<T>): Promise<T> {
    const last = this.#last[which];
    if (wanted !== 0 || last === undefined) return start(wanted);
    try {
      return await start(last);
    } catch {
      return start(0);
    }
  }

  keep(ports: Record<'batch' | 'blob', number>): void {
    writeFileSync(this.path, JSON.stringify(ports), { mode: 0o600 });
  }
}
