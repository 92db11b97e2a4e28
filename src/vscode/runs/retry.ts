import type { AccountRecord } from '../../core/azure/account';
import { DiskFiles } from '../../core/files/localFiles';
import { parseAudioChoice } from '../../core/media/audioTracks';
import { probeFiles } from '../../core/plan/probeFiles';
import { planRepaired } from '../../core/plan/repairedFiles';
import type { Run } from '../../core/runs/run';
import { taskFfmpegMajor } from '../accounts/ffmpeg';
import { settings } from '../settings';
import { sourceUri, WorkspaceFiles } from '../workspaceFiles';

/** Chooses the files that a retry transcodes again. Files that were refused are probed again first. */
export async function retryUnfinished(run: Run, account: AccountRecord, signal: AbortSignal): Promise<void> {
  const { manifest, results } = run;
  await takeRepaired(run, account, signal);
  const unfinished = manifest.files
    .map(({ id }) => id)
    .filter((id) => !results.has(id) || results.get(id)?.problem !== undefined);
  await run.retry(unfinished, signal);
}

async function takeRepaired({ manifest }: Run, account: AccountRecord, signal: AbortSignal): Promise<void> {
  if (manifest.refused.length === 0) return;
  const refused = manifest.refused.map((file) => ({ path: file.path, uri: sourceUri(file).toString() }));
  const probed = await probeFiles(new WorkspaceFiles(new DiskFiles()), refused, manifest.preset, signal);
  const repaired = planRepaired(
    manifest,
    probed,
    parseAudioChoice(settings().audio),
    await taskFfmpegMajor(account),
  );
  manifest.files = [...manifest.files, ...repaired.files];
  manifest.refused = repaired.refused;
}
