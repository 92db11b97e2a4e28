import { DiskFiles } from '../../core/files/localFiles';
import { type Look, probeFiles } from '../../core/plan/probeFiles';
import type { Preset } from '../../core/presets/preset';
import type { Report } from '../longWork';
import { WorkspaceFiles } from '../runs/workspaceFiles';
import type { ChosenFile } from './chooseFiles';

/** Probes files on disks and in virtual workspaces, and reports the progress. */
export function probeChosen(
  chosen: readonly ChosenFile[],
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
