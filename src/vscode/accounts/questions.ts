import { l10n, QuickInputButtons, window } from 'vscode';
import { DisposableStore } from '../disposable';
import { type Place, type StepOutcome, walk } from './wizard';

export type Answers = Record<string, string | undefined>;

export interface Question {
  readonly id: string;
  readonly prompt: string;
  readonly placeholder?: string;
  /** Shown as dots. */
  readonly secret?: boolean;
  /** Whether the answers so far make the question necessary. */
  readonly isNeeded?: (answers: Answers) => boolean;
  /** Returns what is wrong with an answer, or undefined. */
  readonly check: (text: string) => string | undefined;
}

/**
 * Asks the questions one after another, with a Back button, and checks each answer. `before` holds answers to start
 * with. Resolves with the answers, or with how the user left.
 */
export async function ask(
  title: string,
  questions: readonly Question[],
  before: Answers = {},
): Promise<Answers | 'back' | 'cancelled'> {
  const answers: Answers = { ...before };
  const steps = questions.map((question) => ({
    isNeeded: () => question.isNeeded?.(answers) !== false,
    ask: (place: Place) => askOne(place, question, answers),
  }));
  const outcome = await walk(title, steps, { knowsTotal: true });
  return outcome === 'done' ? answers : outcome;
}

function askOne(
  { title, step, steps }: Place,
  { id, prompt, placeholder, secret, check }: Question,
  answers: Answers,
): Promise<StepOutcome> {
  const store = new DisposableStore();
  const input = store.add(window.createInputBox());
  input.title = title;
  input.step = step;
  input.totalSteps = steps;
  input.prompt = prompt;
  input.placeholder = placeholder;
  input.ignoreFocusOut = true;
  input.password = secret === true;
  input.value = answers[id] ?? '';
  input.buttons = [QuickInputButtons.Back];
  return new Promise<StepOutcome>((resolve) => {
    store.add(
      input.onDidAccept(() => {
        const wrong = input.value.trim() === '' ? l10n.t('Enter a value.') : check(input.value);
        input.validationMessage = wrong;
        if (wrong !== undefined) return;
        answers[id] = input.value;
        resolve('asked');
      }),
    );
    store.add(
      input.onDidChangeValue(() => {
        input.validationMessage = undefined;
      }),
    );
    store.add(input.onDidTriggerButton(() => resolve('back')));
    store.add(input.onDidHide(() => resolve('cancelled')));
    input.show();
  }).finally(() => store.dispose());
}
