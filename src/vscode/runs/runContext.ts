import type { Disposable } from 'vscode';
import { setContextKey } from '../contextKeys';
import { DisposableStore } from '../disposable';
import { hasFailures, hasOutputs } from './runCommands';
import type { Runs } from './runs';

/** Tells the palette which commands about runs can do anything. */
export class RunContext implements Disposable {
  readonly #disposables = new DisposableStore();

  constructor(private readonly runs: Runs) {
    this.#set();
    // Fires for each number of a run, too, which changes nothing here.
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
  }
}
