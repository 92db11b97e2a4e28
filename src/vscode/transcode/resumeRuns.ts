import { type LogOutputChannel, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import type { Commands } from '../commands';
import { DisposableStore } from '../disposable';
import type { RunRecord } from '../runs/runRecord';
import type { Runs } from '../runs/runs';
import type { RunWork } from './runWork';

interface ResumeParts {
  readonly accounts: Accounts;
  readonly runs: Runs;
  readonly work: RunWork;
  readonly commands: Commands;
  readonly log: LogOutputChannel;
}

/** A window that was killed keeps its claim on a run for 15 seconds. */
const oldClaimMs = 20_000;

/** Between two requests to an account that runs wait for. */
const askEveryMs = 60_000;

/**
 * A run that stops again and again although its account answers, or that another machine works on, is continued after twice
 * this time, four times, and so on.
 */
const firstPauseMs = 60_000;
const maxPauseMs = 30 * 60_000;

const askMs = 30_000;

/** Continues runs without being asked: those that this window was working on when it closed, and those that wait for their account. */
export class ResumeRuns {
  readonly #disposables = new DisposableStore();
  /** Runs that stopped again after they were continued: how often, and when they may be continued once more. */
  readonly #stoppedAgain = new Map<string, { readonly times: number; readonly notBefore: number }>();
  #timer: NodeJS.Timeout | undefined;
  #hasStarted = false;
  #asking = Promise.resolve();

  constructor(private readonly parts: ResumeParts) {
    const { accounts, runs } = parts;
    this.#disposables.add(
      runs.onCancelAsked((runId) => {
        this.#stoppedAgain.delete(runId);
        background(this.#ask());
      }),
    );
    this.#disposables.add(
      accounts.onChanged(() => {
        if (!this.#hasWaiting()) return;
        // The user may have signed in, or entered new keys.
        this.#stoppedAgain.clear();
        background(this.#ask());
      }),
    );
  }

  /**
   * Continues what this window was working on when it closed, the first time, and what waits for its account as soon as that
   * answers.
   */
  async start(): Promise<void> {
    if (!workspace.isTrusted) return;
    const { runs, commands } = this.parts;
    const interrupted = this.#hasStarted ? [] : runs.records.filter(({ status }) => status === 'running');
    this.#hasStarted = true;
    if (this.#hasWaiting()) this.#wait();
    await Promise.all(
      interrupted
        .filter(({ runId }) => !runs.isWorkingOn(runId))
        .map((record) => commands.attempt(() => this.#resume(record))),
    );
  }

  dispose(): void {
    clearInterval(this.#timer);
    this.#disposables.dispose();
  }

  #hasWaiting(): boolean {
    return this.parts.runs.records.some(({ waitsFor }) => waitsFor !== undefined);
  }

  /** Asks at once, after the first run has begun to wait or the window has opened, and then every minute. */
  #wait(): void {
    if (this.#timer === undefined) background(this.#ask());
    this.#timer ??= setInterval(() => {
      if (this.#hasWaiting()) background(this.#ask());
      else {
        clearInterval(this.#timer);
        this.#timer = undefined;
      }
    }, askEveryMs);
  }

  /** Asks the accounts that runs wait for, and continues the runs of those that answer. */
  #ask(): Promise<void> {
    this.#asking = this.#asking.catch(() => undefined).then(() => this.#askAll());
    return this.#asking;
  }

  async #askAll(): Promise<void> {
    if (!workspace.isTrusted) return;
    const { accounts, runs, commands } = this.parts;
    const due = runs.records.filter(
      ({ runId, waitsFor }) =>
        waitsFor !== undefined &&
        !runs.isWorkingOn(runId) &&
        Date.now() >= (this.#stoppedAgain.get(runId)?.notBefore ?? 0),
    );
    for (const id of new Set(due.map(({ accountId }) => accountId))) {
      const account = accounts.byId(id);
      if (account === undefined || !(await this.#answers(account))) continue;
      // Another request may have continued some of them meanwhile.
      const left = due.filter(({ accountId, runId }) => accountId === id && !runs.isWorkingOn(runId));
      for (const record of left) background(commands.attempt(() => this.#continue(record)));
    }
  }

  /** Whether both services of an account answer, and accept the credentials. */
  async #answers(account: AccountRecord): Promise<boolean> {
    const signal = AbortSignal.timeout(askMs);
    try {
      const connection = await this.parts.accounts.connect(account, signal);
      const [{ Batch }, { Storage }] = await Promise.all([
        import('../../core/azure/batch'),
        import('../../core/azure/storage'),
      ]);
      const policy = { patienceMs: 0 };
      await Promise.all([
        new Batch(connection, policy).poolPage({ pageSize: 1, signal }),
        new Storage(connection, policy).check(signal),
      ]);
      return true;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.parts.log.debug(`Runs still wait for ${account.label}: ${error.problem.kind}`);
      return false;
    }
  }

  /** What stops the run again was shown when it began to wait. */
  async #continue(record: RunRecord): Promise<void> {
    const { runId } = record;
    try {
      if (await this.#resume(record)) this.#stoppedAgain.delete(runId);
      else this.#pause(runId);
    } catch (error) {
      const waits = error instanceof UserError && error.problem.kind === 'runWaits';
      if (!waits) throw error;
      this.#pause(runId);
    }
  }

  #pause(runId: string): void {
    // Until the run is canceled, its tasks cost money.
    if (this.parts.runs.record(runId)?.isCanceling) {
      this.#stoppedAgain.delete(runId);
      return;
    }
    const times = (this.#stoppedAgain.get(runId)?.times ?? 0) + 1;
    const pauseMs = Math.min(firstPauseMs * 2 ** times, maxPauseMs);
    this.#stoppedAgain.set(runId, { times, notBefore: Date.now() + pauseMs });
  }

  /** Resolves with false if another window or machine works on the run. */
  async #resume(record: RunRecord): Promise<boolean> {
    const { runs, work } = this.parts;
    try {
      await work.resume(record, record.until ?? 'fetched', { waitMs: oldClaimMs, isInterrupted: true });
    } catch (error) {
      const kind = error instanceof UserError ? error.problem.kind : undefined;
      if (kind === 'runTaken') return false;
      if (kind !== 'runNotFound' || !record.isCanceling) throw error;
      // It was canceled before the account held it.
      await runs.forget(record.runId);
    }
    return true;
  }
}
