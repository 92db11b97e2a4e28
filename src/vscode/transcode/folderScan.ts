import { realpath } from 'node:fs/promises';
import { FileType, Uri, workspace } from 'vscode';
import { settings } from '../settings';
import { extensionOf, mediaExtensions } from './mediaExtensions';

/** The media files in a folder and its subfolders. */
export async function mediaIn(folder: Uri): Promise<Uri[]> {
  const found: Uri[] = [];
  const extensions = new Set([...mediaExtensions, ...settings().extensions.map((one) => one.toLowerCase())]);
  await scan(folder, new Set());
  return found;

  /** Follows links, but enters each folder once. */
  async function scan(place: Uri, seen: Set<string>): Promise<void> {
    const real = place.scheme === 'file' ? await realpath(place.fsPath) : place.toString();
    if (seen.has(real)) return;
    seen.add(real);
    for (const [name, type] of await workspace.fs.readDirectory(place)) {
      const uri = Uri.joinPath(place, name);
      if (type & FileType.Directory) await scan(uri, seen);
      else if (type & FileType.File && extensions.has(extensionOf(name))) found.push(uri);
    }
  }
}
