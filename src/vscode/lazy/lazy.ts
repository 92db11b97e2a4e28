import type { Disposable } from 'vscode';

/**
 * A part of the extension that is loaded and made when it is first used, so that a window loads only what it needs. After a
 * load that fails, the next use loads again.
 */
export class Lazy<Part extends object> implements Disposable {
  #loading: Promise<Part> | undefined;

  constructor(private readonly load: () => Promise<Part>) {}

  /** Resolves to the part, which is the same one each time. */
  get(): Promise<Part> {
    this.#loading ??= this.load().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** Does something with the part. */
  async use<Result>(work: (part: Part) => Result): Promise<Awaited<Result>> {
    return await work(await this.get());
  }

  /** Disposes of the part, if it was made and can be disposed of. */
  dispose(): void {
    this.#loading?.then(
      (part) => {
        if (isDisposable(part)) part.dispose();
      },
      () => undefined,
    );
  }
}

function isDisposable(part: object): part is Disposable {
  return 'dispose' in part && typeof part.dispose === 'function';
}
