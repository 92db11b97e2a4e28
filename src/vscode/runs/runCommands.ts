import { env, l10n } from 'vscode';
import { UserError } from '../../core/errors';
import type { Accounts } from '../accounts/accounts';
import type { Handlers } from '../commands';
import type { RunCommandId } from '../contributions';
import { showWarning } from '../messages';
import { sourceUri } from '../workspaceFiles';
import { showFailures, showInExplorer, showOutputs } from './outcome';
import type { Reports } from './report';
import { pickRun } from './runPickers';
import { hasFailures, hasOutputs, isToContinue, type RunRecord } from './runRecord';
import type { RunNode } from './runRows';
import type { Runs } from './runs';
import type { RunsTree } from './runsTree';
import { firstNames, runTitle } from './runWords';

interface RunParts {
  readonly accounts: Accounts;
  readonly runs: Runs;
  readonly runsTree: RunsTree;
  readonly reports: Reports;
}

/** A run, as commands are called with it: by its item in the view, by its id, or by nothing from the palette. */
export type RunArgument = RunNode | string | undefined;

interface Asked {
  readonly title: string;
  readonly suits?: (record: RunRecord) => boolean;
  readonly act: (runId: string) => Promise<unknown>;
}

/** The commands about the results of runs. Without a run they ask for one, if there are several. */
export function runCommands({ accounts, runs, runsTree, reports }: RunParts): Handlers<RunCommandId> {
  const forRun =
    ({ title, suits = () => true, act }: Asked) =>
    async (run: RunArgument) => {
      const none = l10n.t('No run of this workspace has anything to show.');
      const runId = runIdOf(run) ?? (await pickRun(runs, { title, suits, none }))?.runId;
      if (runId) await act(runId);
    };
  return {
    showFailures: forRun({
      title: l10n.t('Show the failures of which run?'),
      suits: hasFailures,
      act: (id) => showFailures(accounts, runs, id),
    }),
    showOutputs: forRun({
      title: l10n.t('Show the outputs of which run?'),
      suits: hasOutputs,
      act: (id) => showOutputs(accounts, runs, id),
    }),
    showReport: forRun({ title: l10n.t('Show the report of which run?'), act: (id) => reports.show(id) }),
    exportReport: forRun({ title: l10n.t('Export the report of which run?'), act: (id) => reports.save(id) }),
    forgetRun: forRun({
      title: l10n.t('Remove which run from the list?'),
      suits: ({ runId }) => !runs.isWorkingOn(runId),
      act: (id) => forgetRun(runs, id),
    }),
    async savePartialOutput(node?: RunNode) {
      if (node?.kind !== 'file') return;
      const { savePartialOutput } = await import('./partialOutput');
      await savePartialOutput(accounts, node.record, node.file);
    },
    async revealOutput(node?: RunNode) {
      const uri = node && runsTree.outputOf(node);
      if (uri) await showInExplorer(uri);
    },
    async revealSource(node?: RunNode) {
      if (node?.kind === 'file' || node?.kind === 'refused') await showInExplorer(sourceUri(node.file));
    },
    async copyRunId(run?: RunArgument) {
      const runId = runIdOf(run);
      if (runId) await env.clipboard.writeText(runId);
    },
  };
}

/** The id of the run that a command was called with. */
function runIdOf(run: RunArgument): string | undefined {
  return typeof run === 'string' ? run : run?.record.runId;
}

async function forgetRun(runs: Runs, runId: string): Promise<void> {
  const record = runs.record(runId);
  if (record === undefined) return;
  refuseLive(runs, runId);
  const remove = l10n.t('Remove from List');
  const answer = await showWarning(
    l10n.t('Remove {0} from the list?', runTitle(record)),
    {
      modal: true,
      detail: [
        firstNames(record),
        lossText(record),
        l10n.t('Nothing in the account is deleted. Clean Up deletes the job and the containers of the run.'),
      ]
        .filter(Boolean)
        .join('\n'),
    },
    remove,
  );
  if (answer !== remove) return;
  // The run may have been continued while the question was open.
  refuseLive(runs, runId);
  await runs.forget(runId);
}

/** A run that this window works on would be listed again at once. */
function refuseLive(runs: Runs, runId: string): void {
  if (runs.isWorkingOn(runId)) throw new UserError({ kind: 'runTaken', run: runId, here: true });
}

/** A warning about what stops when a run is removed from the list; empty if nothing does. */
function lossText(record: RunRecord): string {
  if (record.isCanceling)
    return l10n.t("The run isn't canceled yet, and won't be: its tasks may keep running and cost money.");
  return isToContinue(record)
    ? l10n.t("The run hasn't ended, and won't continue: its tasks may keep running and cost money.")
    : '';
}
