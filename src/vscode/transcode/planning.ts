import { l10n, Uri, window, workspace } from 'vscode';
import { DiskFiles } from '../../core/files/localFiles';
import type { Manifest } from '../../core/plan/manifest';
import { type Look, probeFiles } from '../../core/plan/probeFiles';
import type { Preset } from '../../core/presets/preset';
import type { Report } from '../longWork';
import { WorkspaceFiles } from '../runs/workspaceFiles';
import { settings } from '../settings';
import type { Chosen } from './mediaFiles';

/** Looks at the chosen files, wherever they are, and says how far that is. */
export function lookAtChosen(
  chosen: readonly Chosen[],
  preset: Preset,
  progress: Report,
  signal: AbortSignal,
): Promise<Look> {
  return probeFiles(
    new WorkspaceFiles(new DiskFiles()),
    chosen.map(({ uri, path }) => ({ uri: uri.toString(), path })),
    preset,
    signal,
    () => progress.report({ increment: 100 / chosen.length }),
  );
}

/**
 * The manifest with what becomes of outputs that exist already, which is asked before anything is uploaded: nobody
 * should wait for hours to be asked at the end. Undefined when the person thought better of it.
 */
export async function settleConflicts(manifest: Manifest): Promise<Manifest | undefined> {
  const taken = await existingOutputs(manifest.files);
  if (taken.length === 0) return manifest;
  const onConflict = await askConflict(taken);
  return onConflict && { ...manifest, onConflict };
}

async function existingOutputs(files: Manifest['files']): Promise<string[]> {
  const taken = await Promise.all(
    files.map(async ({ uri, output }) => {
      const target = Uri.joinPath(Uri.parse(uri), '..', output.name);
      const there = await workspace.fs.stat(target).then(
        () => true,
        () => false,
      );
      return there ? workspace.asRelativePath(target) : undefined;
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
        label: l10n.t('$(files) Keep Both'),
        detail: l10n.t('New outputs get another name, like “clip (2).mp3”.'),
        choice: 'rename' as const,
      },
      {
        label: l10n.t('$(replace-all) Replace'),
        detail: l10n.t('Old files are replaced once the new ones are complete.'),
        choice: 'overwrite' as const,
      },
    ],
    {
      title:
        taken.length === 1
          ? l10n.t('{0} exists already', shown)
          : l10n.t('{0} outputs exist already: {1}', taken.length, shown),
      ignoreFocusOut: true,
    },
  );
  return answer?.choice;
}
