import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { FileType, l10n, Uri, window, workspace } from 'vscode';
import { UserError } from '../../core/errors';
import { settings } from '../settings';

/** A media file someone chose: once, whatever ways lead to it. */
export interface Chosen {
  readonly uri: Uri;
  /** As people see it: the path in its workspace folder. */
  readonly path: string;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

/** Extensions of media files, without a dot. The same list stands in the `when` clauses of package.json; a test compares them. */
export const mediaExtensions =
  'mp4 m4v mov qt mkv mk3d webm avi wmv asf flv f4v ts mts m2ts mpg mpeg m2v vob 3gp 3g2 ogv mxf dv rm rmvb wav wave mp3 m4a m4b aac flac ogg oga opus wma aif aiff amr ac3 eac3 mka caf au'.split(
    ' ',
  );

/**
 * The files a command is about: what it was called with, with the media files of folders, recursively; a file picker
 * when it was called with nothing. Undefined when the person thought better of it.
 */
export async function chooseFiles(
  clicked: Uri | undefined,
  selected: readonly Uri[] | undefined,
): Promise<Chosen[] | undefined> {
  const uris = selected?.length ? selected : clicked ? [clicked] : await pickFiles();
  if (uris === undefined) return undefined;
  const found = new Map<string, Chosen>();
  let folder: Uri | undefined;
  for (const uri of uris) {
    const stat = await statOf(uri);
    if (stat.type & FileType.Directory) {
      folder ??= uri;
      for await (const file of mediaIn(uri, new Set())) found.set(file.uri.toString(), file);
    } else {
      found.set(uri.toString(), chosen(uri, stat));
    }
  }
  const files = [...found.values()].sort((one, other) => one.path.localeCompare(other.path));
  if (files.length === 0) {
    throw new UserError(
      folder ? { kind: 'noMedia', folder: workspace.asRelativePath(folder) } : { kind: 'nothingChosen' },
    );
  }
  if (folder && !(await confirmCount(folder, files.length))) return undefined;
  return files;
}

async function statOf(uri: Uri) {
  try {
    return await workspace.fs.stat(uri);
  } catch {
    throw new UserError({ kind: 'fileMissing', file: workspace.asRelativePath(uri) });
  }
}

async function pickFiles(): Promise<Uri[] | undefined> {
  return window.showOpenDialog({
    canSelectMany: true,
    openLabel: l10n.t('Transcode'),
    title: l10n.t('Choose Files to Transcode'),
    filters: { [l10n.t('Media files')]: allExtensions(), [l10n.t('All files')]: ['*'] },
    defaultUri: workspace.workspaceFolders?.[0]?.uri,
  });
}

/** How many there are is shown before anything is done with them. */
async function confirmCount(folder: Uri, count: number): Promise<boolean> {
  const go = l10n.t('Transcode {0} Files', count);
  const answer = await window.showQuickPick([{ label: `$(files) ${go}` }], {
    title: l10n.t('{0} holds {1} media files, with its subfolders', basename(folder.path), count),
    placeHolder: l10n.t('Press Enter to go on'),
  });
  return answer !== undefined;
}

/** Links are followed once: a folder that was seen under another name is not entered again. */
async function* mediaIn(folder: Uri, seen: Set<string>): AsyncGenerator<Chosen> {
  const place = folder.scheme === 'file' ? await realpath(folder.fsPath) : folder.toString();
  if (seen.has(place)) return;
  seen.add(place);
  for (const [name, type] of await workspace.fs.readDirectory(folder)) {
    const uri = Uri.joinPath(folder, name);
    if (type & FileType.Directory) yield* mediaIn(uri, seen);
    else if (type & FileType.File && isMedia(name)) yield chosen(uri, await workspace.fs.stat(uri));
  }
}

function chosen(uri: Uri, { size, mtime }: { size: number; mtime: number }): Chosen {
  return { uri, path: workspace.asRelativePath(uri), size, modified: mtime };
}

/** The usual extensions and those of the setting. */
export function allExtensions(): string[] {
  return [...mediaExtensions, ...settings().extensions.map((extension) => extension.toLowerCase())];
}

function isMedia(name: string): boolean {
  const dot = name.lastIndexOf('.');
  return dot > 0 && allExtensions().includes(name.slice(dot + 1).toLowerCase());
}
