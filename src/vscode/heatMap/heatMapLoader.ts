import type { Disposable, Uri } from 'vscode';
import type { AccountsView } from '../explorer/accountsView';
import { openRemote } from '../explorer/commands/openRemote';
import type { ExplorerData } from '../explorer/explorerData';
import type { NodeOf } from '../explorer/explorerNode';
import type { HeatMaps } from './heatMaps';

/** Loads the heat maps when the first one is shown. */
export class HeatMapLoader implements Disposable {
  #maps: Promise<HeatMaps> | undefined;

  constructor(
    private readonly data: ExplorerData,
    private readonly accountsView: AccountsView,
    private readonly extensionUri: Uri,
  ) {}

  async show(pool: NodeOf<'pool'>): Promise<void> {
    this.#maps ??= this.#load();
    (await this.#maps).show(pool);
  }

  dispose(): void {
    this.#maps?.then(
      (maps) => maps.dispose(),
      () => undefined,
    );
  }

  async #load(): Promise<HeatMaps> {
    const { HeatMaps } = await import('./heatMaps');
    return new HeatMaps(this.data, this.extensionUri, {
      reveal: (pool, id) => this.accountsView.revealComputeNode(pool, id),
      showStartTaskLog: ({ account, pool }, id) =>
        openRemote(account, { poolId: pool.id ?? '', nodeId: id }, 'startup/stderr.txt'),
    });
  }
}
