import {
  checkFormula,
  evaluateFormula,
  type FormulaContext,
  type MetricName,
  metricNames,
  type Sample,
} from '../autoscale/evaluate';
import type { Supervisor } from '../guard/supervisor';
import { durationMs, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Pools } from './pools';
import type { JobState, PoolState, State } from './state';

const samplesKept = 240;

/** Milliseconds between two evaluations of a pool's formula. */
function intervalOf({ wire }: PoolState): number {
  return durationMs(String(wire.autoScaleEvaluationInterval)) ?? 900_000;
}

/** Where the next evaluation is further away than an interval, the clock was set back. */
function isDue(pool: PoolState, now: number): boolean {
  const { evaluateAt = 0 } = pool;
  return now >= evaluateAt || evaluateAt - now > intervalOf(pool);
}

/** Samples the metrics of pools, evaluates their formulas and sets their targets. */
export class Autoscaling {
  readonly #samples = new Map<string, { at: number; values: Record<MetricName, number> }[]>();

  constructor(
    private readonly state: State,
    private readonly pools: Pools,
    private readonly supervisor: Supervisor,
  ) {}

  /** Evaluates the formulas that are due. */
  evaluateDue(now: number): void {
    for (const pool of this.state.pools.values()) {
      const { enableAutoScale, state } = pool.wire;
      if (enableAutoScale && state === 'active' && isDue(pool, now))
        this.supervisor.run({ about: `formula of pool ${pool.id}` }, () => this.evaluate(pool));
    }
  }

  /** Evaluates a pool's formula and resizes it by the result. */
  evaluate(pool: PoolState): void {
    const { wire } = pool;
    pool.evaluateAt = Date.now() + intervalOf(pool);
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
    this.pools.reconcile(pool);
  }

  /** Evaluates a formula over a pool's samples, without changing the pool. */
  evaluateFormula(pool: PoolState, formula: string) {
    const run = evaluateFormula(formula, this.#context(pool));
    const wire: Wire = {
      timestamp: timestamp(),
      results: run.results,
      ...('error' in run ? { error: run.error } : {}),
    };
    return { wire, targets: 'targets' in run ? run.targets : undefined };
  }

  /** Throws a FormulaError for a formula that a pool may not have, whatever its samples are. */
  checkFormula(pool: PoolState, formula: string): void {
    checkFormula(formula, this.#context(pool));
  }

  #context(pool: PoolState): FormulaContext {
    const now = Date.now();
    const present = this.#metrics(pool);
    const kept = this.#samples.get(pool.id) ?? [];
    return {
      now,
      // The present counts as the last sample: a pool of this machine need not wait for the next one.
      samples: (metric): readonly Sample[] => [
        ...kept.filter(({ at }) => at <= now).map(({ at, values }) => ({ at, value: values[metric] })),
        { at: now, value: present[metric] },
      ],
      current: {
        dedicated: Number(pool.wire.targetDedicatedNodes ?? 0),
        lowPriority: Number(pool.wire.targetLowPriorityNodes ?? 0),
      },
    };
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

  /** What this machine does not measure of a pool, such as `$DiskReadOps`, is 0. */
  #metrics(pool: PoolState): Record<MetricName, number> {
    const jobs = [...this.state.jobs.values()].filter(
      (job) => job.poolId?.toLowerCase() === pool.id.toLowerCase(),
    );
    const sum = (of: (job: JobState) => number) => jobs.reduce((total, job) => total + of(job), 0);
    const live = jobs.filter(({ wire }) => wire.state === 'active');
    // Tasks that wait for another one do not count.
    const active = live.reduce((total, job) => total + job.active.size, 0);
    const running = sum(({ counts }) => counts.running);
    const nodes = [...pool.nodes.values()];
    const count = (states: readonly string[]) =>
      nodes.filter(({ wire }) => states.includes(String(wire.state))).length;
    const unmeasured = Object.fromEntries(metricNames.map((name) => [name, 0])) as Record<MetricName, number>;
    return {
      ...unmeasured,
      $ActiveTasks: active,
      $RunningTasks: running,
      $PendingTasks: active + running,
      $SucceededTasks: sum(({ counts }) => counts.succeeded),
      $FailedTasks: sum(({ counts }) => counts.failed),
      $TaskSlotsPerNode: Number(pool.wire.taskSlotsPerNode ?? 1),
      $CurrentDedicatedNodes: nodes.filter(({ wire }) => wire.isDedicated).length,
      $CurrentLowPriorityNodes: nodes.filter(({ wire }) => !wire.isDedicated).length,
      $PreemptedNodeCount: count(['preempted']),
      $UsableNodeCount: count(['idle', 'running']),
      $SampleNodeCount: nodes.length,
      $CPUPercent: running > 0 ? 100 : 0,
    };
  }
}
