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
  /** Asked only when the answers before say so. */
  readonly isNeeded?: (answers: Answers) => boolean;
  /** A sentence that says what is wrong, or undefined. */
  readonly check: (text: string) => string | undefined;
}

/**
 * Asks one after another, with a button back and each answer checked; `before` holds answers that need not be given
 * again. The answers, or how it ended without them.
 */
export async function ask(
  title: string,
  questions: readonly Question[],
  before: Answers = {},
): Promise<Answers | 'back' | 'cancelled'> {
  const answers: Answers = { ...before };
  const outcome = await walk(
    title,
    questions.map((question) => async (place) => {
      if (question.isNeeded?.(answers) === false) return 'skipped';
      return askOne(place, question, answers);
    }),
  );
  return outcome === 'done' ? answers : outcome;
}

function askOne(
  { title, step, steps }: Place,
  { id, prompt, placeholder, secret, check }: Question,
  answers: Answers,
): Promise<StepOutcome> {
  const store = new DisposableStore();
  const input = store.add(window.createInputBox());
  Object.assign(input, {
    title,
    step,
    totalSteps: steps,
    prompt,
    placeholder,
    ignoreFocusOut: true,
    password: secret === true,
    value: answers[id] ?? '',
    buttons: [QuickInputButtons.Back],
  });
  return new Promise<StepOutcome>((resolve) => {
    store.add(
      input.onDidAccept(() => {
        const wrong = input.value.trim() === '' ? l10n.t('An answer is needed.') : check(input.value);
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
