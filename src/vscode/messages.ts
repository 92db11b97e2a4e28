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
