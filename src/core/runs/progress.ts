import type { TaskCounts } from '../azure/batch';
import type { NodeNumbers } from '../jobs/poolWatch';
import type { OpenAttempt } from '../plan/attempts';
import { type FileResult, type Manifest, tasksOf, tasksOfAttempt, toUpload } from '../plan/manifest';
import { nodeTargets } from '../pools/nodeTargets';
import type { Clock } from '../wait';
import type { RunProgress } from './runEvents';
import { piecesOfFiles } from './splitProgress';

const noNodes: NodeNumbers = { idle: 0, running: 0, starting: 0, failed: 0, total: 0, dedicated: 0 };

/** Sums the numbers of all jobs and pools of a run: retries can run beside the first attempt. */
export class ProgressTotals {
  /** Hours of all nodes together: the area under the number of nodes as it was seen. */
  nodeHours = 0;
  /** The dedicated ones among these hours. */
  dedicatedNodeHours = 0;
  /** How many tasks each job will have. */
  readonly #expected = new Map<string, number>();
  readonly #tasks = new Map<string, TaskCounts>();
  readonly #nodes = new Map<string, { readonly nodes: NodeNumbers; readonly at: number }>();

  constructor(
    private readonly progress: RunProgress,
    private readonly clock: Clock,
  ) {}

  /**
   * Sets what the work on these attempts is measured by: what they have to upload, their tasks, and their nodes. Earlier
   * attempts and files that are done are no part of it.
   */
  expect(manifest: Manifest, open: readonly OpenAttempt[], results: ReadonlyMap<string, FileResult>): void {
    const { progress } = this;
    const byId = new Map(manifest.files.map((file) => [file.id, file]));
    const upload = { files: 0, filesTotal: 0, bytes: 0, bytesTotal: 0 };
    const targets = new Map<string, number>();
    for (const { attempt, open: ids } of open) {
      const filesOf = (isPart: (result: FileResult | undefined) => boolean) =>
        attempt.fileIds.filter((id) => isPart(results.get(id))).flatMap((id) => byId.get(id) ?? []);
      if (attempt.submitted === undefined) {
        const files = filesOf((result) => result?.problem === undefined);
        upload.filesTotal += files.length;
        for (const file of files) upload.bytesTotal += toUpload(manifest, file, attempt).bytes;
      }
      const withTasks = filesOf((result) => result?.failedAt !== 'upload');
      this.#expected.set(attempt.jobId, attempt.submitted?.tasks ?? tasksOf({ files: withTasks }));
      const { dedicated, spot } = nodeTargets(
        manifest.pool,
        tasksOfAttempt(manifest, { ...attempt, fileIds: ids }),
      );
      const pool = attempt.poolId ?? attempt.jobId;
      targets.set(pool, Math.max(targets.get(pool) ?? 0, dedicated + spot));
    }
    progress.upload = upload;
    if (upload.filesTotal === 0 && progress.phase === 'uploading') progress.phase = 'pool';
    const target = [...targets.values()].reduce((sum, one) => sum + one, 0);
    progress.nodes = { ...progress.nodes, target };
    this.#countExpected();
  }

  /** Some tasks are never added: the upload of their file has failed, or an earlier attempt has their output. */
  expectFewer(jobId: string, tasks: number): void {
    this.#expected.set(jobId, Math.max((this.#expected.get(jobId) ?? 0) - tasks, 0));
    this.#countExpected();
  }

  #countExpected(): void {
    let total = 0;
    for (const jobId of new Set([...this.#expected.keys(), ...this.#tasks.keys()])) {
      const { active = 0, running = 0, completed = 0 } = this.#tasks.get(jobId) ?? {};
      total += Math.max(this.#expected.get(jobId) ?? 0, active + running + completed);
    }
    this.progress.tasks.total = total;
  }

  countTasks(jobId: string, counts: TaskCounts): void {
    this.#tasks.set(jobId, counts);
    const { tasks } = this.progress;
    const sum = (of: (counts: TaskCounts) => number) =>
      [...this.#tasks.values()].reduce((total, each) => total + of(each), 0);
    tasks.active = sum(({ active }) => active);
    tasks.running = sum(({ running }) => running);
    tasks.completed = sum(({ completed }) => completed);
    tasks.failed = sum(({ failed }) => failed);
    this.#countExpected();
    if (tasks.running + tasks.completed > 0) this.progress.phase = 'tasks';
  }

  countNodes(poolId: string, nodes: NodeNumbers): void {
    const at = this.clock.now();
    const before = this.#nodes.get(poolId);
    if (before) {
      const hours = (at - before.at) / 3_600_000;
      this.nodeHours += before.nodes.total * hours;
      this.dedicatedNodeHours += before.nodes.dedicated * hours;
    }
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
            dedicated: sum('dedicated'),
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
    fetch: { bytes: 0 },
    running: new Map(),
    settling: new Set(),
    pieces: piecesOfFiles(files),
  };
}
