import { ConfigurationTarget, l10n, type QuickPickItem, ThemeIcon, window, workspace } from 'vscode';
import { parseAudioChoice } from '../../core/media/audioTracks';
import type { PoolLifetime } from '../../core/plan/manifest';
import type { Choices, PlannedRun } from '../../core/plan/planRun';
import type { ProbedFiles } from '../../core/plan/probeFiles';
import { presetCommand, withCommand } from '../../core/presets/presetText';
import { section } from '../contributions';
import { askNodeCounts } from '../nodeCounts';
import { updateSetting } from '../settings';
import { noteSentence } from '../words/notes';
import { plainText, withoutLinks } from '../words/plainText';
import { sentenceOf, textOf } from '../words/sentences';

/** What happens to the pool after a run, in words. */
export function lifetimeWords(): Record<PoolLifetime, { label: string; detail: string }> {
  return {
    run: {
      label: l10n.t('Delete Pool with the Run'),
      detail: l10n.t('Azure Batch deletes the pool with the job, even if VS Code is closed.'),
    },
    scaleToZero: {
      label: l10n.t('Scale to Zero'),
      detail: l10n.t(
        'The pool stays and the next run starts sooner. An idle pool has no nodes and costs nothing.',
      ),
    },
    keep: {
      label: l10n.t('Keep Pool and Nodes'),
      detail: l10n.t('The nodes cost money until you delete the pool.'),
    },
  };
}

/** Asks what happens to the pool after this run. */
export async function askLifetime({ pool }: Choices): Promise<PoolLifetime> {
  const words = lifetimeWords();
  const items = (Object.keys(words) as PoolLifetime[]).map((lifetime) => ({
    ...words[lifetime],
    description: lifetime === pool.lifetime ? l10n.t('selected') : undefined,
    lifetime,
  }));
  const answer = await window.showQuickPick(items, {
    title: l10n.t('What happens to the pool after this run?'),
    placeHolder: l10n.t('For this run only'),
    ignoreFocusOut: true,
  });
  return answer?.lifetime ?? pool.lifetime;
}

/** Makes a choice for one run the setting for all runs: the workspace's where it has that setting, or the user's. */
export async function makeLifetimeDefault(lifetime: PoolLifetime): Promise<void> {
  const values = workspace.getConfiguration(section);
  const isOfWorkspace = values.inspect('pool.lifetime')?.workspaceValue !== undefined;
  const target = isOfWorkspace ? ConfigurationTarget.Workspace : ConfigurationTarget.Global;
  await updateSetting('pool.lifetime', lifetime, target);
}

/** Asks for the numbers of nodes; undefined if the user canceled. */
export async function askNodes({
  pool,
}: Choices): Promise<Pick<Choices['pool'], 'spotNodes' | 'dedicatedNodes'> | undefined> {
  const { spotNodes, dedicatedNodes } = pool;
  const counts = await askNodeCounts(
    l10n.t('Nodes for this run'),
    l10n.t('Number of Spot nodes and of dedicated nodes'),
    { spot: spotNodes, dedicated: dedicatedNodes },
    1,
  );
  return counts && { spotNodes: counts.spot, dedicatedNodes: counts.dedicated };
}

/** How many audio tracks a file has, as far as is known. */
export function audioTracksOf(media: ProbedFiles['sources'][number]['media']): number {
  return media?.tracks.filter(({ kind }) => kind === 'audio').length ?? 0;
}

/** The choice of audio tracks in words. */
export function audioLabel({ audio }: Choices): string {
  if (audio === 'default') return l10n.t('default track');
  if (audio === 'mix') return l10n.t('all tracks, mixed into one');
  return audio === 'all' ? l10n.t('all tracks') : audio.language;
}

/** Asks which audio tracks the outputs get. */
export async function askAudio(probed: ProbedFiles, { audio }: Choices): Promise<Choices['audio']> {
  const languages = new Set(
    probed.sources
      .flatMap(({ media }) => media?.tracks ?? [])
      .flatMap(({ kind, language }) => (kind === 'audio' ? (language ?? []) : [])),
  );
  const items = [
    {
      label: l10n.t('The Default Track'),
      detail: l10n.t('The track that is marked as default, or else the first.'),
      choice: 'default',
    },
    {
      label: l10n.t('All Tracks'),
      detail: l10n.t('In one file if the format can hold them, or else in a folder with one file for each.'),
      choice: 'all',
    },
    {
      label: l10n.t('All Tracks Mixed'),
      detail: l10n.t('In one audio track, each at its own volume.'),
      choice: 'mix',
    },
    ...[...languages].map((language) => ({
      label: language,
      detail: l10n.t('The first track in this language, or else the default track.'),
      choice: language,
    })),
  ];
  const answer = await window.showQuickPick(items, {
    title: l10n.t('Which audio track goes into the output?'),
    ignoreFocusOut: true,
  });
  return answer ? parseAudioChoice(answer.choice) : audio;
}

/** The command of the preset, with its placeholders, edited for this run only. */
export async function askCommand({ manifest }: PlannedRun, { preset }: Choices): Promise<Choices['preset']> {
  const [first] = manifest.files;
  const answer = await window.showInputBox({
    title: l10n.t('Command of this run'),
    prompt: withoutLinks(l10n.t('For {0}: {1}', first?.path ?? '', first?.commandLine ?? '')),
    value: presetCommand(preset),
    ignoreFocusOut: true,
    validateInput: (text) => {
      try {
        withCommand(preset, text);
        return undefined;
      } catch (error) {
        return withoutLinks(textOf(error));
      }
    },
  });
  return answer === undefined || answer === presetCommand(preset) ? preset : withCommand(preset, answer);
}

export async function showNotes({ manifest, notes }: PlannedRun): Promise<void> {
  const items: QuickPickItem[] = [
    ...manifest.refused.map(({ path, problem }) => ({
      iconPath: new ThemeIcon('error'),
      label: plainText(path),
      detail: plainText(sentenceOf(problem).text),
    })),
    ...notes.map((note) => ({
      iconPath: new ThemeIcon('info'),
      label: note.kind === 'tooLongForJob' ? l10n.t('This run') : plainText(note.file),
      detail: plainText(noteSentence(note)),
    })),
  ];
  await window.showQuickPick(items, {
    title: l10n.t('Notes on this run'),
    placeHolder: l10n.t('Type to filter'),
    matchOnDetail: true,
    ignoreFocusOut: true,
  });
}
