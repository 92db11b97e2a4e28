import { l10n, StatusBarAlignment, type StatusBarItem, window } from 'vscode';
import { background } from '../background';
import { runsView } from '../contributions';
import { DisposableStore } from '../disposable';
import type { Runs } from './runs';

/** The item changes at most this often, in milliseconds. */
const refreshMs = 250;

/** Shows how far the active runs are. A click opens the Transcodes view. */
export class StatusBar {
  readonly #disposables = new DisposableStore();
  readonly #item: StatusBarItem;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly runs: Runs) {
    this.#item = this.#disposables.add(window.createStatusBarItem(runsView, StatusBarAlignment.Left, 10));
    this.#item.name = l10n.t('Azure Batch Transcodes');
    this.#item.command = `${runsView}.focus`;
    this.#disposables.add(runs.onChanged(() => this.#mark()));
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#disposables.dispose();
  }

  /** A run changes with each block that is sent. */
  #mark(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      background(this.#show());
    }, refreshMs);
  }

  async #show(): Promise<void> {
    const words = this.runs.liveRuns.length > 0 ? (await import('./runWords')).statusWords : undefined;
    const live = this.runs.liveRuns;
    if (words === undefined || live.length === 0) {
      this.#item.hide();
      return;
    }
    const { text, tooltip, label } = words(live);
    this.#item.text = text;
    this.#item.tooltip = tooltip;
    this.#item.accessibilityInformation = { label };
    this.#item.show();
  }
}
