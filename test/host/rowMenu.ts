import assert from 'node:assert/strict';
import { extensions } from 'vscode';
import { extensionId } from '../../src/vscode/contributions';

/** The commands, without their prefix, that `package.json` declares for the menu of a row with this context. */
export function rowMenu(view: 'accounts' | 'runs', context: string): string[] {
  const items: { command?: string; submenu?: string; when: string }[] =
    extensions.getExtension(extensionId)?.packageJSON.contributes.menus['view/item/context'];
  const offered = items.flatMap(({ command, when }) => {
    if (command === undefined) return [];
    const clause =
      /^view == batchTranscode\.(\w+) && viewItem (?:=~ \/(.*)\/|== ([\w.]+))(?: && isWorkspaceTrusted)?$/;
    const [isRead, of, pattern, value] = clause.exec(when) ?? [];
    assert.ok(isRead, `the clause of ${command} is not of a known form: ${when}`);
    const matches = pattern === undefined ? value === context : new RegExp(pattern).test(context);
    return of === view && matches ? [command.replace('batchTranscode.', '')] : [];
  });
  return [...new Set(offered)];
}
