import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import type { Registry } from '../containerTask';

export const defaultServer = 'docker.io';

/**
 * The passwords of container registries, by server and user name, in a file of the data folder that only its owner can
 * read. Resources, the journal and the log hold none.
 */
export class Registries {
  readonly #passwords: Map<string, string>;

  constructor(private readonly path: string) {
    this.#passwords = new Map(Object.entries(stored(path)));
  }

  /** Keeps a password for the pulls to come. The newest of a user at a server counts. */
  keep({ registryServer, username }: Registry, password: string): void {
    if (username === undefined) return;
    const key = keyOf({ registryServer, username });
    if (this.#passwords.get(key) === password) return;
    this.#passwords.set(key, password);
    const next = `${this.path}.${randomUUID()}`;
    writeFileSync(next, JSON.stringify(Object.fromEntries(this.#passwords)), { mode: 0o600 });
    renameSync(next, this.path);
  }

  /** Whether a password is known for one of some registries. */
  knows(registries: readonly Registry[]): boolean {
    return registries.some((registry) => this.#passwords.has(keyOf(registry)));
  }

  /** Writes the logins of some registries in the format that Docker and Podman read. */
  async write(path: string, registries: readonly Registry[], nameOfDefault: string): Promise<void> {
    const auths = Object.fromEntries(
      registries.flatMap((registry) => {
        const password = this.#passwords.get(keyOf(registry));
        if (password === undefined) return [];
        const auth = Buffer.from(`${registry.username}:${password}`).toString('base64');
        const server = serverOf(registry);
        return [[server === defaultServer ? nameOfDefault : server, { auth }]];
      }),
    );
    await writeFile(path, JSON.stringify({ auths }), { mode: 0o600 });
  }
}

function stored(path: string): Record<string, string> {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  } catch {
    return {};
  }
}

function serverOf({ registryServer = defaultServer }: Registry): string {
  return registryServer.replace(/^https?:\/\//, '').replace(/\/+$/, '');
}

function keyOf(registry: Registry): string {
  return `${serverOf(registry).toLowerCase()} ${registry.username ?? ''}`;
}
