import { ConfigurationTarget, l10n, type QuickPickItem, ThemeIcon, window, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { parseAudioChoice } from '../../core/media/audioTracks';
import { type PoolLifetime, toUpload } from '../../core/plan/manifest';
import { type Choices, type PlannedRun, planRun } from '../../core/plan/planRun';
import type { ProbedFiles } from '../../core/plan/probeFiles';
import { maxNodeHours } from '../../core/pools/nodeHours';
import { nodeTargets } from '../../core/pools/nodeTargets';
import { presetCommand, withCommand } from '../../core/presets/presetText';
import { section } from '../settings';
import { noteSentence } from '../words/notes';
import { bytes, count, decimal, filesOf, nodesOf } from '../words/numbers';
import { plainText } from '../words/plainText';
import { presetName } from '../words/presetLabels';
import { sentenceOf } from '../words/sentences';

type Act = 'start' | 'lifetime' | 'nodes' | 'audio' | 'command' | 'notes';

interface ReviewItem extends QuickPickItem {
  readonly act: Act;
}

/**
 * Shows what a run will do and cost at most before it does anything, and lets all of it be changed for this run: the
 * pool, the audio tracks, the very command. Undefined when the person thought better of it.
 */
export async function reviewRun(
  look: ProbedFiles,
  choices: Choices,
  account: AccountRecord,
): Promise<PlannedRun | undefined> {
  let current = choices;
  for (;;) {
    const planned = planRun(look, current);
    const answer = await window.showQuickPick(itemsOf(planned, look, current, account), {
      title: l10n.t(
        'Transcode {0} on {1}: {2}',
        filesOf(planned.manifest.files.length),
        account.label,
        presetName(current.preset),
      ),
      placeHolder: l10n.t('Start, or change something for this run first'),
      ignoreFocusOut: true,
    });
    switch (answer?.act) {
      case undefined:
        return undefined;
      case 'start':
        return planned;
      case 'lifetime':
        current = { ...current, pool: { ...current.pool, lifetime: await askLifetime(current) } };
        break;
      case 'nodes':
        current = { ...current, pool: { ...current.pool, ...(await askNodes(current)) } };
        break;
      case 'audio':
        current = { ...current, audio: await askAudio(look, current) };
        break;
      case 'command':
        current = { ...current, preset: await askCommand(planned, current) };
        break;
      case 'notes':
        await showNotes(planned);
    }
  }
}

function itemsOf(
  planned: PlannedRun,
  look: ProbedFiles,
  choices: Choices,
  account: AccountRecord,
): ReviewItem[] {
  const { manifest, notes } = planned;
  const { files, refused } = manifest;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const uploaded = files.reduce((sum, file) => sum + toUpload(manifest, file).bytes, 0);
  const hints = notes.length + refused.length;
  return [
    {
      act: 'start',
      iconPath: new ThemeIcon('play'),
      label: l10n.t('Transcode'),
      description:
        uploaded < size
          ? l10n.t(
              '{0}, {1}; without pictures {2} to upload',
              filesOf(files.length),
              bytes(size),
              bytes(uploaded),
            )
          : l10n.t('{0}, {1}', filesOf(files.length), bytes(size)),
      detail: costOf(planned, account),
    },
    ...(account.signIn === 'local'
      ? []
      : [
          {
            act: 'lifetime' as const,
            iconPath: new ThemeIcon('server-environment'),
            label: l10n.t('Pool Afterwards: {0}', lifetimes()[choices.pool.lifetime].label),
            detail: lifetimes()[choices.pool.lifetime].detail,
          },
          {
            act: 'nodes' as const,
            iconPath: new ThemeIcon('server'),
            label: l10n.t(
              'Nodes: {0} Spot, {1} dedicated',
              choices.pool.spotNodes,
              choices.pool.dedicatedNodes,
            ),
            detail: l10n.t(
              '{0}, {1} at a time on each',
              choices.pool.vmSize,
              filesOf(choices.pool.slotsPerNode),
            ),
          },
        ]),
    ...(look.sources.some(({ media }) => audioTracksOf(media) > 1)
      ? [
          {
            act: 'audio' as const,
            iconPath: new ThemeIcon('unmute'),
            label: l10n.t('Audio Tracks: {0}', audioLabel(choices)),
            detail: l10n.t('Some files have several.'),
          },
        ]
      : []),
    {
      act: 'command',
      iconPath: new ThemeIcon('terminal'),
      label: l10n.t('Show Command…'),
      detail: files[0]?.commandLine,
    },
    ...(hints > 0
      ? [
          {
            act: 'notes' as const,
            iconPath: new ThemeIcon('info'),
            label: l10n.t('{0} Notes…', count(hints)),
            detail: l10n.t('Files that are left out, tracks that were chosen, names that were changed.'),
          },
        ]
      : []),
  ];
}

/** What it costs at most: all nodes for as long as the job may last. */
function costOf({ manifest }: PlannedRun, account: AccountRecord): string {
  if (account.signIn === 'local') return l10n.t('On this machine, with your own ffmpeg.');
  const { pool, limits, files } = manifest;
  const nodes = nodeTargets(pool, files.length);
  const hours = decimal(maxNodeHours(pool, limits, files.length));
  const used = l10n.t('{0} of size {1}', nodesOf(nodes.dedicated + nodes.spot), pool.vmSize);
  return pool.lifetime === 'keep'
    ? l10n.t('{0}: at most {1} node-hours for the run, and more until you delete the pool', used, hours)
    : l10n.t('{0}: at most {1} node-hours, usually far less', used, hours);
}

function lifetimes(): Record<PoolLifetime, { label: string; detail: string }> {
  return {
    run: {
      label: l10n.t('Delete It With the Run'),
      detail: l10n.t('Azure Batch deletes the pool with the job, even if VS Code never comes back.'),
    },
    scaleToZero: {
      label: l10n.t('Keep It Without Nodes'),
      detail: l10n.t('The next run starts sooner; an idle pool has no nodes and costs nothing.'),
    },
    keep: {
      label: l10n.t('Keep It as It Is'),
      detail: l10n.t('The nodes stay and cost money until you delete the pool.'),
    },
  };
}

/** Remembered as the setting, where it can be seen. */
async function askLifetime({ pool }: Choices): Promise<PoolLifetime> {
  const items = (Object.keys(lifetimes()) as PoolLifetime[]).map((lifetime) => ({
    ...lifetimes()[lifetime],
    picked: lifetime === pool.lifetime,
    lifetime,
  }));
  const answer = await window.showQuickPick(items, {
    title: l10n.t('What becomes of the pool after the run?'),
    placeHolder: l10n.t('Kept as the setting for later runs'),
    ignoreFocusOut: true,
  });
  if (answer === undefined) return pool.lifetime;
  const values = workspace.getConfiguration(section);
  const isOfWorkspace = values.inspect('pool.lifetime')?.workspaceValue !== undefined;
  await values.update(
    'pool.lifetime',
    answer.lifetime,
    isOfWorkspace ? ConfigurationTarget.Workspace : ConfigurationTarget.Global,
  );
  return answer.lifetime;
}

async function askNodes({
  pool,
}: Choices): Promise<Pick<Choices['pool'], 'spotNodes' | 'dedicatedNodes'> | undefined> {
  const pattern = /^\s*(\d{1,4})\s*[,+ ]\s*(\d{1,4})\s*$/;
  const answer = await window.showInputBox({
    title: l10n.t('Nodes for this run'),
    prompt: l10n.t('Spot nodes and dedicated nodes: two numbers with a comma between them'),
    value: `${pool.spotNodes}, ${pool.dedicatedNodes}`,
    ignoreFocusOut: true,
    validateInput: (text) => {
      const [, spot, dedicated] = pattern.exec(text) ?? [];
      const nodes = Number(spot) + Number(dedicated);
      return nodes > 0 ? undefined : l10n.t('Two numbers, at least one of them not 0, like 5, 0');
    },
  });
  const [, spot, dedicated] = pattern.exec(answer ?? '') ?? [];
  return spot === undefined ? undefined : { spotNodes: Number(spot), dedicatedNodes: Number(dedicated) };
}

function audioTracksOf(media: ProbedFiles['sources'][number]['media']): number {
  return media?.tracks.filter(({ kind }) => kind === 'audio').length ?? 0;
}

function audioLabel({ audio }: Choices): string {
  if (audio === 'default') return l10n.t('the default one');
  if (audio === 'mix') return l10n.t('all, mixed into one');
  return audio === 'all' ? l10n.t('all of them') : audio.language;
}

async function askAudio(look: ProbedFiles, { audio }: Choices): Promise<Choices['audio']> {
  const languages = new Set(
    look.sources.flatMap(({ media }) => media?.tracks ?? []).flatMap(({ language }) => language ?? []),
  );
  const items = [
    {
      label: l10n.t('The Default Track'),
      detail: l10n.t('The one that is flagged default, else the first.'),
      choice: 'default',
    },
    {
      label: l10n.t('All Tracks'),
      detail: l10n.t('In one file where the format can, else in a folder with one file each.'),
      choice: 'all',
    },
    {
      label: l10n.t('All Tracks Mixed'),
      detail: l10n.t('In one audio track, each as loud as it is.'),
      choice: 'mix',
    },
    ...[...languages].map((language) => ({
      label: language,
      detail: l10n.t('The first track in this language, else the default one.'),
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
async function askCommand({ manifest }: PlannedRun, { preset }: Choices): Promise<Choices['preset']> {
  const [first] = manifest.files;
  const answer = await window.showInputBox({
    title: l10n.t('The command of this run'),
    prompt: l10n.t('For {0} it is: {1}', first?.path ?? '', first?.commandLine ?? ''),
    value: presetCommand(preset),
    ignoreFocusOut: true,
    validateInput: (text) => {
      try {
        withCommand(preset, text);
        return undefined;
      } catch (error) {
        return error instanceof Error && 'problem' in error
          ? sentenceOf((error as { problem: Parameters<typeof sentenceOf>[0] }).problem).text
          : String(error);
      }
    },
  });
  return answer === undefined || answer === presetCommand(preset) ? preset : withCommand(preset, answer);
}

async function showNotes({ manifest, notes }: PlannedRun): Promise<void> {
  const items: QuickPickItem[] = [
    ...manifest.refused.map(({ path, problem }) => ({
      iconPath: new ThemeIcon('error'),
      label: plainText(path),
      detail: sentenceOf(problem).text,
    })),
    ...notes.map((note) => ({
      iconPath: new ThemeIcon('info'),
      label: plainText(note.file),
      detail: noteSentence(note),
    })),
  ];
  await window.showQuickPick(items, {
    title: l10n.t('Notes on this run'),
    placeHolder: l10n.t('Type to filter'),
    matchOnDetail: true,
    ignoreFocusOut: true,
  });
}
