import { commands, type TextDocumentContentProvider, Uri, window, workspace } from 'vscode';
import { DisposableStore } from './disposable';

export const documentScheme = 'azure-batch-document';

/** Read-only documents made of something that was fetched; forgotten when they are closed. */
export class Documents implements TextDocumentContentProvider {
  readonly #disposables = new DisposableStore();
  readonly #texts = new Map<string, string>();
  #next = 1;

  constructor() {
    this.#disposables.add(
      workspace.onDidCloseTextDocument(({ uri }) => {
        if (uri.scheme === documentScheme) this.#texts.delete(uri.query);
      }),
    );
  }

  provideTextDocumentContent(uri: Uri): string {
    return this.#texts.get(uri.query) ?? '';
  }

  /** Opens a text under a name whose end tells its language (`pool.json`); Markdown as it is read. */
  async show(name: string, text: string): Promise<void> {
    const key = String(this.#next++);
    this.#texts.set(key, text);
    const uri = Uri.from({ scheme: documentScheme, path: `/${name.replaceAll('/', '_')}`, query: key });
    if (name.endsWith('.md')) await commands.executeCommand('markdown.showPreview', uri);
    else await window.showTextDocument(await workspace.openTextDocument(uri), { preview: true });
  }

  dispose(): void {
    this.#disposables.dispose();
  }
}
