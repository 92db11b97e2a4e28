import { l10n, Uri, window, workspace } from 'vscode';
import type { Batch } from '../../../core/azure/batch';
import { UserError } from '../../../core/errors';
import { DiskFiles } from '../../../core/files/localFiles';
import { Transfers } from '../../../core/transfers/transfers';
import { longWork } from '../../longWork';
import { showWarning } from '../../messages';
import { savingFile } from '../../savedFile';
import { count } from '../../words/numbers';
import { WorkspaceFiles } from '../../workspaceFiles';
import type { ExplorerData } from '../explorerData';
import { type NodeOf, resourceName } from '../explorerNode';
import { savedNames } from './savedNames';

type FileRow = NodeOf<'file' | 'blob'>;

/** Bytes of a file of a task or a node that are read at once. */
const rangeBytes = 8 * 1024 * 1024;

/** Saves a file under a name that the user chooses. */
export async function saveAs(data: ExplorerData, row: FileRow): Promise<void> {
  const [folder] = workspace.workspaceFolders ?? [];
  const name = baseName(row);
  const target = await window.showSaveDialog({ defaultUri: folder && Uri.joinPath(folder.uri, name) });
  if (target === undefined) return;
  await longWork(l10n.t('Saving {0}', name), (progress, signal) => {
    const total = Math.max(sizeOf(row), 1);
    const onBytes = (bytes: number) => progress.report({ increment: (100 * bytes) / total });
    return save(data, row, { target, overwrite: true, onBytes, signal });
  });
}

/** Saves files in a folder that the user chooses, without overwriting existing files. Files of equal names get other names. */
export async function saveInFolder(data: ExplorerData, rows: readonly FileRow[]): Promise<void> {
  const [folder] =
    (await window.showOpenDialog({
      canSelectFiles: false,
      canSelectFolders: true,
      openLabel: l10n.t('Save Here'),
      defaultUri: workspace.workspaceFolders?.[0]?.uri,
    })) ?? [];
  if (folder === undefined) return;
  const names = savedNames(rows.map((row) => ({ name: baseName(row), owner: ownerOf(row) })));
  const existing: string[] = [];
  await longWork(l10n.t('Saving {0}', folder.fsPath), async (progress, signal) => {
    for (const [index, row] of rows.entries()) {
      signal.throwIfAborted();
      const name = names[index] ?? '';
      progress.report({ message: l10n.t('{0} of {1}', count(index + 1), count(rows.length)) });
      const options = { target: Uri.joinPath(folder, name), overwrite: false, onBytes: () => {}, signal };
      try {
        await save(data, row, options);
      } catch (error) {
        if (!(error instanceof UserError) || error.problem.kind !== 'outputExists') throw error;
        existing.push(name);
      }
      progress.report({ increment: 100 / rows.length });
    }
  });
  if (existing.length > 0)
    await showWarning(l10n.t('Not saved, because these files exist: {0}', existing.join(', ')));
}

interface SaveOptions {
  readonly target: Uri;
  readonly overwrite: boolean;
  readonly onBytes: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** If it rejects, no file was written or replaced, and no part of it is left. Throws `outputExists`. */
async function save(data: ExplorerData, row: FileRow, options: SaveOptions): Promise<void> {
  return savingFile(() => copy(data, row, options));
}

async function copy(data: ExplorerData, row: FileRow, options: SaveOptions): Promise<void> {
  const { batch, storage } = await data.gateways(row.account);
  const files = new WorkspaceFiles(new DiskFiles());
  if (row.kind === 'file') return saveFile(batch, row, files, options);
  const { target, ...others } = options;
  await new Transfers(storage, files).download({
    container: row.container,
    blob: row.blob.name,
    uri: target.toString(),
    keepsPart: false,
    ...others,
  });
}

/** Batch has no transfers in blocks: its files are read one range after the other. */
async function saveFile(
  batch: Batch,
  row: NodeOf<'file'>,
  files: WorkspaceFiles,
  { target, overwrite, onBytes, signal }: SaveOptions,
): Promise<void> {
  const path = row.file.name ?? '';
  const properties = await batch.fileProperties(row.place, path, signal);
  if (properties === undefined) throw new UserError({ kind: 'fileMissing', file: path });
  const { size } = properties;
  const part = await files.part(target.toString(), String(Date.now()), { bytes: size, signal });
  try {
    for (let position = 0; position < size; ) {
      signal.throwIfAborted();
      const length = Math.min(rangeBytes, size - position);
      const bytes = await batch.readFile(row.place, path, position, length, signal);
      if (bytes.length === 0) throw new UserError({ kind: 'transferDamaged', file: path });
      await part.write(position, bytes);
      position += bytes.length;
      onBytes(bytes.length);
    }
    await part.commit({ overwrite });
  } catch (error) {
    await part.discard();
    throw error;
  }
}

function sizeOf(row: FileRow): number {
  return row.kind === 'blob' ? row.blob.size : Number(row.file.properties?.contentLength ?? 0);
}

/** What tells files of equal names apart. */
function ownerOf(row: FileRow): string {
  if (row.kind === 'blob') return row.container;
  return 'taskId' in row.place ? row.place.taskId : row.place.nodeId;
}

/** Characters that file names cannot have here. Names of files of nodes and blobs can have most of them. */
const invalidCharacters = process.platform === 'win32' ? /[\\:*?"<>|\p{Cc}]/gu : /\p{Cc}/gu;

/** The name under which a file is saved: never a path. */
function baseName(row: FileRow): string {
  const path = resourceName(row);
  const name = path.slice(path.lastIndexOf('/') + 1);
  return name === '.' || name === '..' ? '_' : name.replace(invalidCharacters, '_');
}
