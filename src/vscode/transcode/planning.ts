import { l10n, Uri, window, workspace } from 'vscode';
import { DiskFiles } from '../../core/files/localFiles';
import type { AudioChoice } from '../../core/media/audioTracks';
import {
  type Manifest,
  newAttempt,
  newRunId,
  outputContainerOf,
  type RunPool,
} from '../../core/plan/manifest';
import { type PlanNote, plan } from '../../core/plan/plan';
import { type Look, lookAtFiles } from '../../core/plan/probeFiles';
import type { Preset } from '../../core/presets/preset';
import type { Report } from '../longWork';
import { settings } from '../settings';
import type { Chosen } from './mediaFiles';
import { WorkspaceFiles } from './workspaceFiles';

/** What a person decides about a run besides its files. */
export interface Choices {
  readonly preset: Preset;
  readonly pool: RunPool;
  readonly audio: AudioChoice;
}

export interface PlannedRun {
  readonly manifest: Manifest;
  readonly notes: readonly PlanNote[];
}

/** Plans a run of the files that were looked at. Nothing has been uploaded when it returns. */
export function planRun({ sources, refused }: Look, { preset, pool, audio }: Choices): PlannedRun {
  const runId = newRunId();
  const planned = plan({ sources, preset, audio });
  const refusedByPlan = planned.refused.map(({ source, problem }) => ({
    path: source.path,
    uri: source.uri,
    problem,
  }));
  const { limits } = settings();
  const base = { runId, attempts: [], limits };
  const manifest: Manifest = {
    version: 1,
    ...base,
    created: new Date().toISOString(),
    workspace: workspace.name ?? '',
    preset,
    pool,
    outputContainer: outputContainerOf(runId),
    onConflict: 'rename',
    files: planned.files,
    refused: [...refused, ...refusedByPlan],
    attempts: [
      newAttempt(
        base,
        planned.files.map(({ id }) => id),
      ),
    ],
  };
  return { manifest, notes: planned.notes };
}

/** Looks at the chosen files, wherever they are, and says how far that is. */
export function lookAtChosen(
  chosen: readonly Chosen[],
  preset: Preset,
  progress: Report,
  signal: AbortSignal,
): Promise<Look> {
  return lookAtFiles(
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
