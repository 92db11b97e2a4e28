import { l10n, QuickInputButtons, type QuickPickItem, window } from 'vscode';
import { DisposableStore } from './disposable';

export interface Choice<T> extends QuickPickItem {
  readonly value: T;
}

export const back = Symbol('back');

/**
 * One step of a wizard: a list that may take its time, with a button back. Undefined when the person gave up; `back` when
 * they want the step before. A list of one is taken without asking.
 */
export async function chooseStep<T>(
  title: string,
  place: {
    readonly step: number;
    readonly steps: number;
    readonly placeholder: string;
    readonly isFirst?: boolean;
  },
  load: () => Promise<Choice<T>[]>,
): Promise<T | typeof back | undefined> {
  const store = new DisposableStore();
  const pick = store.add(window.createQuickPick<Choice<T>>());
  Object.assign(pick, {
    title,
    placeholder: l10n.t('Loading…'),
    busy: true,
    step: place.step,
    totalSteps: place.steps,
    ignoreFocusOut: true,
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (!place.isFirst) pick.buttons = [QuickInputButtons.Back];
  return new Promise<T | typeof back | undefined>((resolve, reject) => {
    store.add(pick.onDidAccept(() => pick.selectedItems[0] && resolve(pick.selectedItems[0].value)));
    store.add(pick.onDidTriggerButton(() => resolve(back)));
    store.add(pick.onDidHide(() => resolve(undefined)));
    pick.show();
    load().then((items) => {
      const [only] = items;
      if (items.length === 1 && only) return resolve(only.value);
      pick.items = items;
      pick.busy = false;
      pick.placeholder = items.length > 0 ? place.placeholder : l10n.t('Nothing was found here.');
    }, reject);
  }).finally(() => store.dispose());
}
