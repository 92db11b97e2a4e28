import { l10n, QuickInputButtons, type QuickPickItem, window } from 'vscode';
import { isAbort } from '../../core/errors';
import { DisposableStore } from '../disposable';
import { textOf } from '../words/sentences';

/** How a step ended. `skipped` is one that had but one answer, which nobody was asked for. */
export type StepOutcome = 'asked' | 'skipped' | 'back' | 'cancelled';

/** Where a step stands among the others, for its title bar. */
export interface Place {
  readonly title: string;
  readonly step: number;
  readonly steps: number;
}

/**
 * Goes through steps, forwards and, by their button, back to the last one that asked something. `back` when the person
 * wants what came before the first.
 */
export async function walk(
  title: string,
  steps: readonly ((place: Place) => Promise<StepOutcome>)[],
): Promise<'done' | 'back' | 'cancelled'> {
  const asked: number[] = [];
  for (let index = 0; index < steps.length; ) {
    const outcome = (await steps[index]?.({ title, step: index + 1, steps: steps.length })) ?? 'skipped';
    if (outcome === 'cancelled') return outcome;
    if (outcome === 'back') {
      const before = asked.pop();
      if (before === undefined) return outcome;
      index = before;
      continue;
    }
    if (outcome === 'asked') asked.push(index);
    index++;
  }
  return 'done';
}

export interface Choice<T> extends QuickPickItem {
  readonly value: T;
}

/** Where the choices of a step come from: it may take its time. */
export interface Choosing<T> {
  readonly placeholder: string;
  readonly load: () => Promise<readonly Choice<T>[]>;
  readonly take: (value: T) => void;
}

/**
 * Lets the person choose from a list. A list of one is taken without asking; why a list could not be had is shown in its
 * place, with the way back.
 */
export function chooseStep<T>(place: Place, { placeholder, load, take }: Choosing<T>): Promise<StepOutcome> {
  const store = new DisposableStore();
  const pick = store.add(window.createQuickPick<QuickPickItem & { value?: T }>());
  Object.assign(pick, {
    title: place.title,
    step: place.step,
    totalSteps: place.steps,
    placeholder: l10n.t('Loading…'),
    busy: true,
    ignoreFocusOut: true,
    matchOnDescription: true,
    matchOnDetail: true,
    buttons: [QuickInputButtons.Back],
  });
  return new Promise<StepOutcome>((resolve, reject) => {
    store.add(
      pick.onDidAccept(() => {
        const [chosen] = pick.selectedItems;
        if (chosen === undefined) return;
        if (!('value' in chosen)) return resolve('back');
        take(chosen.value as T);
        resolve('asked');
      }),
    );
    store.add(pick.onDidTriggerButton(() => resolve('back')));
    store.add(pick.onDidHide(() => resolve('cancelled')));
    pick.show();
    load()
      .then((items) => {
        const [only] = items;
        if (items.length === 1 && only) {
          take(only.value);
          return resolve('skipped');
        }
        pick.items = items;
        pick.busy = false;
        pick.placeholder = items.length > 0 ? placeholder : l10n.t('Nothing was found here.');
      })
      .catch((error: unknown) => {
        if (isAbort(error)) return reject(error);
        const detail = textOf(error);
        // A row of the list is too short for a whole sentence.
        void window.showErrorMessage(detail);
        pick.items = [{ label: `$(error) ${l10n.t('Go back')}`, detail, alwaysShow: true }];
        pick.busy = false;
        pick.placeholder = l10n.t('This could not be found out.');
      });
  }).finally(() => store.dispose());
}
