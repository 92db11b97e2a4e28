import { l10n } from 'vscode';
import type { Problem } from '../../core/errors';
import { background } from '../background';
import { showInformation, showWarning } from '../messages';
import type { Runs } from '../runs/runs';
import { sentenceOf } from '../words/sentences';

/**
 * Tells the user of a problem with which a run waits for somebody: a job that was disabled, which it offers to enable, or
 * Spot nodes that Azure preempts again and again, for which it offers dedicated ones. Other problems are in the log.
 */
export async function tellTrouble(runs: Runs, runId: string, problem: Problem): Promise<void> {
  if (problem.kind === 'jobDisabled') {
    const enable = l10n.t('Enable Job');
    if ((await showWarning(sentenceOf(problem).text, enable)) === enable)
      await runs.live(runId)?.enableJob(problem.job);
    return;
  }
  if (problem.kind !== 'preempted') return;
  const use = l10n.t('Use Dedicated Nodes');
  const keep = l10n.t('Keep Spot Nodes');
  const answer = await showWarning(sentenceOf(problem).text, use, keep);
  const live = answer === use ? runs.live(runId) : undefined;
  if (live === undefined) return;
  const nodes = await live.useDedicatedNodes();
  const text = l10n.t('Pool {0} continues with dedicated nodes: {1}', problem.pool, nodes);
  background(showInformation(text));
}
