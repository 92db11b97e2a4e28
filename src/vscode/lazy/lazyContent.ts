import {
  type Disposable,
  type Event,
  EventEmitter,
  type TextDocumentContentProvider,
  type Uri,
} from 'vscode';
import type { Lazy } from './lazy';

interface Content {
  readonly onDidChange: Event<Uri>;
  provideTextDocumentContent(uri: Uri): Promise<string>;
}

/** The content of read-only documents. What writes it is loaded when VS Code first asks for a document. */
export class LazyContent implements TextDocumentContentProvider, Disposable {
  readonly #changed = new EventEmitter<Uri>();
  readonly onDidChange = this.#changed.event;
  #listening: Disposable | undefined;

  constructor(private readonly content: Lazy<Content>) {}

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const content = await this.content.get();
    this.#listening ??= content.onDidChange((changed) => this.#changed.fire(changed));
    return content.provideTextDocumentContent(uri);
  }

  dispose(): void {
    this.#listening?.dispose();
    this.#changed.dispose();
  }
}
