import { l10n } from 'vscode';

/** Joins parts by the comma of the user's language, as a screen reader reads them. */
export function listed(parts: readonly (string | boolean | undefined)[]): string {
  const texts = parts.filter((part): part is string => typeof part === 'string' && part !== '');
  return texts.length === 0 ? '' : texts.reduce((all, part) => l10n.t('{0}, {1}', all, part));
}
