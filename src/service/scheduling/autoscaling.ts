import { evaluateFormula, type Sample } from '../autoscale/evaluate';
import { durationMs, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Nodes } from './nodes';
import type { JobState, PoolState, State } from './state';

const samplesKept = 240;

/** Samples the metrics of pools, evaluates their formulas and sets their targets. */
export class Autoscaling {
  readonly #samples = new Map<string, { at: number; values: Record<string, number> }[]>();

  constructor(
    private readonly state: State,
    private readonly nodes: Nodes,
  ) {}

  /** Evaluates the formulas that are due. */
  evaluateDue(now: number): void {
    for (const pool of this.state.pools.values()) {
      const isDue =
        pool.wire.enableAutoScale && pool.wire.state === 'active' && now >= (pool.evaluateAt ?? 0);
      if (isDue) this.evaluate(pool);
    }
  }

  /** Evaluates a pool's formula and resizes it by the result. */
  evaluate(pool: PoolState): void {
    const { wire } = pool;
    pool.evaluateAt = Date.now() + (durationMs(String(wire.autoScaleEvaluationInterval)) ?? 900_000);
    const run = this.evaluateFormula(pool, String(wire.autoScaleFormula));
    wire.autoScaleRun = run.wire;
    const { targets } = run;
    if (targets) {
      const changed =
        targets.dedicated !== wire.targetDedicatedNodes ||
        targets.lowPriority !== wire.targetLowPriorityNodes;
      if (changed) {
        Object.assign(wire, {
          targetDedicatedNodes: targets.dedicated,
          targetLowPriorityNodes: targets.lowPriority,
        });
        pool.deallocation = targets.deallocation;
        wire.allocationState = 'resizing';
        wire.allocationStateTransitionTime = timestamp();
      }
    }
    this.state.savePool(pool);
    this.nodes.reconcile(pool);
  }

  /** What a formula would do to a pool now. */
  evaluateFormula(pool: PoolState, formula: string) {
    const nodes = [...pool.nodes.values()];
    const now = Date.now();
    const run = evaluateFormula(formula, {
      now,
      samples: (metric) => this.#samplesAt(pool, metric, now),
      current: {
        dedicated: Number(pool.wire.targetDedicatedNodes ?? nodes.length),
        lowPriority: Number(pool.wire.targetLowPriorityNodes ?? 0),
      },
    });
    const wire: Wire = {
      timestamp: timestamp(),
      results: run.results,
      ...('error' in run ? { error: run.error } : {}),
    };
    return { wire, targets: 'targets' in run ? run.targets : undefined };
  }

  /** Samples of a metric of a pool, with the present as the last. */
  #samplesAt(pool: PoolState, metric: string, at: number): readonly Sample[] | undefined {
    const now = this.#metrics(pool);
    if (!(metric in now)) return undefined;
    const kept = (this.#samples.get(pool.id) ?? []).map(({ at, values }) => ({
      at,
      value: values[metric] ?? 0,
    }));
    return [...kept, { at, value: now[metric] ?? 0 }];
  }

  /** Takes one sample of every metric of every pool. */
  sample(): void {
    for (const id of this.#samples.keys()) if (!this.state.pool(id)) this.#samples.delete(id);
    for (const pool of this.state.pools.values()) {
      const kept = this.#samples.get(pool.id) ?? [];
      kept.push({ at: Date.now(), values: this.#metrics(pool) });
      this.#samples.set(pool.id, kept.slice(-samplesKept));
    }
  }

  #metrics(pool: PoolState): Record<string, number> {
    const jobs = [...this.state.jobs.values()].filter(
      (job) => job.poolId?.toLowerCase() === pool.id.toLowerCase(),
    );
    const sum = (of: (job: JobState) => number) => jobs.reduce((total, job) => total + of(job), 0);
    const live = jobs.filter(({ wire }) => wire.state === 'active');
    const active = live.reduce((total, { counts }) => total + counts.active, 0);
    const running = sum(({ counts }) => counts.running);
    const nodes = [...pool.nodes.values()];
    return {
      $ActiveTasks: active,
      $RunningTasks: running,
      $PendingTasks: active + running,
      $SucceededTasks: sum(({ counts }) => counts.succeeded),
      $FailedTasks: sum(({ counts }) => counts.failed),
      $TaskSlotsPerNode: Number(pool.wire.taskSlotsPerNode ?? 1),
      $CurrentDedicatedNodes: nodes.filter(({ wire }) => wire.isDedicated).length,
      $CurrentLowPriorityNodes: nodes.filter(({ wire }) => !wire.isDedicated).length,
      $PreemptedNodeCount: nodes.filter(({ wire }) => wire.state === 'preempted').length,
      $UsableNodeCount: nodes.filter(({ wire }) => wire.state === 'idle' || wire.state === 'running').length,
      $CPUPercent: running > 0 ? 100 : 0,
    };
  }
}
