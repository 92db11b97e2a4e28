import { readdirSync, statSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathInside } from '../../guard/dataFolder';
import type { Wire } from '../../wire/wire';
import { failure } from '../taskFailure';
import { UnzipError, unzip } from './unzip';

export interface PackageReference {
  readonly applicationId: string;
  readonly version?: string;
}

export interface Application {
  readonly id: string;
  readonly versions: readonly string[];
}

interface Package {
  readonly id: string;
  readonly version: string;
  /** Path of its archive. */
  readonly archive: string;
}

const namePattern = /^[\w.-]{1,64}$/;

/**
 * The application packages of the account: a folder with `APPLICATION/VERSION.zip`. It is read whenever a package is
 * asked for, so that files can be added while the service runs.
 */
export class ApplicationPackages {
  /** Packages that are being unpacked, by the folder that they become. */
  readonly #unpacking = new Map<string, Promise<void>>();

  constructor(private readonly folder: string) {}

  /** All applications with their versions, ordered by id. */
  list(): Application[] {
    return namesIn(this.folder)
      .map((id) => ({ id, versions: this.#versions(id).map(({ version }) => version) }))
      .filter(({ versions }) => versions.length > 0)
      .sort((one, other) => (one.id < other.id ? -1 : 1));
  }

  /** Finds a package without regard to case. Without a version, the one whose archive changed last is meant. */
  find({ applicationId, version }: PackageReference): Package | undefined {
    const same = (one: string, other: string) => one.toLowerCase() === other.toLowerCase();
    const id = namesIn(this.folder).find((name) => same(name, applicationId));
    if (id === undefined) return undefined;
    const versions = this.#versions(id);
    if (version !== undefined) return versions.find((one) => same(one.version, version));
    const newest = (one: Package, other: Package) => changed(other) - changed(one);
    return [...versions].sort(newest)[0];
  }

  /**
   * Unpacks the packages that a node does not have yet, and returns the environment variables that name their folders.
   * Throws a TaskFailure.
   * https://learn.microsoft.com/azure/batch/batch-application-packages#execute-the-installed-applications
   */
  async deploy(root: string, references: readonly PackageReference[], signal: AbortSignal): Promise<Wire[]> {
    const settings: Wire[] = [];
    for (const reference of references) {
      const found = this.find(reference);
      if (found === undefined) throw packageFailure(reference, 'The application package does not exist.');
      const target = pathInside(root, 'applications', found.id, found.version);
      await this.#unpack(found, target, signal);
      settings.push({ name: variableOf(reference, found), value: target });
    }
    return settings;
  }

  async #unpack({ id, version, archive }: Package, target: string, signal: AbortSignal): Promise<void> {
    if (await isThere(target)) return;
    let unpacking = this.#unpacking.get(target);
    if (unpacking === undefined) {
      unpacking = mkdir(dirname(target), { recursive: true })
        .then(() => unzip(archive, target, signal))
        .finally(() => this.#unpacking.delete(target));
      this.#unpacking.set(target, unpacking);
    }
    try {
      await unpacking;
    } catch (error) {
      if (error instanceof UnzipError) throw packageFailure({ applicationId: id, version }, error.message);
      throw error;
    }
  }

  #versions(id: string): Package[] {
    const folder = pathInside(this.folder, id);
    return namesIn(folder)
      .filter((name) => /\.zip$/i.test(name))
      .map((name) => ({ id, version: name.slice(0, -4), archive: join(folder, name) }));
  }
}

/** Names that are ids or versions; anything else in the folder is left alone. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => namePattern.test(name) && !name.startsWith('.'));
  } catch {
    return [];
  }
}

function changed({ archive }: Package): number {
  return statSync(archive, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** `AZ_BATCH_APP_PACKAGE_app_1_0` on Linux, `AZ_BATCH_APP_PACKAGE_app#1.0` on Windows; without a version if none was given. */
function variableOf({ version }: PackageReference, found: Package): string {
  const name = version === undefined ? found.id : `${found.id}#${found.version}`;
  return `AZ_BATCH_APP_PACKAGE_${process.platform === 'win32' ? name : name.replace(/[#.-]/g, '_')}`;
}

function packageFailure({ applicationId, version }: PackageReference, reason: string) {
  return failure('UserError', 'ApplicationPackageError', 'An application package could not be deployed', {
    ApplicationId: applicationId,
    ...(version === undefined ? {} : { Version: version }),
    Message: reason,
  });
}
