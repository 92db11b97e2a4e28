import { commands, env, l10n, type QuickPickItem, Uri, window, workspace } from 'vscode';

/** Pages that ship with the extension. Links name them by these ids. */
const pages = {
  presets: 'docs/presets.md',
  batchPrograms: 'docs/batch-programs.md',
  localService: 'docs/local-service.md',
  performance: 'docs/performance.md',
  security: 'SECURITY.md',
} as const;

/** Opens a page that ships with the extension as a preview; asks which one if none is named. */
export async function openDocumentation(extension: Uri, id: string | undefined): Promise<void> {
  const named = Object.entries(pages).find(([one]) => one === id)?.[1];
  const path = named ?? (await pickPage(extension));
  if (path) await commands.executeCommand('markdown.showPreview', Uri.joinPath(extension, path));
}

async function pickPage(extension: Uri): Promise<string | undefined> {
  const items: (QuickPickItem & { readonly path: string })[] = [
    { label: l10n.t('User guide'), path: await guideIn(extension) },
    { label: l10n.t('Presets and their placeholders'), path: pages.presets },
    { label: l10n.t('Batch programs on your own machine'), path: pages.batchPrograms },
    { label: l10n.t('The local Batch service'), path: pages.localService },
    { label: l10n.t('Performance'), path: pages.performance },
    { label: l10n.t('Security'), path: pages.security },
  ];
  return (await window.showQuickPick(items, { title: l10n.t('Open which page?') }))?.path;
}

/** README in the user's language. Packed, it has another name, because VS Code takes README for the details page. */
async function guideIn(extension: Uri): Promise<string> {
  const isChinese = env.language.startsWith('zh');
  const packed = isChinese ? 'GUIDE.zh-CN.md' : 'GUIDE.md';
  return workspace.fs.stat(Uri.joinPath(extension, packed)).then(
    () => packed,
    () => (isChinese ? 'README.zh-CN.md' : 'README.md'),
  );
}
