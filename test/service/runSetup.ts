import { readdirSync, statSync } from 'node:fs';
import { basename, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Batch } from '../../src/core/azure/batch';
import { Storage } from '../../src/core/azure/storage';
import { DiskFiles } from '../../src/core/files/localFiles';
import type { AudioChoice } from '../../src/core/media/audioTracks';
import { findFfprobe } from '../../src/core/media/probe/ffprobe';
import {
  type Manifest,
  type ManifestFile,
  newAttempt,
  outputContainerOf,
  type PoolLifetime,
} from '../../src/core/plan/manifest';
import { plan } from '../../src/core/plan/plan';
import { newRunId } from '../../src/core/plan/planRun';
import { probeFiles } from '../../src/core/plan/probeFiles';
import { builtInPresets } from '../../src/core/presets/builtIn';
import type { Preset } from '../../src/core/presets/preset';
import type { RunParts } from '../../src/core/runs/run';
import type { RunEvent, Step } from '../../src/core/runs/runEvents';
import { Transfers } from '../../src/core/transfers/transfers';
import type { Clock } from '../../src/core/wait';
import type { TestService } from './harness';

export interface ManifestOptions {
  /** The id of a built-in one, or one's own. */
  readonly preset?: string | Preset;
  readonly lifetime?: PoolLifetime;
  readonly spotNodes?: number;
  /** Another size is another pool, which no other run shares. */
  readonly vmSize?: string;
  readonly slotsPerNode?: number;
  readonly monitorMinutes?: number;
  readonly taskMinutes?: number;
  readonly onConflict?: 'rename' | 'overwrite';
  readonly audio?: AudioChoice;
  /** As on a machine that has no ffmpeg. */
  readonly withoutFfprobe?: boolean;
  /** Transcode videos in parts of about this length, in seconds. */
  readonly partSeconds?: number;
  /** Paths are shown below this folder; by their names alone without it. */
  readonly root?: string;
}

const files = new DiskFiles();

/** A manifest for these files, which are probed and planned as the extension does. */
export async function manifestOf(paths: readonly string[], options: ManifestOptions = {}): Promise<Manifest> {
  const { preset: wanted = 'mp3' } = options;
  const preset = typeof wanted === 'string' ? builtInPresets.find(({ id }) => id === wanted) : wanted;
  if (preset === undefined) throw new Error(`No preset ${wanted}`);
  const chosen = paths.map((path) => ({
    uri: pathToFileURL(path).href,
    path: options.root ? relative(options.root, path) : basename(path),
  }));
  const ffprobe = options.withoutFfprobe ? undefined : await findFfprobe('');
  const { signal } = new AbortController();
  const { sources, refused } = await probeFiles(files, chosen, preset, signal, {
    ffprobe,
    partSeconds: options.partSeconds,
  });
  const runId = newRunId();
  const limits = {
    monitorMinutes: options.monitorMinutes ?? 5,
    taskMinutes: options.taskMinutes ?? 5,
    jobMinutes: 60,
    retries: 0,
  };
  const planned = plan({ sources, preset, audio: options.audio, split: options.partSeconds !== undefined });
  const base = { runId, attempts: [], limits };
  return {
    version: 1,
    ...base,
    created: new Date().toISOString(),
    workspace: 'test',
    preset,
    pool: {
      lifetime: options.lifetime ?? 'scaleToZero',
      // Runs with one node have a pool of their own: another run's nodes would work for them too.
      vmSize: options.vmSize ?? (options.spotNodes === 1 ? 'Standard_D4s_v5' : 'Standard_D2s_v5'),
      dedicatedNodes: 0,
      spotNodes: options.spotNodes ?? 3,
      slotsPerNode: options.slotsPerNode ?? 1,
    },
    outputContainer: outputContainerOf(runId),
    onConflict: options.onConflict ?? 'rename',
    files: planned.files,
    refused,
    attempts: [
      newAttempt(
        base,
        planned.files.map(({ id }) => id),
      ),
    ],
  };
}

/** The parts of a run against a service, and the events that it reports. */
export function partsOf(
  service: Pick<TestService, 'connection'>,
  { patienceMs = 60_000, clock }: { patienceMs?: number; clock?: Clock } = {},
): { parts: RunParts; steps: Step[]; events: RunEvent[] } {
  const steps: Step[] = [];
  const events: RunEvent[] = [];
  const { connection } = service;
  const storage = new Storage(connection);
  const parts: RunParts = {
    batch: new Batch(connection, { patienceMs }),
    storage,
    transfers: new Transfers(storage, files),
    files,
    clock,
    outputUri: ({ uri }: ManifestFile, name) =>
      uri.slice(0, uri.lastIndexOf('/') + 1) + name.split('/').map(encodeURIComponent).join('/'),
    report(event) {
      events.push(event);
      if (event.kind === 'step') steps.push(event.step);
    },
  };
  return { parts, steps, events };
}

/** Names in a folder, hidden ones too. */
export function namesIn(folder: string): string[] {
  return readdirSync(folder).sort();
}

export function bytesOf(path: string): number {
  return statSync(path).size;
}
