import { l10n, ThemeIcon, Uri, window, workspace } from 'vscode';
import type { Manifest } from '../../core/plan/manifest';
import { settings } from '../settings';

/**
 * Decides what happens to outputs that exist already, and returns the manifest with the decision. Asks before anything
 * is uploaded, so that the run does not stop with a question hours later. Undefined if the user canceled.
 */
export async function resolveConflicts(manifest: Manifest): Promise<Manifest | undefined> {
  const taken = await existingOutputs(manifest.files);
  if (taken.length === 0) return manifest;
  const onConflict = await askConflict(taken);
  return onConflict && { ...manifest, onConflict };
}

async function existingOutputs(files: Manifest['files']): Promise<string[]> {
  const taken = await Promise.all(
    files.map(async ({ uri, output }) => {
      const target = Uri.joinPath(Uri.parse(uri), '..', output.name);
      const exists = await workspace.fs.stat(target).then(
        () => true,
        () => false,
      );
      return exists ? workspace.asRelativePath(target) : undefined;
    }),
  );
  return taken.filter((path) => path !== undefined);
}

async function askConflict(taken: string[]): Promise<Manifest['onConflict'] | undefined> {
  const { onConflict } = settings();
  if (onConflict !== 'ask') return onConflict;
  const shown = taken.slice(0, 3).join(', ') + (taken.length > 3 ? ', …' : '');
  const answer = await window.showQuickPick(
    [
      {
        iconPath: new ThemeIcon('files'),
        label: l10n.t('Keep Both'),
        detail: l10n.t('New outputs get another name, such as “clip (2).mp3”.'),
        choice: 'rename' as const,
      },
      {
        iconPath: new ThemeIcon('replace-all'),
        label: l10n.t('Replace'),
        detail: l10n.t('Existing files are replaced once the new ones are complete.'),
        choice: 'overwrite' as const,
      },
    ],
    {
      title:
        taken.length === 1
          ? l10n.t('{0} already exists', shown)
          : l10n.t('{0} outputs already exist: {1}', taken.length, shown),
      ignoreFocusOut: true,
    },
  );
  return answer?.choice;
}
