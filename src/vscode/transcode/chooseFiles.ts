import { basename } from 'node:path';
import { FileType, l10n, type Uri, window, workspace } from 'vscode';
import { UserError } from '../../core/errors';
import { settings } from '../settings';
import { filesOf } from '../words/numbers';
import { mediaIn } from './folderScan';
import { mediaExtensions } from './mediaExtensions';

/** A file that the user chose. */
export interface ChosenFile {
  readonly uri: Uri;
  /** The path in its workspace folder, with slashes. */
  readonly path: string;
}

/**
 * The files that a command is about: those it was called with, and the media files in folders, each once. Shows a file
 * dialog if it was called with none. Undefined if the user canceled.
 */
export async function chooseFiles(
  clicked: Uri | undefined,
  selected: readonly Uri[] | undefined,
): Promise<ChosenFile[] | undefined> {
  const uris = selected?.length ? selected : clicked ? [clicked] : await pickFiles();
  if (uris === undefined) return undefined;
  const found = new Map<string, Uri>();
  let folder: Uri | undefined;
  for (const uri of uris) {
    if ((await typeOf(uri)) & FileType.Directory) {
      folder ??= uri;
      for (const file of await mediaIn(uri)) found.set(file.toString(), file);
    } else {
      found.set(uri.toString(), uri);
    }
  }
  const files = [...found.values()]
    .map((uri) => ({ uri, path: workspace.asRelativePath(uri) }))
    .sort((one, other) => one.path.localeCompare(other.path));
  if (files.length === 0) {
    throw new UserError(
      folder ? { kind: 'noMedia', folder: workspace.asRelativePath(folder) } : { kind: 'nothingChosen' },
    );
  }
  if (folder && !(await confirmCount(folder, files.length))) return undefined;
  return files;
}

async function typeOf(uri: Uri): Promise<FileType> {
  try {
    return (await workspace.fs.stat(uri)).type;
  } catch (error) {
    throw new UserError({ kind: 'fileMissing', file: workspace.asRelativePath(uri) }, { cause: error });
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

/** Shows how many files a folder holds before anything is done with them. */
async function confirmCount(folder: Uri, count: number): Promise<boolean> {
  const go = count === 1 ? l10n.t('Transcode 1 File') : l10n.t('Transcode {0} Files', count);
  const answer = await window.showQuickPick([{ label: `$(files) ${go}` }], {
    title: l10n.t('{0} and its subfolders: {1} to transcode', basename(folder.path), filesOf(count)),
    placeHolder: l10n.t('Press Enter to continue'),
  });
  return answer !== undefined;
}
