import { type LogOutputChannel, l10n, type Memento, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { Leftovers } from '../../core/cleanUp/leftovers';
import { UserError } from '../../core/errors';
import type { Accounts } from '../accounts/accounts';
import { showInformation } from '../messages';
import { isToContinue } from '../runs/runRecord';
import type { Runs } from '../runs/runs';
import { bytes, count } from '../words/numbers';

const offeredKey = 'offeredLeftovers';

/** Maximum number of remembered runs whose leftovers were offered. */
const maxOffered = 500;

const timeoutMs = 60_000;

interface Parts {
  readonly accounts: Accounts;
  readonly runs: Runs;
  /** Shared by all windows of the user. */
  readonly state: Memento;
  readonly log: LogOutputChannel;
  readonly cleanUp: (account: AccountRecord, leftBy: readonly string[]) => Promise<void>;
}

/**
 * Offers once, when a window opens, to clean up what runs left in the accounts of this workspace. Never asks to sign in
 * and starts no service. Offers again only when another run has left something.
 */
export async function offerLeftovers({ accounts, runs, state, log, cleanUp }: Parts): Promise<void> {
  if (!workspace.isTrusted) return;
  const used = new Set([accounts.current?.id, ...runs.records.map(({ accountId }) => accountId)]);
  for (const account of accounts.all.filter(({ id }) => used.has(id))) {
    const offered = state.get<string[]>(offeredKey, []);
    // Runs that this window works on or continues have no leftovers yet.
    const isKnown = (runId: string) =>
      offered.includes(runId) ||
      runs.live(runId) !== undefined ||
      runs.records.some((record) => record.runId === runId && isToContinue(record));
    const left = await leftoversOf(account, { accounts, log, isKnown });
    const fresh = left.runIds.filter((runId) => !isKnown(runId));
    log.debug(
      `Runs with leftovers in ${account.label}: ${left.runIds.length}, not offered yet: ${fresh.length}`,
    );
    if (fresh.length === 0) continue;
    await state.update(offeredKey, [...fresh, ...offered].slice(0, maxOffered));
    const open = l10n.t('Clean Up…');
    if ((await showInformation(wordsOf(account, left), open)) === open) await cleanUp(account, left.runIds);
  }
}

async function leftoversOf(
  account: AccountRecord,
  { accounts, log, isKnown }: Pick<Parts, 'accounts' | 'log'> & { isKnown: (runId: string) => boolean },
): Promise<Leftovers> {
  const none = { runIds: [], bytes: 0 };
  try {
    if (!(await accounts.isReachable(account))) return none;
    const [{ findLeftovers }, { Batch }, { Storage }] = await Promise.all([
      import('../../core/cleanUp/leftovers'),
      import('../../core/azure/batch'),
      import('../../core/azure/storage'),
    ]);
    const signal = AbortSignal.timeout(timeoutMs);
    const connection = await accounts.connect(account, signal);
    return await findLeftovers(new Batch(connection), new Storage(connection), { isKnown, signal });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    log.debug(`Couldn't look for leftovers in ${account.label}: ${error.message}`);
    return none;
  }
}

function wordsOf({ label }: AccountRecord, left: Leftovers): string {
  return left.runIds.length === 1
    ? l10n.t('A run that did not finish left files in {0} ({1}).', label, bytes(left.bytes))
    : l10n.t(
        '{0} runs that did not finish left files in {1} ({2}).',
        count(left.runIds.length),
        label,
        bytes(left.bytes),
      );
}
