import { commands, type Memento, type TextDocumentContentProvider, Uri, window, workspace } from 'vscode';
import { documentScheme } from './contributions';

const stateKey = 'documents';

/** Documents that are kept, so that their editors have something to show after a reload. */
const maxDocuments = 20;

/** A longer document is shown, but not kept over a reload. */
const maxKeptCharacters = 100_000;

interface KeptDocument {
  readonly key: string;
  readonly text: string;
}

/** Read-only documents with content that was fetched or computed. */
export class Documents implements TextDocumentContentProvider {
  readonly #texts = new Map<string, string>();

  constructor(private readonly state: Memento) {
    for (const { key, text } of state.get<KeptDocument[]>(stateKey, [])) this.#texts.set(key, text);
  }

  provideTextDocumentContent(uri: Uri): string {
    return this.#texts.get(uri.query) ?? '';
  }

  /** Shows a text under a name whose extension is that of its language (`pool.json`); Markdown as a preview. */
  async show(name: string, text: string): Promise<void> {
    const key = `${Date.now()}-${this.#texts.size}`;
    this.#texts.set(key, text);
    for (const old of [...this.#texts.keys()].slice(0, -maxDocuments)) this.#texts.delete(old);
    const kept = [...this.#texts].filter(([, one]) => one.length <= maxKeptCharacters);
    await this.state.update(
      stateKey,
      kept.map(([one, content]): KeptDocument => ({ key: one, text: content })),
    );
    const uri = Uri.from({ scheme: documentScheme, path: `/${name.replaceAll('/', '_')}`, query: key });
    if (name.endsWith('.md')) await commands.executeCommand('markdown.showPreview', uri);
    else await window.showTextDocument(await workspace.openTextDocument(uri), { preview: true });
  }
}
