import { type DataTransfer, DataTransferItem, Uri } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { remoteScheme, uriList } from '../contributions';
import { accountIdOf, type ExplorerNode } from './explorerNode';
import { remoteUri } from './remoteFiles';

/** Blobs and files are dragged as the URIs that editors open. */
export function dragRows(rows: readonly ExplorerNode[], data: DataTransfer): void {
  const uris = rows.flatMap((row) =>
    row.kind === 'blob' || (row.kind === 'file' && !row.file.isDirectory) ? remoteUri(row).toString() : [],
  );
  if (uris.length > 0) data.set(uriList, new DataTransferItem(uris.join('\r\n')));
}

/**
 * The files that were dropped, without those of accounts, and the account of the row that they were dropped on: undefined
 * beside the accounts. Throws `noAccount` if it was removed meanwhile.
 */
export async function droppedFiles(
  accounts: Pick<Accounts, 'accountOf'>,
  row: ExplorerNode | undefined,
  data: DataTransfer,
): Promise<{ account: AccountRecord | undefined; uris: Uri[] }> {
  const text = (await data.get(uriList)?.asString()) ?? '';
  const uris = text
    .split(/\r?\n/)
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => Uri.parse(line))
    .filter(({ scheme }) => scheme !== remoteScheme);
  return { account: row && accounts.accountOf({ accountId: accountIdOf(row) }), uris };
}

/** Files that were dropped, and the account to transcode them with, if they were dropped on one. */
export type Dropped = Awaited<ReturnType<typeof droppedFiles>>;

/**
 * Hands the files that were dropped on a row to `use`. Resolves as soon as they are read: `data` can't be read after that.
 * Failures are shown, because VS Code only logs those of a drop.
 */
export async function handleDrop(
  accounts: Pick<Accounts, 'accountOf'>,
  row: ExplorerNode | undefined,
  data: DataTransfer,
  use: (dropped: Dropped) => Promise<unknown>,
): Promise<void> {
  const dropped = droppedFiles(accounts, row, data);
  background(dropped.then(use));
  await Promise.allSettled([dropped]);
}
