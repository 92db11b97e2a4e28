import {
  Disposable,
  type Event,
  EventEmitter,
  type FileChangeEvent,
  type FileStat,
  FileSystemError,
  type FileSystemProvider,
  type FileType,
  type Uri,
} from 'vscode';
import { UserError } from '../../core/errors';
import type { Lazy } from './lazy';

/** Files that are known by their URIs. They are read-only where `writeFile` is missing. */
interface Files {
  readonly onDidChangeFile?: Event<FileChangeEvent[]>;
  stat(uri: Uri): Promise<FileStat>;
  readFile(uri: Uri): Promise<Uint8Array>;
  writeFile?(uri: Uri, content: Uint8Array): void;
}

/**
 * A file system without folders: nothing in it can be listed, created, renamed or deleted. What reads its files is loaded when
 * VS Code first asks for one. A problem becomes an error of VS Code's file systems, whose message the editor shows.
 */
export class LazyFiles implements FileSystemProvider, Disposable {
  readonly #changed = new EventEmitter<FileChangeEvent[]>();
  readonly onDidChangeFile = this.#changed.event;
  #listening: Disposable | undefined;

  constructor(private readonly files: Lazy<Files>) {}

  stat(uri: Uri): Promise<FileStat> {
    return this.#do((files) => files.stat(uri));
  }

  readFile(uri: Uri): Promise<Uint8Array> {
    return this.#do((files) => files.readFile(uri));
  }

  writeFile(uri: Uri, content: Uint8Array): Promise<void> {
    return this.#do(async (files) => {
      if (files.writeFile === undefined) throw FileSystemError.NoPermissions(uri);
      files.writeFile(uri, content);
    });
  }

  watch(): Disposable {
    return new Disposable(() => undefined);
  }

  readDirectory(): [string, FileType][] {
    return [];
  }

  createDirectory(uri: Uri): never {
    throw FileSystemError.NoPermissions(uri);
  }

  delete(uri: Uri): never {
    throw FileSystemError.NoPermissions(uri);
  }

  rename(uri: Uri): never {
    throw FileSystemError.NoPermissions(uri);
  }

  dispose(): void {
    this.#listening?.dispose();
    this.#changed.dispose();
  }

  async #do<T>(work: (files: Files) => Promise<T>): Promise<T> {
    try {
      const files = await this.files.get();
      this.#listening ??= files.onDidChangeFile?.((changes) => this.#changed.fire(changes));
      return await work(files);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const { sentenceOf } = await import('../words/sentences');
      throw FileSystemError.Unavailable(sentenceOf(error.problem).text);
    }
  }
}
