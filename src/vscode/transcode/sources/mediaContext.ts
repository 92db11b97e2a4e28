import { type Disposable, workspace } from 'vscode';
import { setContextKey } from '../../contextKeys';
import { section } from '../../contributions';
import { DisposableStore } from '../../disposable';
import { settings } from '../../settings';
import { after } from '../../timers';

/** Tells the `when` clauses of the menus which files are media files, besides the usual extensions. */
export class MediaContext implements Disposable {
  readonly #disposables = new DisposableStore();

  constructor() {
    // Reading the first setting takes as long as half of the activation does, which does not wait for it.
    this.#disposables.add(after(0, async () => this.#setExtensions()));
    this.#disposables.add(
      workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration(`${section}.media.extensions`)) this.#setExtensions();
      }),
    );
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  #setExtensions(): void {
    const extensions = settings().extensions.flatMap((one) => [
      `.${one.toLowerCase()}`,
      `.${one.toUpperCase()}`,
    ]);
    setContextKey('mediaExtensions', extensions);
  }
}
