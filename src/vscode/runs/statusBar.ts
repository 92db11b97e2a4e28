import { l10n, StatusBarAlignment, type StatusBarItem, type ViewBadge, window } from 'vscode';
import { background } from '../background';
import { runsView } from '../contributions';
import { DisposableStore } from '../disposable';
import type { Runs } from './runs';

/** The item changes at most this often, in milliseconds. */
const refreshMs = 250;

/** Shows how far the active runs are, and on the icon of the views how many there are. A click opens the Transcodes view. */
export class StatusBar {
  readonly #disposables = new DisposableStore();
  readonly #item: StatusBarItem;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly runs: Runs,
    private readonly view: { badge: ViewBadge | undefined },
  ) {
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
      this.view.badge = undefined;
      return;
    }
    const { text, tooltip, label } = words(live);
    this.#item.text = text;
    this.#item.tooltip = tooltip;
    this.#item.accessibilityInformation = { label };
    this.view.badge = { value: live.length, tooltip: label };
    this.#item.show();
  }
}
