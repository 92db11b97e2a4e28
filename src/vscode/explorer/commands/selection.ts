import { l10n } from 'vscode';
import { background } from '../../background';
import { showInformation } from '../../messages';
import { count } from '../../words/numbers';
import type { ExplorerNode, NodeOf } from '../explorerNode';
import { rowLabel } from '../rowLabels';
import type { ExplorerParts } from './parts';

type Kind = ExplorerNode['kind'];

/**
 * The rows of some kinds that a command acts on: the selected ones where the clicked row is among them, as VS Code hands
 * them over; the view's selection where nothing was clicked, as with a keyboard shortcut. Says so where there is none,
 * and how many selected rows are of another kind.
 */
export function selectedRows<Kinds extends Kind>(
  { accountsView }: Pick<ExplorerParts, 'accountsView'>,
  kinds: readonly Kinds[],
  clicked: ExplorerNode | undefined,
  selected: readonly ExplorerNode[] | undefined,
): NodeOf<Kinds>[] {
  const rows = selected?.length ? selected : clicked ? [clicked] : accountsView.view.selection;
  const isWanted = (row: ExplorerNode): row is NodeOf<Kinds> => (kinds as readonly Kind[]).includes(row.kind);
  const wanted = rows.filter(isWanted);
  const others = rows.length - wanted.length;
  if (wanted.length === 0) {
    background(showInformation(l10n.t('Select a row in the Accounts view that this command applies to.')));
  } else if (others > 0) {
    background(
      showInformation(
        others === 1
          ? l10n.t("1 selected row was left out: the command doesn't apply to it.")
          : l10n.t("{0} selected rows were left out: the command doesn't apply to them.", count(others)),
      ),
    );
  }
  return wanted;
}

/** The one row that a command acts on: the clicked one. Says so where several are selected; undefined where there is none. */
export function selectedRow<Kinds extends Kind>(
  parts: Pick<ExplorerParts, 'accountsView'>,
  kinds: readonly Kinds[],
  clicked: ExplorerNode | undefined,
  selected?: readonly ExplorerNode[],
): NodeOf<Kinds> | undefined {
  const [row] = selectedRows(parts, kinds, clicked ?? parts.accountsView.view.selection[0], undefined);
  if (row && selected && selected.length > 1)
    background(showInformation(l10n.t('This command applies to one row at a time: {0}.', rowLabel(row))));
  return row;
}
