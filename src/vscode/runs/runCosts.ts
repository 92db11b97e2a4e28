import type { LogOutputChannel, Memento } from 'vscode';
import type { RetailPrices, VmPrices } from '../../core/accounts/prices';
import type { AccountRecord } from '../../core/azure/account';
import type { RunEstimate } from '../../core/estimates/estimate';
import type { Speed } from '../../core/estimates/speeds';
import type { ExpectedUse, FileResult, Manifest } from '../../core/plan/manifest';
import type { PlannedRun } from '../../core/plan/planRun';
import { settings } from '../settings';

/** What a run is expected to take, with its cost where prices are known. */
export interface ExpectedRun extends RunEstimate {
  /** In `currency`. */
  readonly cost?: number;
  readonly maxCost?: number;
  readonly currency?: string;
}

/** A planned run with limits that its estimate fits into, what does not fit, and the estimate for the report. */
export async function withEstimate(
  { manifest, notes }: PlannedRun,
  expected: ExpectedRun,
): Promise<PlannedRun> {
  const { withLimits } = await import('../../core/estimates/limits');
  const { minutes, nodeHours, cost, currency } = expected;
  const use: ExpectedUse = { minutes, nodeHours: nodeHours.dedicated + nodeHours.spot, cost, currency };
  return {
    manifest: { ...withLimits(manifest, expected.limits), expected: use },
    notes: [...expected.notes, ...notes],
  };
}

const speedsKey = 'speeds';
const maxSpeeds = 200;
const maxCounted = 200;

interface Speeds {
  /** By account, preset, size and slots of the nodes. */
  readonly speeds: Readonly<Record<string, Speed>>;
  /** Runs that are part of the speeds. */
  readonly counted: readonly string[];
}

/**
 * Estimates the time and cost of runs. Speeds of earlier runs are kept in the workspace, and learned again from the
 * manifests in the account; prices come from Azure's public list.
 */
export class RunCosts {
  #prices: RetailPrices | undefined;

  constructor(
    private readonly state: Memento,
    private readonly globalState: Memento,
    private readonly log: LogOutputChannel,
  ) {}

  async expect(account: AccountRecord, manifest: Manifest): Promise<ExpectedRun> {
    const [{ estimateRun }, { costOf }] = await Promise.all([
      import('../../core/estimates/estimate'),
      import('../../core/accounts/prices'),
    ]);
    const speed = this.#read().speeds[keyOf(account.id, manifest)];
    const estimate = estimateRun(manifest, { isLocal: account.signIn === 'local', speed });
    const prices = await this.pricesOf(account, manifest.pool.vmSize);
    return {
      ...estimate,
      cost: costOf(estimate.nodeHours, prices),
      maxCost: costOf(estimate.maxNodeHours, prices),
      currency: prices?.currency,
    };
  }

  /** Prices of a size for an account; undefined where they are unknown, cost nothing, or are turned off. */
  async pricesOf(account: AccountRecord, vmSize: string): Promise<VmPrices | undefined> {
    const { show, currency } = settings().prices;
    if (!show || account.signIn === 'local') return undefined;
    const { pricedRegion, RetailPrices } = await import('../../core/accounts/prices');
    const region = pricedRegion(account.batchUrl);
    if (region === undefined) return undefined;
    this.#prices ??= new RetailPrices(this.globalState, { log: this.log });
    return this.#prices.pricesOf({ vmSize, region, currency });
  }

  /** Learns from a run that is over. Each run counts once. */
  async learn(accountId: string, manifest: Manifest, results: readonly FileResult[]): Promise<void> {
    const { addSpeed, speedOf } = await import('../../core/estimates/speeds');
    const { speeds, counted } = this.#read();
    const speed = speedOf(manifest, results);
    if (speed === undefined || manifest.finished === undefined || counted.includes(manifest.runId)) return;
    const key = keyOf(accountId, manifest);
    // The newest keys come first.
    const others = Object.entries(speeds).filter(([other]) => other !== key);
    const all = [[key, addSpeed(speeds[key], speed)] as const, ...others].slice(0, maxSpeeds);
    await this.state.update(speedsKey, {
      speeds: Object.fromEntries(all),
      counted: [manifest.runId, ...counted].slice(0, maxCounted),
    } satisfies Speeds);
  }

  #read(): Speeds {
    return this.state.get<Speeds>(speedsKey, { speeds: {}, counted: [] });
  }
}

function keyOf(accountId: string, { preset, pool }: Manifest): string {
  return [accountId, preset.id, pool.vmSize, pool.slotsPerNode].join('|');
}
