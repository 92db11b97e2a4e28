import { randomUUID } from 'node:crypto';
import pLimit from 'p-limit';
import type { Storage } from '../azure/storage';
import { isStorageCode, type WriteOptions } from '../azure/storageCall';
import { UserError } from '../errors';
import { type Attempt, type Manifest, outputContainerOf } from '../plan/manifest';
import { chunksOf, filesIn, idsIn, type RunFiles, rangesOf } from './fileChunks';
import { isManifestFile, isManifestHead, isRefusedFile } from './manifestShape';

export const manifestBlob = 'manifest.json';

/** The files of a small run are in its manifest: that takes one request less. */
const maxFilesInside = 200;

const requestsAtOnce = 4;

/**
 * The manifest of a large run: its files, which hardly ever change, are in blobs of their own, so that its size does not
 * grow with them.
 */
interface ChunkedManifest extends Omit<Manifest, 'version' | 'files' | 'refused' | 'attempts'> {
  readonly version: 2;
  /** Names of the blobs with the files, in their order. */
  readonly chunks: readonly string[];
  readonly attempts: readonly (Omit<Attempt, 'fileIds'> & { readonly fileIds: readonly string[] })[];
}

/** A manifest as its blob holds it. */
type StoredManifest = (Manifest | ChunkedManifest) & {
  /** Tells which store wrote it. Undefined in manifests of earlier versions. */
  readonly writer?: string;
};

/** How often a write is tried again because an aborted one has taken effect meanwhile. */
const maxOvertaken = 3;

/** Reads and writes the manifest of one run in its output container. One write at a time. */
export class ManifestStore {
  /** A random value: each process that opens the run has a store of its own. */
  readonly #writer = randomUUID();
  /** Of the manifest as it was read or written last. */
  #etag: string | undefined;
  #chunks: readonly string[] = [];
  /** The files that the chunks hold. */
  #written: RunFiles | undefined;

  constructor(
    private readonly storage: Storage,
    private readonly container: string,
  ) {}

  /** Throws `runNotFound`, also for what is not a manifest of the run, and `runNewer` for one of a later version. */
  async read(signal: AbortSignal): Promise<Manifest> {
    const manifest = await this.readHead(signal);
    const whole = manifest.version === 1 ? manifest : await this.#withFiles(manifest, signal);
    if (![whole.files, whole.refused].every(Array.isArray)) throw this.#notFound();
    if (!whole.files.every(isManifestFile) || !whole.refused.every(isRefusedFile)) throw this.#notFound();
    return whole;
  }

  /** Reads all but the files, which may be in blobs of their own. Throws as `read` does. */
  async readHead(signal: AbortSignal): Promise<Manifest | ChunkedManifest> {
    const blob = await this.storage.readText(this.container, manifestBlob, signal);
    if (blob === undefined) throw this.#notFound();
    this.#etag = blob.etag;
    const manifest = withoutWriter(parsed(blob.text));
    if (manifest === undefined) throw this.#notFound();
    if (manifest.version !== 1 && manifest.version !== 2)
      throw new UserError({ kind: 'runNewer', run: this.container });
    if (!isManifestHead(manifest) || !isOf(manifest, this.container)) throw this.#notFound();
    return manifest;
  }

  async #withFiles({ chunks, ...head }: ChunkedManifest, signal: AbortSignal): Promise<Manifest> {
    if (!Array.isArray(chunks)) throw this.#notFound();
    const limit = pLimit(requestsAtOnce);
    const texts = await Promise.all(chunks.map((name) => limit(() => this.#readChunk(name, signal))));
    try {
      const files = filesIn(texts);
      const attempts = head.attempts.map((attempt) => ({ ...attempt, fileIds: idsIn(attempt.fileIds) }));
      this.#chunks = chunks;
      this.#written = files;
      return { ...head, version: 1, ...files, attempts };
    } catch (error) {
      if (error instanceof SyntaxError) throw this.#notFound();
      throw error;
    }
  }

  #notFound(): UserError {
    return new UserError({ kind: 'runNotFound', run: this.container });
  }

  /**
   * Writes the manifest. Files that have changed are written first, under names that no other write uses: a manifest always
   * names complete chunks, whenever the process ends. Throws `runTaken` if another store has written the manifest since this one
   * read or wrote it.
   */
  async write(manifest: Manifest, options: WriteOptions): Promise<void> {
    const { files, refused } = manifest;
    if (files.length + refused.length <= maxFilesInside) return this.#writeText(manifest, options);
    if (this.#written?.files !== files || this.#written.refused !== refused) {
      this.#chunks = await this.#writeChunks({ files, refused }, options.signal);
      this.#written = { files, refused };
    }
    const { files: _files, refused: _refused, ...head } = manifest;
    const attempts = head.attempts.map((attempt) => ({ ...attempt, fileIds: rangesOf(attempt.fileIds) }));
    await this.#writeText({ ...head, version: 2, chunks: this.#chunks, attempts }, options);
  }

  /** Writes on condition of the write before: one that was aborted can reach the service later, and must not undo this one. */
  async #writeText(manifest: Manifest | ChunkedManifest, options: WriteOptions): Promise<void> {
    const { storage, container } = this;
    const stored: StoredManifest = { ...manifest, writer: this.#writer };
    const text = JSON.stringify(stored);
    for (let overtaken = 0; ; overtaken++) {
      const conditions = this.#etag === undefined ? options : { ...options, ifMatch: this.#etag };
      try {
        this.#etag = await storage.writeText(container, manifestBlob, text, conditions);
        return;
      } catch (error) {
        const mayBeOvertaken = this.#etag !== undefined && isStorageCode(error, 'ConditionNotMet');
        if (!mayBeOvertaken || overtaken === maxOvertaken) throw error;
        if (!(await this.isCurrent(options.signal)))
          throw new UserError({ kind: 'runTaken', run: manifest.runId }, { cause: error });
      }
    }
  }

  /**
   * Whether the manifest in the account is the one that this store has read or written last, or one that it has written by
   * an aborted request. Throws `runNotFound`.
   */
  async isCurrent(signal: AbortSignal): Promise<boolean> {
    const blob = await this.storage.readText(this.container, manifestBlob, signal);
    if (blob === undefined) throw this.#notFound();
    if (blob.etag === this.#etag) return true;
    if (parsed(blob.text)?.writer !== this.#writer) return false;
    this.#etag = blob.etag;
    return true;
  }

  async #writeChunks(files: RunFiles, signal: AbortSignal): Promise<string[]> {
    const before = Math.max(0, ...this.#chunks.map((name) => Number(/^files-(\d+)-/.exec(name)?.[1] ?? 0)));
    // A write that was aborted can reach the service later, and must not undo this one.
    const write = randomUUID().slice(0, 8);
    const limit = pLimit(requestsAtOnce);
    return Promise.all(
      chunksOf(files).map((text, index) =>
        limit(async () => {
          const name = `files-${before + 1}-${index + 1}-${write}.jsonl`;
          await this.storage.writeText(this.container, name, text, { signal });
          return name;
        }),
      ),
    );
  }

  async #readChunk(name: string, signal: AbortSignal): Promise<string> {
    const blob = await this.storage.readText(this.container, name, signal);
    if (blob === undefined) throw this.#notFound();
    return blob.text;
  }
}

/** Undefined for a text that is no JSON object. */
function parsed(text: string): StoredManifest | undefined {
  try {
    const manifest = JSON.parse(text) as StoredManifest | null;
    return manifest !== null && typeof manifest === 'object' ? manifest : undefined;
  } catch {
    return undefined;
  }
}

function withoutWriter(stored: StoredManifest | undefined): Manifest | ChunkedManifest | undefined {
  if (stored === undefined) return undefined;
  const { writer: _writer, ...manifest } = stored;
  return manifest as Manifest | ChunkedManifest;
}

/**
 * Whether a manifest is that of the run of this container. Anyone with access to the account can write one, and the
 * containers and jobs that it names are deleted in the end.
 */
function isOf({ runId, outputContainer, attempts }: Manifest | ChunkedManifest, container: string): boolean {
  return (
    container === outputContainerOf(runId) &&
    container === outputContainer &&
    Array.isArray(attempts) &&
    attempts.length > 0 &&
    attempts.every(
      ({ jobId, inputContainer }) =>
        `${jobId}-`.startsWith(`transcode-${runId}-`) && isInputContainerOf(runId, inputContainer),
    )
  );
}

/** Whether a container has the name of an input container of a run: `newAttempt` makes these names. */
export function isInputContainerOf(runId: string, container: string): boolean {
  const first = `transcode-${runId}-input`;
  return (
    container === first ||
    (container.startsWith(`${first}-`) && /^\d+$/.test(container.slice(first.length + 1)))
  );
}

/** Reads how far a run is to go, and whether it has ended. Throws `runNotFound` and `runNewer`. */
export function readManifestHead(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<Pick<Manifest, 'goal' | 'canceled' | 'finished'>> {
  return new ManifestStore(storage, outputContainer).readHead(signal);
}

/** Reads the manifest of a run. Throws `runNotFound` and `runNewer`. */
export function readManifest(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<Manifest> {
  return new ManifestStore(storage, outputContainer).read(signal);
}
