import type { TaskCounts } from '../azure/batch';
import type { NodeNumbers } from '../jobs/poolWatch';
import { type Manifest, tasksOf, toUpload } from '../plan/manifest';
import { nodeTargets } from '../pools/nodeTargets';
import type { Clock } from '../wait';
import type { RunProgress } from './runEvents';
import { piecesOfFiles } from './splitProgress';

const noNodes: NodeNumbers = { idle: 0, running: 0, starting: 0, failed: 0, total: 0 };

/** Sums the numbers of all jobs and pools of a run: retries can run beside the first attempt. */
export class ProgressTotals {
  /** Hours of all nodes together: the area under the number of nodes as it was seen. */
  nodeHours = 0;
  readonly #tasks = new Map<string, TaskCounts>();
  readonly #nodes = new Map<string, { readonly nodes: NodeNumbers; readonly at: number }>();

  constructor(
    private readonly progress: RunProgress,
    private readonly clock: Clock,
  ) {}

  countTasks(jobId: string, counts: TaskCounts): void {
    this.#tasks.set(jobId, counts);
    const { tasks } = this.progress;
    const sum = (of: (counts: TaskCounts) => number) =>
      [...this.#tasks.values()].reduce((total, each) => total + of(each), 0);
    tasks.active = sum(({ active }) => active);
    tasks.running = sum(({ running }) => running);
    tasks.completed = sum(({ completed }) => completed);
    tasks.failed = sum(({ failed }) => failed);
    if (tasks.running + tasks.completed > 0) this.progress.phase = 'tasks';
  }

  countNodes(poolId: string, nodes: NodeNumbers): void {
    const at = this.clock.now();
    const before = this.#nodes.get(poolId);
    if (before) this.nodeHours += (before.nodes.total * (at - before.at)) / 3_600_000;
    this.#nodes.set(poolId, { nodes, at });
    const { target } = this.progress.nodes;
    const all = [...this.#nodes.values()].map((each) => each.nodes);
    const sum = (kind: keyof NodeNumbers) => all.reduce((total, each) => total + each[kind], 0);
    const [only = noNodes] = all;
    this.progress.nodes =
      all.length === 1
        ? { ...only, target }
        : {
            idle: sum('idle'),
            running: sum('running'),
            starting: sum('starting'),
            failed: sum('failed'),
            total: sum('total'),
            target,
          };
  }
}

export function emptyProgress(manifest: Manifest): RunProgress {
  const { files, pool } = manifest;
  const { dedicated, spot } = nodeTargets(pool, tasksOf(manifest));
  return {
    phase: 'uploading',
    upload: {
      files: 0,
      filesTotal: files.length,
      bytes: 0,
      bytesTotal: files.reduce((sum, file) => sum + toUpload(manifest, file).bytes, 0),
    },
    nodes: { ...noNodes, target: dedicated + spot },
    tasks: {
      active: 0,
      running: 0,
      completed: 0,
      failed: 0,
      total: tasksOf(manifest),
    },
    fetch: { files: 0, bytes: 0 },
    running: new Map(),
    pieces: piecesOfFiles(files),
  };
}
