import type { AudioChoice } from '../media/audioTracks';
import type { Preset } from '../presets/preset';
import {
  type Limits,
  type Manifest,
  newAttempt,
  outputContainerOf,
  type RunPool,
  type Until,
} from './manifest';
import { type OutputFolder, type PlanNote, plan } from './plan';
import type { ProbedFiles } from './probeFiles';

/** The user's decisions about a run, besides its files. */
export interface Choices {
  readonly preset: Preset;
  readonly pool: RunPool;
  readonly audio: AudioChoice;
  readonly limits: Limits;
  /** Transcode long videos in parts on several nodes. Default: true. */
  readonly split?: boolean;
  /** Default: each output is saved beside its source. */
  readonly outputFolder?: OutputFolder;
  /** Major version of the nodes' ffmpeg, if it is known. */
  readonly ffmpegMajor?: number;
  /** Name of the workspace the run belongs to; empty if there is none. */
  readonly workspace: string;
}

export interface PlannedRun {
  readonly manifest: Manifest;
  readonly notes: readonly PlanNote[];
}

/** Tasks that a pool of this size runs at the same time. */
function slotsOf({ dedicatedNodes, spotNodes, slotsPerNode }: RunPool): number {
  return (dedicatedNodes + spotNodes) * slotsPerNode;
}

/** `20261125-074718-k3x9qz` */
export function newRunId(now = new Date(), random = Math.random): string {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  const tail = Array.from(
    { length: 6 },
    () => 'abcdefghijkmnpqrstuvwxyz23456789'[Math.floor(random() * 32)],
  ).join('');
  return `${stamp}-${tail}`;
}

/** Plans a run of probed files. Nothing has been uploaded when it returns. */
export function planRun(
  { sources, refused }: ProbedFiles,
  { preset, pool, audio, limits, split = true, outputFolder, ffmpegMajor, workspace }: Choices,
): PlannedRun {
  const runId = newRunId();
  const isSplit = split && slotsOf(pool) > 1;
  const planned = plan({ sources, preset, audio, split: isSplit, outputFolder, ffmpegMajor });
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

/**
 * The manifest of a planned run that begins now: the user may have looked at the plan for long, which is no part of the
 * time that the run takes.
 */
export function begunNow(manifest: Manifest, goal: Until, now = new Date()): Manifest {
  const ids = manifest.files.map(({ id }) => id);
  const attempts = [newAttempt({ ...manifest, attempts: [] }, ids, now)];
  return { ...manifest, goal, created: now.toISOString(), attempts };
}
