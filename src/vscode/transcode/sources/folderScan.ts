import { posix, sep } from 'node:path';
import picomatch from 'picomatch';
import { FileSystemError, FileType, type Uri, workspace } from 'vscode';
import { isPartName } from '../../../core/files/files';
import { settings } from '../../settings';
import { problemOf, realPathOf } from '../../workspaceFiles';
import { ambiguousExtensions, extensionOf, mediaExtensions } from './mediaExtensions';
import { isTransportStreamFile } from './transportStreams';

/** Folders that are left out whatever `files.exclude` says. */
const ignoredFolders = new Set(['.git', 'node_modules']);

export interface ScanOptions {
  /** Whether a file, or all of a folder, is the output of an earlier run. */
  readonly isOutput: (uri: Uri) => boolean;
  /** Called with the number of media files so far. */
  readonly onFound: (count: number) => void;
  readonly signal: AbortSignal;
}

export interface FolderScan {
  /** Media files, each once, whatever links lead to it. */
  readonly files: readonly Uri[];
  /** Files and folders that `files.exclude` and the fixed rules leave out. */
  readonly excluded: number;
  /** Outputs of earlier runs, which are no sources. */
  readonly outputs: number;
  /** Subfolders that can't be listed: access is denied, or they were deleted meanwhile. */
  readonly unreadable: number;
}

/**
 * The media files in a folder and its subfolders. Follows links, but not out of the workspace, and enters each folder
 * once. Throws an AbortError when `signal` aborts, and a `UserError` if the folder itself can't be listed.
 */
export async function scanFolder(folder: Uri, options: ScanOptions): Promise<FolderScan> {
  const scan = new Scan(options, await rootsOf(folder));
  try {
    await scan.enter(folder);
  } catch (error) {
    throw error instanceof FileSystemError ? problemOf(error, folder.toString()) : error;
  }
  const { files, excluded, outputs, unreadable } = scan;
  return { files: [...files.values()], excluded, outputs, unreadable };
}

class Scan {
  /** By its real path, or by its URI in a virtual workspace. */
  readonly files = new Map<string, Uri>();
  excluded = 0;
  outputs = 0;
  unreadable = 0;
  readonly #entered = new Set<string>();
  readonly #extensions = new Set([
    ...mediaExtensions,
    ...settings().extensions.map((one) => one.toLowerCase()),
  ]);

  constructor(
    private readonly options: ScanOptions,
    private readonly roots: readonly string[],
  ) {}

  async enter(folder: Uri): Promise<void> {
    const place = await realPathOf(folder);
    if (place === undefined || this.#entered.has(place) || !this.#isInside(place)) return;
    this.#entered.add(place);
    const entries = await workspace.fs.readDirectory(folder);
    const names = new Set(entries.map(([name]) => name));
    const isExcluded = exclusionsOf(folder);
    const base = folder.path.endsWith('/') ? folder.path : `${folder.path}/`;
    for (const [name, type] of entries) {
      this.options.signal.throwIfAborted();
      const isFolder = (type & FileType.Directory) !== 0;
      const isMedia = !isFolder && (type & FileType.File) !== 0 && this.#extensions.has(extensionOf(name));
      // A folder may hold ten thousands of other files.
      if (!isFolder && !isMedia) continue;
      // Much cheaper than joinPath, which normalizes paths: a folder may hold thousands of media files.
      const uri = folder.with({ path: `${base}${name}` });
      const isLink = (type & FileType.SymbolicLink) !== 0;
      if (isMedia) await this.#take(uri, name, isLink ? undefined : place, isExcluded(name, names));
      else if (ignoredFolders.has(name) || isPartName(name) || isExcluded(name, names)) this.excluded++;
      else if (this.options.isOutput(uri)) this.outputs++;
      else await this.#enterSubfolder(uri);
    }
  }

  async #enterSubfolder(folder: Uri): Promise<void> {
    try {
      await this.enter(folder);
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      this.unreadable++;
    }
  }

  /** `folderPlace` is the place of the file's folder; undefined for a link, which may lead anywhere. */
  async #take(uri: Uri, name: string, folderPlace: string | undefined, isExcluded: boolean): Promise<void> {
    // `._clip.mp4` holds what macOS knows of clip.mp4 on disks that cannot: https://www.rfc-editor.org/rfc/rfc1740
    if (name.startsWith('._') || isExcluded) {
      this.excluded++;
      return;
    }
    if (this.options.isOutput(uri)) {
      this.outputs++;
      return;
    }
    if (ambiguousExtensions.includes(extensionOf(name)) && !(await isTransportStreamFile(uri))) return;
    const place = folderPlace === undefined ? await realPathOf(uri) : placeIn(folderPlace, uri, name);
    if (place === undefined || !this.#isInside(place)) return;
    const isPlain = place === uri.fsPath;
    if (this.files.has(place) && !isPlain) return;
    this.files.set(place, uri);
    this.options.onFound(this.files.size);
  }

  #isInside(place: string): boolean {
    return this.roots.some(
      (root) => place === root || place.startsWith(root.endsWith(sep) ? root : root + sep),
    );
  }
}

/** The real paths that a scan stays in: the folders of the workspace, and the folder that was chosen. */
async function rootsOf(folder: Uri): Promise<string[]> {
  const folders = [folder, ...(workspace.workspaceFolders ?? []).map(({ uri }) => uri)];
  const roots = await Promise.all(folders.filter(({ scheme }) => scheme === folder.scheme).map(realPathOf));
  return roots.filter((root) => root !== undefined);
}

/** The place of a file that is no link, in a folder whose place is known. */
function placeIn(folderPlace: string, uri: Uri, name: string): string {
  if (uri.scheme !== 'file') return uri.toString();
  return folderPlace.endsWith(sep) ? folderPlace + name : folderPlace + sep + name;
}

/**
 * What the setting `files.exclude` hides in a folder. A glob counts if it is true, or if it has a condition on a file
 * beside it: https://code.visualstudio.com/docs/configure/settings#_conditional-excludes
 */
function exclusionsOf(folder: Uri): (name: string, siblings: ReadonlySet<string>) => boolean {
  const globs = workspace
    .getConfiguration('files', folder)
    .get<Record<string, boolean | { when?: string }>>('exclude', {});
  const rules = Object.entries(globs).flatMap(([glob, value]) => {
    if (value === false) return [];
    return [
      {
        glob,
        pattern: picomatch.makeRe(glob, { dot: true }),
        when: typeof value === 'object' ? value.when : undefined,
      },
    ];
  });
  const inWorkspace = workspace.getWorkspaceFolder(folder) ? workspace.asRelativePath(folder, false) : '';
  const isRoot = workspace.workspaceFolders?.some(({ uri }) => uri.toString() === folder.toString());
  const base = isRoot ? '' : inWorkspace;
  return (name, siblings) => {
    const path = posix.join(base, name);
    return rules.some(({ glob, pattern, when }) => {
      if (path !== glob && !pattern.test(path)) return false;
      return when === undefined || siblings.has(when.replace('$(basename)', posix.parse(name).name));
    });
  };
}
