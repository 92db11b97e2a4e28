import pLimit from 'p-limit';
import { type Disposable, type LogOutputChannel, window, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import { isClaimedHere } from '../../core/records/leaseNotes';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { DisposableStore } from '../disposable';
import { every } from '../timers';
import { readRun } from './outcome';
import type { RunCosts } from './runCosts';
import { maxRecords, type RunRecord } from './runRecord';
import type { EndedRun, Runs } from './runs';
import type { RunsTree } from './runsTree';

/** The list is refreshed at most this often. */
const minPauseMs = 30_000;

/** While the view is visible and the window has the focus. */
const everyMs = 60_000;

/** Another window of this machine may start or end its work at any time: this reads only local files. */
const elsewhereMs = 5_000;

const readsAtOnce = 8;
const timeoutMs = 60_000;

interface Parts {
  readonly accounts: Accounts;
  readonly runs: Runs;
  readonly runsTree: RunsTree;
  readonly costs: RunCosts;
  readonly log: LogOutputChannel;
  readonly isVisible: () => boolean;
}

/**
 * Keeps the Transcodes view complete: runs of other windows, sessions and machines are listed from the account, where
 * every run has its manifest. One request lists the runs of an account, and two more read each run that is new or not
 * over. Starts nothing: the local account is asked only while its service runs.
 */
export class RunHistory implements Disposable {
  readonly #disposables = new DisposableStore();
  /** Runs that are over and were read in this session. */
  readonly #over = new Map<string, RunRecord>();
  #last = 0;
  /** Resolves with why accounts could not be asked. */
  #refreshing: Promise<UserError[]> | undefined;

  constructor(private readonly parts: Parts) {
    this.#disposables.add(every(everyMs, () => this.#refreshIfSeen()));
    this.#disposables.add(every(elsewhereMs, () => this.#readClaims()));
    this.#disposables.add(
      window.onDidChangeWindowState(({ focused }) => focused && background(this.#refreshIfSeen())),
    );
  }

  /** Called when the view becomes visible. */
  async shown(): Promise<void> {
    await Promise.all([this.#readClaims(), this.#refreshIfSeen()]);
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  /** Lists the runs of this workspace in the accounts that it uses. A failure leaves the list as it is. */
  async refresh(): Promise<void> {
    await this.#refreshed();
  }

  /** The same, asked for by the user. Throws the first failure, when all accounts have been asked. */
  async refreshNow(): Promise<void> {
    const [problem] = await this.#refreshed();
    if (problem) throw problem;
  }

  #refreshed(): Promise<UserError[]> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** Called when this window stops working on a run. */
  async runEnded({ account, manifest, results }: EndedRun): Promise<void> {
    await this.parts.costs.learn(account.id, manifest, results);
    await this.refresh();
  }

  async #refreshIfSeen(): Promise<void> {
    if (!this.parts.isVisible() || !window.state.focused || Date.now() - this.#last < minPauseMs) return;
    await this.refresh();
  }

  async #refresh(): Promise<UserError[]> {
    this.#last = Date.now();
    const problems: UserError[] = [];
    const { accounts, runs, log } = this.parts;
    const used = new Set([accounts.current?.id, ...runs.records.map(({ accountId }) => accountId)]);
    for (const account of accounts.all.filter(({ id }) => used.has(id))) {
      try {
        if (!(await accounts.isReachable(account))) continue;
        const since = Date.now();
        await runs.merge(account.id, await this.#read(account), since);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        log.debug(`The runs of ${account.label} could not be listed: ${error.message}`);
        error.accountId ??= account.id;
        problems.push(error);
      }
    }
    return problems;
  }

  async #read(account: AccountRecord): Promise<RunRecord[]> {
    const { accounts, runs } = this.parts;
    const [{ runsOf }, { Storage }] = await Promise.all([
      import('../../core/records/runList'),
      import('../../core/azure/storage'),
    ]);
    const signal = AbortSignal.timeout(timeoutMs);
    const storage = new Storage(await accounts.connect(account, signal));
    const remembered = new Set(runs.records.map(({ runId }) => runId));
    const here = (await runsOf(storage, signal)).filter(
      (run) => run.workspace === (workspace.name ?? '') || remembered.has(run.runId),
    );
    const limit = pLimit(readsAtOnce);
    const read = async (run: (typeof here)[number]) => {
      const { runId } = run;
      const over = this.#over.get(runId);
      const local = runs.record(runId);
      if (over && (!local || JSON.stringify(local) === JSON.stringify(over))) return over;
      const found = await readRun(storage, account.id, run, signal);
      if (found === undefined) return undefined;
      const { record, manifest, results } = found;
      await this.parts.costs.learn(account.id, manifest, results);
      if (record.status !== 'stopped') this.#over.set(runId, record);
      return record;
    };
    const records = await Promise.all(here.slice(0, maxRecords).map((run) => limit(() => read(run))));
    return records.filter((record) => record !== undefined);
  }

  async #readClaims(): Promise<void> {
    const { runs, runsTree, isVisible } = this.parts;
    if (!isVisible()) return;
    const claimed = new Set<string>();
    for (const { runId, status } of runs.records) {
      if (status === 'finished' || runs.isWorkingOn(runId)) continue;
      const isClaimed = await isClaimedHere(runs.claimFolder, runId);
      // This window may have claimed the run meanwhile.
      if (isClaimed && !runs.isWorkingOn(runId)) claimed.add(runId);
    }
    const ended = runsTree.setElsewhere(claimed);
    if (ended) await this.refresh();
  }
}
