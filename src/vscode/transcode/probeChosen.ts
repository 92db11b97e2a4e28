import { DiskFiles } from '../../core/files/localFiles';
import { parserPool } from '../../core/media/parser/pool';
import { findFfprobe } from '../../core/media/probe/ffprobe';
import { type ProbedFiles, probeFiles } from '../../core/plan/probeFiles';
import type { Preset } from '../../core/presets/preset';
import type { Report } from '../longWork';
import { settings } from '../settings';
import { WorkspaceFiles } from '../workspaceFiles';
import type { ChosenFile } from './sources/chooseFiles';

/** Starts what probes need, while the user chooses a preset. */
export function prepareProbes(): void {
  parserPool.prepare();
}

/** Probes files on disks and in virtual workspaces, and reports the progress. */
export async function probeChosen(
  chosen: readonly ChosenFile[],
  preset: Preset,
  progress: Report,
  signal: AbortSignal,
): Promise<ProbedFiles> {
  const { ffmpegPath, split, partSeconds } = settings();
  let probed = 0;
  let shownPercent = 0;
  // Each report is a message to the window: one for each percent, not for each file.
  const onProbed = () => {
    const percent = Math.floor((++probed * 100) / chosen.length);
    if (percent > shownPercent) progress.report({ increment: percent - shownPercent });
    shownPercent = percent;
  };
  return probeFiles(
    new WorkspaceFiles(new DiskFiles()),
    chosen.map(({ uri, path }) => ({ uri: uri.toString(), path })),
    preset,
    signal,
    {
      ffprobe: await findFfprobe(ffmpegPath),
      partSeconds: split ? partSeconds : undefined,
      onProbed,
    },
  );
}
