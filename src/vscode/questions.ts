import { l10n, QuickInputButtons, window } from 'vscode';
import { DisposableStore } from './disposable';

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

/** Asks one after another, with a button back and each answer checked. Undefined when the person gave up. */
export async function ask(title: string, questions: readonly Question[]): Promise<Answers | undefined> {
  const answers: Answers = {};
  for (let step = 0; step < questions.length; ) {
    const question = questions[step] as Question;
    if (question.isNeeded?.(answers) === false) {
      step++;
      continue;
    }
    const answer = await askOne(title, question, step, questions.length, answers[question.id]);
    if (answer === undefined) return undefined;
    if (answer === back) {
      do step--;
      while (step > 0 && questions[step]?.isNeeded?.(answers) === false);
      continue;
    }
    answers[question.id] = answer;
    step++;
  }
  return answers;
}

const back = Symbol('back');

function askOne(
  title: string,
  { prompt, placeholder, secret, check }: Question,
  step: number,
  steps: number,
  before: string | undefined,
): Promise<string | typeof back | undefined> {
  const store = new DisposableStore();
  const input = store.add(window.createInputBox());
  Object.assign(input, {
    title,
    prompt,
    placeholder,
    step: step + 1,
    totalSteps: steps,
    ignoreFocusOut: true,
  });
  input.password = secret === true;
  input.value = before ?? '';
  if (step > 0) input.buttons = [QuickInputButtons.Back];
  return new Promise<string | typeof back | undefined>((resolve) => {
    store.add(
      input.onDidAccept(() => {
        const wrong = input.value.trim() === '' ? l10n.t('An answer is needed.') : check(input.value);
        input.validationMessage = wrong;
        if (wrong === undefined) resolve(input.value);
      }),
    );
    store.add(
      input.onDidChangeValue(() => {
        input.validationMessage = undefined;
      }),
    );
    store.add(input.onDidTriggerButton(() => resolve(back)));
    store.add(input.onDidHide(() => resolve(undefined)));
    input.show();
  }).finally(() => store.dispose());
}
