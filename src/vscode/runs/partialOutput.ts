import { l10n, Uri, window, workspace } from 'vscode';
import type { ManifestFile } from '../../core/plan/manifest';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { longWork } from '../longWork';
import { showInformation } from '../messages';
import { savingFile } from '../savedFile';
import { showInExplorer } from './outcome';
import type { RunRecord } from './runRecord';

/** Downloads the output of a file that is incomplete, to where the user wants it. It doesn't count as an output of the run. */
export async function savePartialOutput(
  accounts: Accounts,
  record: RunRecord,
  { uri, output }: ManifestFile,
): Promise<void> {
  const account = accounts.accountOf(record);
  const name = output.name.replace(/(\.[^.]*)?$/, (extension) => ` (${l10n.t('incomplete')})${extension}`);
  const target = await window.showSaveDialog({
    title: l10n.t('Save the incomplete output'),
    defaultUri: Uri.joinPath(Uri.parse(uri), '..', name),
  });
  if (target === undefined) return;
  const [{ Storage }, { Transfers }, { DiskFiles }, { WorkspaceFiles }] = await Promise.all([
    import('../../core/azure/storage'),
    import('../../core/transfers/transfers'),
    import('../../core/files/localFiles'),
    import('../workspaceFiles'),
  ]);
  const storage = new Storage(await accounts.connect(account));
  const transfers = new Transfers(storage, new WorkspaceFiles(new DiskFiles()));
  await longWork(l10n.t('Downloading {0}', name), (_, signal) =>
    savingFile(() =>
      transfers.download({
        container: record.outputContainer,
        blob: output.blob,
        uri: target.toString(),
        overwrite: true,
        keepsPart: false,
        onBytes: () => undefined,
        signal,
      }),
    ),
  );
  const open = l10n.t('Show');
  background(
    showInformation(
      l10n.t('Saved the incomplete output as {0}', workspace.asRelativePath(target)),
      open,
    ).then(async (answer) => {
      if (answer === open) await showInExplorer(target);
    }),
  );
}
