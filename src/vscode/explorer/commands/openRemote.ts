import { commands } from 'vscode';
import type { AccountRecord } from '../../../core/azure/account';
import type { FilePlace } from '../explorerNode';
import { remoteUri } from '../remoteFiles';

/** Opens a file of a task or node in an editor. */
export async function openRemote(account: AccountRecord, place: FilePlace, name: string): Promise<void> {
  await commands.executeCommand('vscode.open', remoteUri({ kind: 'file', account, place, file: { name } }));
}
