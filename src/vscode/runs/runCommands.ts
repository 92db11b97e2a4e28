import { commands, l10n } from 'vscode';
import type { Accounts } from '../accounts/accounts';
import type { Handlers } from '../commands';
import type { RunCommandId } from '../contributions';
import { showFailures, showOutputs } from './outcome';
import type { Reports } from './report';
import { pickRun } from './runPickers';
import type { RunRecord, Runs } from './runs';
import type { RunNode, RunsTree } from './runsTree';

interface RunParts {
  readonly accounts: Accounts;
  readonly runs: Runs;
  readonly runsTree: RunsTree;
  readonly reports: Reports;
}

/** A run, as commands are called with it: by its item in the view, by its id, or by nothing from the palette. */
export type RunArgument = RunNode | string | undefined;

/** The commands about the results of runs. Without a run they ask for one, if there are several. */
export function runCommands({ accounts, runs, runsTree, reports }: RunParts): Handlers<RunCommandId> {
  const withRun =
    (
      title: string,
      act: (runId: string) => Promise<unknown>,
      suits: (record: RunRecord) => boolean = () => true,
    ) =>
    async (run: RunArgument) => {
      const none = l10n.t('No run of this workspace has anything to show.');
      const runId = runIdOf(run) ?? (await pickRun(runs, { title, suits, none }))?.runId;
      if (runId) await act(runId);
    };
  const hasFailed = ({ failed = 0 }: RunRecord) => failed > 0;
  const hasOutputs = ({ succeeded = 0 }: RunRecord) => succeeded > 0;
  return {
    showFailures: withRun(
      l10n.t('Show the failures of which run?'),
      (id) => showFailures(accounts, runs, id),
      hasFailed,
    ),
    showOutputs: withRun(
      l10n.t('Show the outputs of which run?'),
      (id) => showOutputs(accounts, runs, id),
      hasOutputs,
    ),
    showReport: withRun(l10n.t('Show the report of which run?'), (id) => reports.show(id)),
    exportReport: withRun(l10n.t('Export the report of which run?'), (id) => reports.save(id)),
    async revealOutput(node?: RunNode) {
      const uri = node && runsTree.outputOf(node);
      if (uri) await commands.executeCommand('revealInExplorer', uri);
    },
  };
}

/** The id of the run that a command was called with. */
export function runIdOf(run: RunArgument): string | undefined {
  return typeof run === 'string' ? run : run?.record.runId;
}
