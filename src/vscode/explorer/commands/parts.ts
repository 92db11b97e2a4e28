import type { Documents } from '../../documents';
import type { AccountsView } from '../accountsView';
import type { ExplorerData } from '../explorerData';
import type { NodeOf } from '../explorerNode';
import type { AutoscaleDocuments } from './autoscaleDocument';

/** What the commands of the Accounts view use. */
export interface ExplorerParts {
  readonly data: ExplorerData;
  readonly accountsView: AccountsView;
  readonly documents: Documents;
  readonly autoscale: AutoscaleDocuments;
  readonly showHeatMap: (pool: NodeOf<'pool'>) => Promise<void>;
}
