import type { Accounts } from '../../accounts/accounts';
import type { Documents } from '../../documents';
import type { Lazy } from '../../lazy/lazy';
import type { AccountsView } from '../accountsView';
import type { ExplorerData } from '../explorerData';
import type { NodeOf } from '../explorerNode';
import type { AutoscaleDocuments } from './autoscaleDocument';

/** What the commands of the Accounts view use. */
export interface ExplorerParts {
  readonly accounts: Accounts;
  readonly data: ExplorerData;
  readonly accountsView: AccountsView;
  readonly documents: Documents;
  readonly autoscale: Lazy<AutoscaleDocuments>;
  readonly heatMaps: Lazy<{ show(pool: NodeOf<'pool'>): void }>;
}
