import pLimit from 'p-limit';
import { l10n, ThemeIcon, Uri, window, workspace } from 'vscode';
import type { Manifest, ManifestFile } from '../../core/plan/manifest';
import { withoutFiles } from '../../core/plan/withoutFiles';
import { background } from '../background';
import { longWork } from '../longWork';
import { showInformation } from '../messages';
import { settings } from '../settings';
import { count, filesOf } from '../words/numbers';
import { outputUri, realPathOf } from '../workspaceFiles';

/** Files that are looked up at once. */
const statsAtOnce = 32;

/**
 * Decides what happens to outputs that exist already, and returns the manifest with the decision. Asks before anything
 * is uploaded, so that the run does not stop with a question hours later. Undefined if the user canceled, or if all
 * files are skipped.
 */
export async function resolveConflicts(manifest: Manifest): Promise<Manifest | undefined> {
  const existing = await longWork(l10n.t('Looking for existing outputs'), (_, signal) =>
    existingOutputs(manifest.files, signal),
  );
  if (existing.size === 0) return manifest;
  const choice = await askConflict(Array.from(existing.values(), ({ path }) => path));
  const hasSource = [...existing.values()].some(({ isSource }) => isSource);
  if (choice === 'replaceThese' || (choice === 'overwrite' && hasSource)) {
    const files = manifest.files.map((file) => {
      const mayReplace = existing.has(file.id) ? !existing.get(file.id)?.isSource : choice === 'overwrite';
      return mayReplace ? { ...file, replacesOutput: true } : file;
    });
    return { ...manifest, files };
  }
  if (choice !== 'skip') return choice && { ...manifest, onConflict: choice };
  if (existing.size < manifest.files.length) return withoutFiles(manifest, new Set(existing.keys()));
  const text = l10n.t('Nothing to transcode: the output of {0} already exists.', filesOf(existing.size));
  background(showInformation(text));
  return undefined;
}

/** A file that has the name of an output. */
interface Existing {
  readonly path: string;
  /** It is a source of the run, by another path: it is never replaced. */
  readonly isSource: boolean;
}

/** Outputs that exist, by the id of their file. */
async function existingOutputs(
  files: Manifest['files'],
  signal: AbortSignal,
): Promise<Map<string, Existing>> {
  const limit = pLimit(statsAtOnce);
  let sources: Promise<ReadonlySet<string>> | undefined;
  const isSource = async ({ output }: ManifestFile, target: Uri) => {
    if (output.folder === undefined) return false;
    sources ??= placesOf(files);
    const place = await realPathOf(target);
    return place !== undefined && (await sources).has(place);
  };
  const outputOf = async (file: ManifestFile): Promise<[string, Existing][]> => {
    signal.throwIfAborted();
    const target = Uri.parse(outputUri(file, file.output.name));
    const exists = await workspace.fs.stat(target).then(
      () => true,
      () => false,
    );
    if (!exists) return [];
    return [[file.id, { path: workspace.asRelativePath(target), isSource: await isSource(file, target) }]];
  };
  const found = await Promise.all(files.map((file) => limit(() => outputOf(file))));
  return new Map(found.flat());
}

async function placesOf(files: Manifest['files']): Promise<ReadonlySet<string>> {
  const limit = pLimit(statsAtOnce);
  const places = await Promise.all(files.map(({ uri }) => limit(() => realPathOf(Uri.parse(uri)))));
  return new Set(places.filter((place) => place !== undefined));
}

/** The user agrees to replace the outputs that the question is about, and no others; the setting is about all. */
async function askConflict(
  taken: readonly string[],
): Promise<Manifest['onConflict'] | 'replaceThese' | 'skip' | undefined> {
  const { onConflict } = settings();
  if (onConflict !== 'ask') return onConflict;
  const shown = taken.slice(0, 3).join(', ') + (taken.length > 3 ? ', …' : '');
  const answer = await window.showQuickPick(
    [
      {
        iconPath: new ThemeIcon('files'),
        label: l10n.t('Keep Both'),
        detail: l10n.t('New outputs get another name, such as “clip (2).mp3”.'),
        choice: 'rename' as const,
      },
      {
        iconPath: new ThemeIcon('replace-all'),
        label: l10n.t('Replace'),
        detail: l10n.t('Existing files are replaced once the new ones are complete.'),
        choice: 'replaceThese' as const,
      },
      {
        iconPath: new ThemeIcon('debug-step-over'),
        label: l10n.t('Skip'),
        detail: l10n.t('Only files without an output are transcoded.'),
        choice: 'skip' as const,
      },
    ],
    {
      title:
        taken.length === 1
          ? l10n.t('{0} already exists', shown)
          : l10n.t('{0} outputs already exist: {1}', count(taken.length), shown),
      ignoreFocusOut: true,
    },
  );
  return answer?.choice;
}
