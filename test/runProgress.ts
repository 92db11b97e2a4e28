import type { RunProgress } from '../src/core/runs/runEvents';

/** The progress of a run with one uploaded file, whose only task runs on its only node. */
export function progressOf(others: Partial<RunProgress> = {}): RunProgress {
  return {
    phase: 'tasks',
    upload: { files: 1, filesTotal: 1, bytes: 10, bytesTotal: 10 },
    nodes: { idle: 0, running: 1, starting: 0, failed: 0, total: 1, dedicated: 0, target: 1 },
    tasks: { active: 0, running: 1, completed: 0, failed: 0, total: 1 },
    fetch: { bytes: 0 },
    running: new Map(),
    settling: new Set(),
    pieces: new Map(),
    ...others,
  };
}
