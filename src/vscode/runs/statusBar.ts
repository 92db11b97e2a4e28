import { l10n, StatusBarAlignment, type StatusBarItem, window } from 'vscode';
import { runsView } from '../contributions';
import { DisposableStore } from '../disposable';
import { count } from '../words/numbers';
import { presetName } from '../words/presetLabels';
import { progressLine } from '../words/story';
import { fileNumbers } from './runRecord';
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
      this.#show();
    }, refreshMs);
  }

  #show(): void {
    const live = this.runs.liveRuns;
    if (live.length === 0) {
      this.#item.hide();
      return;
    }
    const numbers = live.map(({ manifest, results }) => fileNumbers(manifest, results.values()));
    const done = count(numbers.reduce((sum, { succeeded }) => sum + succeeded, 0));
    const total = count(numbers.reduce((sum, { files }) => sum + files, 0));
    this.#item.text = l10n.t('$(sync~spin) Transcode {0}/{1}', done, total);
    this.#item.tooltip = live
      .map(
        ({ progress, manifest, results, timeLeft }) =>
          `${presetName(manifest.preset)}: ${progressLine(progress, fileNumbers(manifest, results.values()), timeLeft())}`,
      )
      .join('\n');
    this.#item.accessibilityInformation = {
      label: l10n.t('Transcoding: {0} of {1} files done', done, total),
    };
    this.#item.show();
  }
}
