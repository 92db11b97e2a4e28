import { l10n, window } from 'vscode';
import type { AutoScaleRun, Batch, Pool } from '../../core/azure/batch';
import { UserError } from '../../core/errors';
import { longWork } from '../longWork';

/** Turns autoscale of a pool on or off, or changes its formula, whose result is shown before it counts. True when it did. */
export async function editAutoscale(batch: Batch, pool: Pool): Promise<boolean> {
  const id = pool.id ?? '';
  if (pool.enableAutoScale) {
    const choice = await window.showQuickPick(
      [
        {
          label: l10n.t('$(edit) Edit the Formula…'),
          detail: l10n.t('Shown with what it gives before it is applied.'),
          off: false,
        },
        {
          label: l10n.t('$(circle-slash) Turn Autoscale Off'),
          detail: l10n.t('The pool keeps the nodes that it has.'),
          off: true,
        },
      ],
      { title: l10n.t('Autoscale of pool {0}', id) },
    );
    if (choice === undefined) return false;
    if (choice.off) {
      const { disableAutoscale } = await import('../../core/pools/poolSizes');
      await longWork(l10n.t('Turning off autoscale of pool {0}', id), (_progress, signal) =>
        disableAutoscale(batch, id, { signal }),
      );
      return true;
    }
  }
  let formula = pool.autoScaleFormula?.replace(/\s*\n\s*/g, ' ') ?? '$TargetDedicatedNodes = 0;';
  for (;;) {
    const given = await window.showInputBox({
      title: l10n.t('Autoscale of pool {0}', id),
      prompt: l10n.t('Autoscale formula: statements end with a semicolon'),
      value: formula,
      ignoreFocusOut: true,
      validateInput: (text) => (text.trim() === '' ? l10n.t('An answer is needed.') : undefined),
    });
    if (given === undefined) return false;
    formula = given;
    if (await tryFormula(batch, id, formula, pool.enableAutoScale === true)) return true;
  }
}

/** Only a pool with autoscale can evaluate a formula; for another, turning it on is what shows. */
async function tryFormula(batch: Batch, id: string, formula: string, isOn: boolean): Promise<boolean> {
  const apply = l10n.t('Apply');
  const edit = l10n.t('Edit');
  let detail = l10n.t('Autoscale is turned on with this formula, which is evaluated at once.');
  if (isOn) {
    const run = await evaluate(batch, id, formula);
    if (typeof run === 'string') {
      await window.showErrorMessage(run, { modal: true });
      return false;
    }
    detail = l10n.t('It gives now: {0}', run.results?.replaceAll(';', '; ') ?? '');
  }
  const answer = await window.showInformationMessage(
    l10n.t('Apply the formula to pool {0}?', id),
    { modal: true, detail },
    apply,
    edit,
  );
  if (answer !== apply) return answer === undefined;
  const { enableAutoscale } = await import('../../core/pools/poolSizes');
  await longWork(l10n.t('Applying the formula to pool {0}', id), (_progress, signal) =>
    enableAutoscale(batch, id, formula, { signal }),
  );
  return true;
}

/** The evaluation, or what is wrong with the formula. */
async function evaluate(batch: Batch, id: string, formula: string): Promise<AutoScaleRun | string> {
  try {
    const run = await batch.evaluateAutoScale(id, formula);
    const problem = run.error?.values?.map(({ value }) => value).join(' ') || run.error?.message;
    return problem ? l10n.t('The formula cannot be evaluated: {0}', problem) : run;
  } catch (error) {
    if (error instanceof UserError && error.problem.kind === 'service')
      return l10n.t('The formula cannot be evaluated: {0}', error.problem.detail ?? error.problem.code);
    throw error;
  }
}
