import {
  Disposable,
  EventEmitter,
  type FileChangeEvent,
  type FileStat,
  FileSystemError,
  type FileSystemProvider,
  type FileType,
  type Uri,
} from 'vscode';
import { UserError } from '../../core/errors';
import { sentenceOf } from '../words/sentences';

/** Does what reads a file. A problem becomes an error of VS Code's file systems, whose message the editor shows. */
export async function orFileError<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UserError) throw FileSystemError.Unavailable(sentenceOf(error.problem).text);
    throw error;
  }
}

/**
 * A file system that knows files by their URIs and has no folders: nothing in it can be listed, created, renamed or deleted.
 * Its files are read-only unless a subclass writes them.
 */
export abstract class FlatFileSystem implements FileSystemProvider, Disposable {
  protected readonly changed = new EventEmitter<FileChangeEvent[]>();
  readonly onDidChangeFile = this.changed.event;

  abstract stat(uri: Uri): Promise<FileStat>;

  abstract readFile(uri: Uri): Promise<Uint8Array>;

  writeFile(uri: Uri, _content: Uint8Array): void {
    throw FileSystemError.NoPermissions(uri);
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
    this.changed.dispose();
  }
}
