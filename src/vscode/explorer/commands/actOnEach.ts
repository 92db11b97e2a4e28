import pLimit from 'p-limit';
import { l10n } from 'vscode';
import { isAbort, UserError } from '../../../core/errors';
import { longWork } from '../../longWork';
import { showWarning } from '../../messages';
import { count } from '../../words/numbers';
import { textOf } from '../../words/sentences';
import { type AccountNode, resourceName } from '../explorerNode';
import type { ExplorerParts } from './parts';

const requestsAtOnce = 8;
/** Maximum number of lines in a message, since not every dialog scrolls. */
const maxLines = 20;

interface Failure {
  readonly name: string;
  readonly error: UserError;
}

/** Acts on each row, continues after failures, shows which rows failed and why, and refreshes the view. */
export async function actOnEach<Row extends AccountNode>(
  { accountsView }: Pick<ExplorerParts, 'accountsView'>,
  rows: readonly Row[],
  title: string,
  act: (row: Row, signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const failures: Failure[] = [];
  let left = rows.length;
  try {
    await longWork(title, async (progress, signal) => {
      const limit = pLimit(requestsAtOnce);
      const one = async (row: Row) => {
        if (signal.aborted) return;
        try {
          await act(row, signal);
        } catch (error) {
          if (isAbort(error)) return;
          if (!(error instanceof UserError)) throw error;
          failures.push({ name: resourceName(row), error });
        }
        left--;
        progress.report({
          message: l10n.t('{0} of {1}', count(rows.length - left), count(rows.length)),
          increment: 100 / rows.length,
        });
      };
      await Promise.all(rows.map((row) => limit(() => one(row))));
    });
  } finally {
    for (const account of new Set(rows.map((row) => row.account))) accountsView.update(account);
  }
  const [first] = failures;
  if (first && rows.length === 1) throw first.error;
  await report(rows.length, failures, left);
}

async function report(total: number, failures: readonly Failure[], left: number): Promise<void> {
  const lines = [
    ...failures.map(({ name, error }) => `${name}: ${textOf(error)}`),
    ...(left > 0 ? [l10n.t('Not processed because you canceled: {0}', count(left))] : []),
  ];
  if (lines.length === 0) return;
  await showWarning(
    l10n.t("{0} of {1} failed or weren't processed.", count(failures.length + left), count(total)),
    { modal: true, detail: shortened(lines) },
  );
}

/** Some lines, and how many more there are. */
export function shortened(lines: readonly string[]): string {
  const more = lines.length - maxLines;
  const shown = lines.slice(0, maxLines);
  return (more > 0 ? [...shown, l10n.t('… and {0} more', count(more))] : shown).join('\n');
}

/** A line for each row. The lines begin with the name of the account where rows of several accounts are selected. */
export function namedByAccount<Row extends AccountNode>(
  rows: readonly Row[],
  lineOf: (row: Row) => string,
): string[] {
  const isMixed = new Set(rows.map(({ account }) => account.id)).size > 1;
  return rows.map((row) => (isMixed ? l10n.t('{0}: {1}', row.account.label, lineOf(row)) : lineOf(row)));
}

/** Asks before something that cannot be undone, with a button that says what it does. */
export async function confirm(title: string, button: string, lines: readonly string[]): Promise<boolean> {
  const answer = await showWarning(title, { modal: true, detail: shortened(lines) }, button);
  return answer === button;
}
