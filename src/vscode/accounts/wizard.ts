import { l10n, QuickInputButtons, type QuickPickItem, ThemeIcon, window } from 'vscode';
import { isAbort } from '../../core/errors';
import { background } from '../background';
import { DisposableStore } from '../disposable';
import { showError } from '../messages';
import { plainText } from '../words/plainText';
import { textOf } from '../words/sentences';

/** How a step ended. `skipped`: it asked nothing, because there was only one possible answer or none was needed. */
export type StepOutcome = 'asked' | 'skipped' | 'back' | 'cancelled';

/** What the title bar of a step shows. */
export interface Place {
  readonly title: string;
  /** Number of the step among those that ask something, from 1. */
  readonly step: number;
  /** Undefined where a later step may turn out to have nothing to ask. */
  readonly steps?: number;
}

export interface Step {
  /** False when the answers so far make the step unnecessary. */
  readonly isNeeded?: () => boolean;
  readonly ask: (place: Place) => Promise<StepOutcome>;
}

/**
 * Goes through steps, forwards and, by the Back button, to the last one that asked something. Resolves with `back` when
 * the user goes back from the first one. `knowsTotal` says that a step that is needed always asks.
 */
export async function walk(
  title: string,
  steps: readonly Step[],
  { knowsTotal }: { knowsTotal: boolean },
): Promise<'done' | 'back' | 'cancelled'> {
  const asked: number[] = [];
  let index = 0;
  while (index < steps.length) {
    const outcome = await askStep(index);
    if (outcome === 'cancelled') return outcome;
    if (outcome === 'back') {
      const before = asked.pop();
      if (before === undefined) return outcome;
      index = before;
    } else {
      if (outcome === 'asked') asked.push(index);
      index++;
    }
  }
  return 'done';

  async function askStep(at: number): Promise<StepOutcome> {
    const isNeeded = ({ isNeeded }: Step) => isNeeded?.() !== false;
    const [step, ...later] = steps.slice(at);
    if (step === undefined || !isNeeded(step)) return 'skipped';
    const total = asked.length + 1 + later.filter(isNeeded).length;
    return step.ask({ title, step: asked.length + 1, steps: knowsTotal ? total : undefined });
  }
}

export interface Choice<T> extends QuickPickItem {
  readonly value: T;
}

export interface Choosing<T> {
  readonly placeholder: string;
  /** May take a while: the list shows that it is loading. The signal aborts when the step ends. */
  readonly load: (signal: AbortSignal) => Promise<readonly Choice<T>[]>;
  readonly take: (value: T) => void;
}

/** An item whose texts come from a service, and can look like icons. */
function asPlainText<T>({ label, description, ...item }: Choice<T>): Choice<T> {
  return { ...item, label: plainText(label), description: description && plainText(description) };
}

/**
 * Asks the user to choose from a list. A list of one item is taken without asking. If the list cannot be loaded, the
 * reason takes its place, with an item that goes back.
 */
export function chooseStep<T>(place: Place, { placeholder, load, take }: Choosing<T>): Promise<StepOutcome> {
  const store = new DisposableStore();
  const ended = new AbortController();
  const pick = store.add(window.createQuickPick<QuickPickItem & { value?: T }>());
  pick.title = place.title;
  pick.step = place.step;
  pick.totalSteps = place.steps;
  pick.placeholder = l10n.t('Loading…');
  pick.busy = true;
  pick.ignoreFocusOut = true;
  pick.matchOnDescription = true;
  pick.matchOnDetail = true;
  pick.buttons = [QuickInputButtons.Back];
  return new Promise<StepOutcome>((resolve) => {
    store.add(
      pick.onDidAccept(() => {
        const [chosen] = pick.selectedItems;
        if (chosen === undefined) return;
        if (chosen.value === undefined) return resolve('back');
        take(chosen.value);
        resolve('asked');
      }),
    );
    store.add(pick.onDidTriggerButton(() => resolve('back')));
    store.add(pick.onDidHide(() => resolve('cancelled')));
    pick.show();
    load(ended.signal).then(
      (items) => {
        const [only] = items;
        if (items.length === 1 && only) {
          take(only.value);
          return resolve('skipped');
        }
        pick.items = items.map(asPlainText);
        pick.busy = false;
        pick.placeholder = items.length > 0 ? placeholder : l10n.t('{0} None was found.', placeholder);
      },
      (error: unknown) => {
        // Closing the browser's sign-in page is the user's decision, not a failure.
        if (isAbort(error)) return resolve('back');
        const detail = textOf(error);
        // A row of the list is too short for a whole sentence.
        background(showError(detail));
        pick.items = [
          {
            iconPath: new ThemeIcon('error'),
            label: l10n.t('Go back'),
            detail: plainText(detail),
            alwaysShow: true,
          },
        ];
        pick.busy = false;
        pick.placeholder = l10n.t("Couldn't load this list");
      },
    );
  }).finally(() => {
    store.dispose();
    ended.abort();
  });
}
