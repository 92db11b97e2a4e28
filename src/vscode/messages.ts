import { type MessageOptions, window } from 'vscode';
import { withoutLinks } from './words/plainText';

type Items = string[] | [MessageOptions, ...string[]];
type Shown = Thenable<string | undefined>;

/** Shows an information message as plain text. Resolves with the button that the user pressed. */
export function showInformation(text: string, ...items: Items): Shown {
  return window.showInformationMessage(withoutLinks(text), ...(items as string[]));
}

/** Shows a warning as plain text. Resolves with the button that the user pressed. */
export function showWarning(text: string, ...items: Items): Shown {
  return window.showWarningMessage(withoutLinks(text), ...(items as string[]));
}

/** Shows an error as plain text. Resolves with the button that the user pressed. */
export function showError(text: string, ...items: Items): Shown {
  return window.showErrorMessage(withoutLinks(text), ...(items as string[]));
}

/**
 * Asks before something that cannot be undone. `keep` is the button that leaves everything as it is: a plain Cancel would
 * be ambiguous where the question is whether to cancel.
 */
export async function confirmWarning(
  text: string,
  { detail, button, keep }: { readonly detail: string; readonly button: string; readonly keep: string },
): Promise<boolean> {
  const options = { modal: true, detail };
  const items = [{ title: button }, { title: keep, isCloseAffordance: true }];
  const answer = await window.showWarningMessage(withoutLinks(text), options, ...items);
  return answer?.title === button;
}
