import type { AudioChoice } from '../media/audioTracks';
import type { Preset } from '../presets/preset';
import {
  type Limits,
  type Manifest,
  newAttempt,
  newRunId,
  outputContainerOf,
  type RunPool,
} from './manifest';
import { type PlanNote, plan } from './plan';
import type { ProbedFiles } from './probeFiles';

/** The user's decisions about a run, besides its files. */
export interface Choices {
  readonly preset: Preset;
  readonly pool: RunPool;
  readonly audio: AudioChoice;
  readonly limits: Limits;
  /** Name of the workspace the run belongs to; empty if there is none. */
  readonly workspace: string;
}

export interface PlannedRun {
  readonly manifest: Manifest;
  readonly notes: readonly PlanNote[];
}

/** Plans a run of probed files. Nothing has been uploaded when it returns. */
export function planRun(
  { sources, refused }: ProbedFiles,
  { preset, pool, audio, limits, workspace }: Choices,
): PlannedRun {
  const runId = newRunId();
  const planned = plan({ sources, preset, audio });
  const refusedByPlan = planned.refused.map(({ source, problem }) => ({
    path: source.path,
    uri: source.uri,
    problem,
  }));
  const base = { runId, attempts: [], limits };
  const manifest: Manifest = {
    version: 1,
    ...base,
    created: new Date().toISOString(),
    workspace,
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
