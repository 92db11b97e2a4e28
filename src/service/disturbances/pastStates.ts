import type { Supervisor } from '../guard/supervisor';
import type { Faults } from '../scheduling/faults';
import { newJob, State } from '../scheduling/state';

const minSampleMs = 25;
/** Samples within one lag: an answer is at most this fraction older than the lag. */
const samplesPerLag = 20;

const countPaths = /^\/(nodecounts|jobs\/[^/]+\/taskcounts)$/;
const listPaths = /^\/(pools|jobs|jobs\/[^/]+\/tasks|pools\/[^/]+\/nodes)$/;

interface Sample {
  readonly at: number;
  readonly records: ReadonlyMap<string, unknown>;
}

/**
 * Earlier states of the service for answers that lag (`countsLagMs`, `listsLagMs`). A past state is made of the records
 * that the journal held then, as a restart would make it.
 */
export class PastStates {
  #samples: Sample[] = [];
  /** Counts the orders: the timer of an earlier one stops. */
  #orders = 0;

  constructor(
    private readonly state: State,
    private readonly faults: Faults,
    private readonly supervisor: Supervisor,
  ) {}

  /** Takes samples for as long as a lag is ordered. */
  update(): void {
    this.#sample(++this.#orders);
  }

  /**
   * The state from which a request is answered. A job or pool that did not exist in that past is there without tasks
   * and nodes if the request is about it alone.
   */
  stateFor(method: string, path: string, params: readonly string[]): State | undefined {
    const { countsMs, listsMs } = this.faults.lags;
    const isCount = countPaths.test(path);
    const lag = isCount ? countsMs : listPaths.test(path) ? listsMs : 0;
    if (method !== 'GET' || lag === 0) return undefined;
    const until = Date.now() - lag;
    const sample = this.#samples.findLast(({ at }) => at <= until);
    const past = new State(new PastJournal(sample?.records ?? new Map()));
    const [parent] = params;
    if (parent !== undefined && path.startsWith('/jobs/') && !past.job(parent)) past.addJob(newJob(parent));
    if (parent !== undefined && path.startsWith('/pools/') && !past.pool(parent))
      past.addPool({ id: parent, wire: {}, nodes: new Map() });
    return past;
  }

  #sample(order: number): void {
    if (order !== this.#orders) return;
    const { countsMs, listsMs } = this.faults.lags;
    const lag = Math.max(countsMs, listsMs);
    if (lag === 0) {
      this.#samples = [];
      return;
    }
    const now = Date.now();
    this.#samples.push({ at: now, records: new Map(structuredClone([...this.state.records()])) });
    const needed = this.#samples.findLastIndex(({ at }) => at <= now - lag);
    if (needed > 0) this.#samples.splice(0, needed);
    const shortest = Math.min(...[countsMs, listsMs].filter((ms) => ms > 0));
    this.supervisor.after(
      Math.max(minSampleMs, shortest / samplesPerLag),
      { about: 'answers that are out of date' },
      () => this.#sample(order),
    );
  }
}

/** A journal of records that are over: it stores nothing. */
class PastJournal {
  readonly shouldRewrite = false;
  readonly isWritable = true;

  constructor(private readonly records: ReadonlyMap<string, unknown>) {}

  /** Copies: the state that is made of them may change its own. */
  read(): Map<string, unknown> {
    return structuredClone(new Map(this.records));
  }

  put(): undefined {}
  remove(): void {}
  sync(): void {}

  rewrite(): boolean {
    return true;
  }

  recover(): boolean {
    return true;
  }

  isStale(): boolean {
    return false;
  }
}
