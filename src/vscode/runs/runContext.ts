import type { Disposable } from 'vscode';
import { setContextKey } from '../contextKeys';
import { DisposableStore } from '../disposable';
import { hasFailures, hasOutputs, isRetryable } from './runRecord';
import type { Runs } from './runs';

/** Sets the context keys that hide commands about runs that would have no effect. */
export class RunContext implements Disposable {
  readonly #disposables = new DisposableStore();

  constructor(private readonly runs: Runs) {
    this.#set();
    // Also fires when only numbers of a run change, which the keys do not depend on.
    this.#disposables.add(runs.onChanged((runId) => runId === undefined && this.#set()));
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  #set(): void {
    const { records, liveRuns } = this.runs;
    setContextKey('hasRuns', records.length > 0);
    setContextKey('hasLiveRuns', liveRuns.length > 0);
    setContextKey('hasFailures', records.some(hasFailures));
    setContextKey('hasOutputs', records.some(hasOutputs));
    setContextKey('hasRetryable', records.some(isRetryable));
  }
}
