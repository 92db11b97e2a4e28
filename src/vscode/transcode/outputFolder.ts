import { access, constants } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join, normalize, posix } from 'node:path';
import pLimit from 'p-limit';
import { l10n, type QuickPickItem, ThemeIcon, Uri, window, workspace } from 'vscode';
import { errorCode, UserError } from '../../core/errors';
import type { OutputFolder } from '../../core/plan/plan';
import { showError } from '../messages';
import { settings } from '../settings';
import { plainText } from '../words/plainText';
import { sentenceOf } from '../words/sentences';

/** Folders that are looked up at once. */
const checksAtOnce = 32;

/** Where outputs go: beside their sources if it is undefined. */
type Chosen = OutputFolder | undefined;

/**
 * The folder for outputs in the settings; undefined if it is empty. A relative path is taken from the workspace folder
 * of a source, or from its own folder if it is in none.
 */
export function configuredFolder(): Chosen {
  const text = settings().outputFolder;
  if (text === '') return undefined;
  const path = text.replace(/^~(?=$|[/\\])/, homedir());
  if (isAbsolute(path)) return below(path, () => Uri.file(normalize(path)));
  const segments = path.split(/[/\\]/);
  return below(text, (source) => {
    const root = workspace.getWorkspaceFolder(source)?.uri ?? Uri.joinPath(source, '..');
    return Uri.joinPath(root, ...segments);
  });
}

/** Outputs keep the subfolders that their sources have in the workspace. A source in the folder itself stays there. */
function below(label: string, folderFor: (source: Uri) => Uri): OutputFolder {
  return {
    label,
    of({ uri }) {
      const source = Uri.parse(uri);
      const folder = withoutEnd(folderFor(source));
      const own = Uri.joinPath(source, '..');
      if (isWithin(own, folder)) return undefined;
      const root = workspace.getWorkspaceFolder(source);
      if (root === undefined) return `${folder.toString()}/`;
      // In a workspace of several folders, their files stay apart, unless the folder is in each of them.
      const isInRoot = isWithin(folder, withoutEnd(root.uri));
      const path = posix.dirname(workspace.asRelativePath(source, isInRoot ? false : undefined));
      return `${withoutEnd(Uri.joinPath(folder, path)).toString()}/`;
    },
  };
}

/** Whether a folder is another one or is in it, as the disks of this platform usually compare names. */
function isWithin(one: Uri, other: Uri): boolean {
  const ignoresCase = process.platform === 'win32' || process.platform === 'darwin';
  const [path, prefix] = [one, other].map((uri) => (ignoresCase ? `${uri}/`.toLowerCase() : `${uri}/`));
  return path?.startsWith(prefix ?? '') === true;
}

function withoutEnd(folder: Uri): Uri {
  return folder.with({ path: folder.path.replace(/(?<=.)\/+$/, '') });
}

/**
 * Asks where the outputs of this run go. Resolves with the current folder if the user cancels, or chooses one that can't be
 * written and is told so.
 */
export async function askOutputFolder(current: Chosen, sources: Sources): Promise<Chosen> {
  const chosen = await askFolder(current);
  const refused = chosen === current ? undefined : await readOnlyFolder(sources, chosen);
  if (refused === undefined) return chosen;
  await showError(sentenceOf({ kind: 'outputReadOnly', folder: refused }).text, { modal: true });
  return current;
}

async function askFolder(current: Chosen): Promise<Chosen> {
  const configured = configuredFolder();
  const selected = l10n.t('selected');
  const item = (act: string, icon: string, label: string, isCurrent: boolean) => ({
    act,
    iconPath: new ThemeIcon(icon),
    label: plainText(label),
    description: isCurrent ? selected : undefined,
  });
  const items: (QuickPickItem & { act: string })[] = [
    item('beside', 'files', l10n.t('Beside Each File'), current === undefined),
    ...(configured
      ? [item('configured', 'settings', configured.label, current?.label === configured.label)]
      : []),
    item('choose', 'folder-opened', l10n.t('Choose Folder…'), false),
  ];
  const answer = await window.showQuickPick(items, {
    title: l10n.t('Where are the outputs saved?'),
    placeHolder: l10n.t('For this run only'),
    ignoreFocusOut: true,
  });
  if (answer === undefined) return current;
  if (answer.act === 'beside') return undefined;
  return answer.act === 'configured' ? configured : ((await chooseFolder()) ?? current);
}

async function chooseFolder(): Promise<Chosen> {
  const [folder] =
    (await window.showOpenDialog({
      canSelectFiles: false,
      canSelectFolders: true,
      openLabel: l10n.t('Save Outputs Here'),
      title: l10n.t('Choose a Folder for the Outputs'),
      defaultUri: workspace.workspaceFolders?.[0]?.uri,
    })) ?? [];
  return folder && below(workspace.asRelativePath(withoutEnd(folder)), () => folder);
}

/** The sources of a run, as far as their folders count. */
type Sources = readonly { readonly uri: Uri }[];

/**
 * The folder for outputs: that of the settings, or another one that the user is asked for if its folders can't be
 * written, so that nobody pays for outputs that can't be saved. `canceled` if the user chooses none.
 */
export async function writableFolder(sources: Sources): Promise<Chosen | 'canceled'> {
  for (let folder = configuredFolder(); ; ) {
    const refused = await readOnlyFolder(sources, folder);
    if (refused === undefined) return folder;
    const choose = l10n.t('Choose Folder…');
    const { text } = sentenceOf({ kind: 'outputReadOnly', folder: refused });
    if ((await showError(text, choose)) !== choose) return 'canceled';
    const chosen = await chooseFolder();
    if (chosen === undefined) return 'canceled';
    folder = chosen;
  }
}

/** Throws `outputReadOnly` if outputs can't be saved in `folder`. An unknown answer refuses nothing. */
export async function refuseReadOnly(sources: Sources, folder = configuredFolder()): Promise<void> {
  const refused = await readOnlyFolder(sources, folder);
  if (refused !== undefined) throw new UserError({ kind: 'outputReadOnly', folder: refused });
}

/** The first folder that can't be written, as it is shown. */
async function readOnlyFolder(sources: Sources, chosen: Chosen): Promise<string | undefined> {
  // Folders of several file systems, or of several servers, can have the same path. Outputs of one folder go to one folder.
  const bySource = new Map<string, Uri>();
  for (const { uri } of sources) {
    const text = uri.toString();
    const key = text.slice(0, text.lastIndexOf('/'));
    if (bySource.has(key)) continue;
    const target = chosen?.of({ uri: text });
    bySource.set(key, target === undefined ? Uri.joinPath(uri, '..') : Uri.parse(target));
  }
  const folders = new Map(Array.from(bySource.values(), (folder) => [folder.toString(), folder]));
  const limit = pLimit(checksAtOnce);
  const check = async (folder: Uri) =>
    (await isReadOnly(folder)) ? workspace.asRelativePath(folder) : undefined;
  const answers = await Promise.all([...folders.values()].map((folder) => limit(() => check(folder))));
  return answers.find((answer) => answer !== undefined);
}

async function isReadOnly(folder: Uri): Promise<boolean> {
  if (folder.scheme !== 'file') return workspace.fs.isWritableFileSystem(folder.scheme) === false;
  for (let path = folder.fsPath; ; path = join(path, '..')) {
    const code = await access(path, constants.W_OK).then(
      () => undefined,
      (error: unknown) => errorCode(error),
    );
    // A folder that doesn't exist is made in the next one that does.
    if (code === 'ENOENT' && path !== join(path, '..')) continue;
    return code === 'EACCES' || code === 'EROFS';
  }
}
