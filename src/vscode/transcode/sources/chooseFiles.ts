import { basename } from 'node:path';
import pLimit from 'p-limit';
import { FileType, l10n, ThemeIcon, type Uri, window, workspace } from 'vscode';
import { UserError } from '../../../core/errors';
import type { Until } from '../../../core/plan/manifest';
import { longWork } from '../../longWork';
import { settings } from '../../settings';
import { count, filesOf } from '../../words/numbers';
import { leftOutWords } from '../../words/problemWords';
import { problemOf } from '../../workspaceFiles';
import type { FolderScan } from './folderScan';
import { mediaExtensions } from './mediaExtensions';

/** A file that the user chose. */
export interface ChosenFile {
  readonly uri: Uri;
  /** The path in its workspace folder, with slashes. */
  readonly path: string;
}

/** As the Explorer sorts: `clip 2` before `clip 10`. */
const byPath = new Intl.Collator(undefined, { numeric: true });

/** The number of files that were found is shown at most this often, in milliseconds. */
const showEveryMs = 100;

/** Files that are looked up at once. */
const statsAtOnce = 32;

/**
 * The files that a command is about: those it was called with, and the media files in folders, each once. Shows a file
 * dialog if it was called with none. Undefined if the user canceled. `isOutput` tells the outputs of earlier runs, which
 * a folder does not offer; `until` is how far the command goes.
 */
export async function chooseFiles(
  clicked: Uri | undefined,
  selected: readonly Uri[] | undefined,
  isOutput: (uri: string) => boolean,
  until: Until,
): Promise<ChosenFile[] | undefined> {
  const uris = selected?.length ? selected : clicked ? [clicked] : await pickFiles();
  if (uris === undefined) return undefined;
  const folders: Uri[] = [];
  const found = new Map<string, Uri>();
  const types = await longWork(l10n.t('Looking for media files'), (_, signal) => typesOf(uris, signal));
  for (const [index, uri] of uris.entries()) {
    if ((types[index] ?? FileType.Unknown) & FileType.Directory) folders.push(uri);
    else found.set(uri.toString(), uri);
  }
  const selectedFiles = found.size;
  const [folder] = folders;
  const scans = folder ? await scanAll(folders, isOutput) : [];
  for (const file of scans.flatMap(({ files }) => files)) found.set(file.toString(), file);
  const files = withPaths(found.values()).sort((one, other) => byPath.compare(one.path, other.path));
  if (files.length === 0) {
    throw new UserError(
      folder
        ? { kind: 'noMedia', folder: workspace.asRelativePath(folder), ...leftOut(scans) }
        : { kind: 'nothingChosen' },
    );
  }
  if (folder && !(await confirmCount({ folders, scans, selectedFiles, files: files.length }, until)))
    return undefined;
  return files;
}

/**
 * Files with their paths. All files of a folder have the same path before their names, which takes VS Code several kilobytes
 * of memory to find out.
 */
function withPaths(uris: Iterable<Uri>): ChosenFile[] {
  const prefixes = new Map<string, string>();
  return Array.from(uris, (uri) => {
    const text = uri.toString();
    const folder = text.slice(0, text.lastIndexOf('/'));
    const name = uri.path.slice(uri.path.lastIndexOf('/') + 1);
    const known = prefixes.get(folder);
    if (known !== undefined) return { uri, path: known + name };
    const path = workspace.asRelativePath(uri);
    if (path.endsWith(name)) prefixes.set(folder, path.slice(0, path.length - name.length));
    return { uri, path };
  });
}

function typesOf(uris: readonly Uri[], signal: AbortSignal): Promise<FileType[]> {
  const limit = pLimit(statsAtOnce);
  const typeUnlessCanceled = async (uri: Uri) => {
    signal.throwIfAborted();
    return typeOf(uri);
  };
  return Promise.all(uris.map((uri) => limit(() => typeUnlessCanceled(uri))));
}

async function typeOf(uri: Uri): Promise<FileType> {
  try {
    return (await workspace.fs.stat(uri)).type;
  } catch (error) {
    throw problemOf(error, uri.toString());
  }
}

async function pickFiles(): Promise<Uri[] | undefined> {
  return window.showOpenDialog({
    canSelectMany: true,
    openLabel: l10n.t('Transcode'),
    title: l10n.t('Choose Files to Transcode'),
    filters: {
      [l10n.t('Media files')]: [...mediaExtensions, ...settings().extensions],
      [l10n.t('All files')]: ['*'],
    },
    defaultUri: workspace.workspaceFolders?.[0]?.uri,
  });
}

async function scanAll(folders: readonly Uri[], isOutput: (uri: string) => boolean): Promise<FolderScan[]> {
  const { scanFolder } = await import('./folderScan');
  return longWork(l10n.t('Looking for media files'), async (progress, signal) => {
    const scans: FolderScan[] = [];
    let shownAt = 0;
    for (const folder of folders) {
      const before = scans.reduce((sum, { files }) => sum + files.length, 0);
      const onFound = (files: number) => {
        if (Date.now() - shownAt < showEveryMs) return;
        shownAt = Date.now();
        progress.report({ message: filesOf(before + files) });
      };
      scans.push(await scanFolder(folder, { isOutput: (uri) => isOutput(uri.toString()), onFound, signal }));
    }
    return scans;
  });
}

/** Folders that a title names. */
const maxNames = 3;

interface Found {
  readonly folders: readonly Uri[];
  readonly scans: readonly FolderScan[];
  /** Files that were selected themselves. */
  readonly selectedFiles: number;
  /** All files, each once. */
  readonly files: number;
}

/** Shows how many files the folders hold, and what was left out, before anything is done with them. */
async function confirmCount({ folders, scans, selectedFiles, files }: Found, until: Until): Promise<boolean> {
  const named = folders.slice(0, maxNames).map(nameOf);
  const names = [...named, ...(folders.length > maxNames ? ['…'] : [])].join(', ');
  const inFolders = filesOf(files - selectedFiles);
  const answer = await window.showQuickPick(
    [
      {
        iconPath: new ThemeIcon('files'),
        label: actionTitle(until, files),
        detail: leftOutWords(leftOut(scans)),
      },
    ],
    {
      title:
        selectedFiles > 0
          ? l10n.t('Selected: {0}. In {1} and subfolders: {2}', filesOf(selectedFiles), names, inFolders)
          : l10n.t('In {0} and subfolders: {1}', names, inFolders),
      placeHolder: l10n.t('Press Enter to continue'),
    },
  );
  return answer !== undefined;
}

/** A virtual workspace can have a root without a name. */
function nameOf(folder: Uri): string {
  return basename(folder.path) || (workspace.getWorkspaceFolder(folder)?.name ?? folder.toString(true));
}

/** How many files and folders all scans together left out. */
function leftOut(scans: readonly FolderScan[]): Pick<FolderScan, 'outputs' | 'excluded' | 'unreadable'> {
  const sum = (of: (scan: FolderScan) => number) => scans.reduce((total, scan) => total + of(scan), 0);
  return {
    outputs: sum(({ outputs }) => outputs),
    excluded: sum(({ excluded }) => excluded),
    unreadable: sum(({ unreadable }) => unreadable),
  };
}

/** What the command does with the files, as a button. */
function actionTitle(until: Until, files: number): string {
  switch (until) {
    case 'uploaded':
      return files === 1 ? l10n.t('Upload 1 File') : l10n.t('Upload {0} Files', count(files));
    case 'submitted':
      return files === 1 ? l10n.t('Submit 1 File') : l10n.t('Submit {0} Files', count(files));
    case 'fetched':
      return files === 1 ? l10n.t('Transcode 1 File') : l10n.t('Transcode {0} Files', count(files));
  }
}
