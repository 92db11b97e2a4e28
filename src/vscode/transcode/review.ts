import { l10n, type QuickPickItem, ThemeIcon, Uri, window } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { tasksOf, toUpload, type Until } from '../../core/plan/manifest';
import { type Choices, type PlannedRun, planRun } from '../../core/plan/planRun';
import type { ProbedFiles } from '../../core/plan/probeFiles';
import { nodeTargets } from '../../core/pools/nodeTargets';
import type { ExpectedRun, RunCosts } from '../runs/runCosts';
import { settings } from '../settings';
import { costWords, nodesByKind, roughly } from '../words/costWords';
import { noteSentence } from '../words/notes';
import { bytes, count, filesOf, nodesOf, partsOf, videosOf } from '../words/numbers';
import { plainText } from '../words/plainText';
import { presetName } from '../words/presetLabels';
import { sentenceOf } from '../words/sentences';
import { askOutputFolder } from './outputFolder';
import {
  askAudio,
  askCommand,
  askLifetime,
  askNodes,
  audioLabel,
  audioTracksOf,
  lifetimeWords,
  makeLifetimeDefault,
  showNotes,
} from './reviewQuestions';

type Act =
  | 'start'
  | 'preset'
  | 'folder'
  | 'lifetime'
  | 'default'
  | 'nodes'
  | 'audio'
  | 'split'
  | 'command'
  | 'notes';

/** Notes that the review itself shows; all are one click away. */
const shownHints = 3;

interface ReviewItem extends QuickPickItem {
  readonly act: Act;
}

interface Reviewed {
  readonly account: AccountRecord;
  readonly probed: ProbedFiles;
  readonly costs: RunCosts;
  /** How far the command goes. */
  readonly until: Until;
}

/**
 * Shows what a run will do, take and cost before it does anything: first its plan (`first`) by `choices`. The user can
 * change the pool, the audio tracks and the command for this run, or return to the presets. Undefined if the user
 * canceled.
 */
export async function reviewRun(
  reviewed: Reviewed,
  choices: Choices,
  first: PlannedRun,
): Promise<PlannedRun | 'otherPreset' | undefined> {
  const { account, probed, costs, until } = reviewed;
  let current = choices;
  let planned = first;
  for (;;) {
    const expected = await costs.expect(account, planned.manifest);
    const shown = { ...planned, notes: [...expected.notes, ...planned.notes] };
    const answer = await window.showQuickPick(itemsOf(shown, reviewed, current, expected), {
      title: l10n.t(
        '{0} on {1}: {2}',
        actionOf(until, filesOf(planned.manifest.files.length)),
        account.label,
        presetName(current.preset),
      ),
      placeHolder: l10n.t('Start the run, or change something for this run first'),
      ignoreFocusOut: true,
    });
    switch (answer?.act) {
      case undefined:
        return undefined;
      case 'start':
        return planned;
      case 'preset':
        return 'otherPreset';
      case 'lifetime':
        current = { ...current, pool: { ...current.pool, lifetime: await askLifetime(current) } };
        break;
      case 'default':
        await makeLifetimeDefault(current.pool.lifetime);
        break;
      case 'nodes':
        current = { ...current, pool: { ...current.pool, ...(await askNodes(current)) } };
        break;
      case 'folder':
        current = {
          ...current,
          outputFolder: await askOutputFolder(current.outputFolder, sourcesOf(probed)),
        };
        break;
      case 'audio':
        current = { ...current, audio: await askAudio(probed, current) };
        break;
      case 'split':
        current = { ...current, split: current.split === false };
        break;
      case 'command':
        current = { ...current, preset: await askCommand(planned, current) };
        break;
      case 'notes':
        await showNotes(shown);
    }
    planned = planRun(probed, current);
  }
}

function sourcesOf({ sources }: ProbedFiles): { readonly uri: Uri }[] {
  return sources.map(({ uri }) => ({ uri: Uri.parse(uri) }));
}

function itemsOf(
  planned: PlannedRun,
  { account, probed, until }: Reviewed,
  choices: Choices,
  expected: ExpectedRun,
): ReviewItem[] {
  const { manifest, notes } = planned;
  const hints = [
    ...manifest.refused.map(({ problem }) => sentenceOf(problem).text),
    ...notes.map(noteSentence),
  ];
  return [
    {
      act: 'start',
      iconPath: new ThemeIcon('play'),
      // Not as a description: its hover would cover the cost.
      label: actionOf(until, sizeWords(planned)),
      detail:
        until === 'uploaded'
          ? l10n.t('Once submitted: {0}', expectedWords(planned, account, expected))
          : expectedWords(planned, account, expected),
    },
    {
      act: 'preset',
      iconPath: new ThemeIcon('settings'),
      label: plainText(l10n.t('Preset: {0}', presetName(choices.preset))),
      detail: l10n.t('Go back to the list of presets.'),
    },
    {
      act: 'folder',
      iconPath: new ThemeIcon('folder'),
      label: plainText(
        l10n.t('Output Folder: {0}', choices.outputFolder?.label ?? l10n.t('beside each file')),
      ),
    },
    ...(account.signIn === 'local' ? [] : poolItems(planned, choices)),
    ...(probed.sources.some(({ media }) => audioTracksOf(media) > 1)
      ? [
          {
            act: 'audio' as const,
            iconPath: new ThemeIcon('unmute'),
            label: l10n.t('Audio Tracks: {0}', audioLabel(choices)),
            detail: l10n.t('Some files have several tracks.'),
          },
        ]
      : []),
    ...splitItem(planned, probed, choices),
    {
      act: 'command',
      iconPath: new ThemeIcon('terminal'),
      label: l10n.t('Show Command…'),
      detail: manifest.files[0]?.commandLine,
    },
    ...(hints.length > 0
      ? [
          {
            act: 'notes' as const,
            iconPath: new ThemeIcon('info'),
            label: hints.length === 1 ? l10n.t('1 Note…') : l10n.t('{0} Notes…', count(hints.length)),
            detail: plainText(hints.slice(0, shownHints).join(' ')),
          },
        ]
      : []),
  ];
}

/** What the command does with the files. */
function actionOf(until: Until, files: string): string {
  switch (until) {
    case 'uploaded':
      return l10n.t('Upload {0}', files);
    case 'submitted':
      return l10n.t('Submit {0}', files);
    case 'fetched':
      return l10n.t('Transcode {0}', files);
  }
}

function sizeWords({ manifest }: PlannedRun): string {
  const { files } = manifest;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const uploaded = files.reduce((sum, file) => sum + toUpload(manifest, file).bytes, 0);
  return uploaded < size
    ? l10n.t('{0}, {1}; audio only, {2} to upload', filesOf(files.length), bytes(size), bytes(uploaded))
    : l10n.t('{0}, {1}', filesOf(files.length), bytes(size));
}

/** `About 6 minutes and $0.04 on 5 Spot nodes; at most $1.10.` */
function expectedWords({ manifest }: PlannedRun, account: AccountRecord, expected: ExpectedRun): string {
  const time = roughly(expected.minutes);
  if (account.signIn === 'local') {
    const here = l10n.t('On this machine, with your own ffmpeg.');
    return l10n.t('{0} About {1}.', here, time);
  }
  const { nodeHours, maxNodeHours, cost, maxCost, currency } = expected;
  const words = l10n.t(
    'About {0} and {1} on {2}; at most {3}.',
    time,
    costWords({ cost, currency }, nodeHours.spot + nodeHours.dedicated),
    nodesByKind(nodeTargets(manifest.pool, tasksOf(manifest))),
    costWords({ cost: maxCost, currency }, maxNodeHours.spot + maxNodeHours.dedicated),
  );
  return manifest.pool.lifetime === 'keep' ? l10n.t('{0} More until you delete the pool.', words) : words;
}

/** Offered if a video can be transcoded in parts. */
function splitItem({ manifest }: PlannedRun, probed: ProbedFiles, { split = true }: Choices): ReviewItem[] {
  if (!probed.sources.some(({ cut }) => typeof cut === 'object')) return [];
  const inParts = manifest.files.flatMap((file) => file.split ?? []);
  const parts = inParts.reduce((sum, file) => sum + file.parts.length, 0);
  const { dedicatedNodes, spotNodes } = manifest.pool;
  return [
    {
      act: 'split',
      iconPath: new ThemeIcon('split-horizontal'),
      label:
        inParts.length > 0
          ? l10n.t(
              'Split: {0} in {1} on {2}',
              videosOf(inParts.length),
              partsOf(parts),
              nodesOf(dedicatedNodes + spotNodes),
            )
          : l10n.t('Split: off'),
      detail:
        inParts.length > 0
          ? l10n.t('Long videos are encoded in parts and joined. Select to transcode each on one node.')
          : split
            ? l10n.t('The pool has one task slot only.')
            : l10n.t('Each video is transcoded on one node. Select to encode long videos in parts.'),
    },
  ];
}

function poolItems({ manifest }: PlannedRun, { pool }: Choices): ReviewItem[] {
  const { label, detail } = lifetimeWords()[pool.lifetime];
  const used = nodeTargets(pool, tasksOf(manifest));
  const asked = { spot: pool.spotNodes, dedicated: pool.dedicatedNodes };
  const isFewer = used.spot !== asked.spot || used.dedicated !== asked.dedicated;
  const filesPerNode =
    pool.slotsPerNode === 1
      ? l10n.t('{0}, one file at a time on each node', pool.vmSize)
      : l10n.t('{0}, {1} files at a time on each node', pool.vmSize, count(pool.slotsPerNode));
  return [
    {
      act: 'lifetime',
      iconPath: new ThemeIcon('server-environment'),
      label: l10n.t('Pool Afterwards: {0}', label),
      detail,
    },
    ...(pool.lifetime === settings().pool.lifetime
      ? []
      : [
          {
            act: 'default' as const,
            iconPath: new ThemeIcon('pinned'),
            label: l10n.t('Make “{0}” the Default', label),
            detail: l10n.t('Changes the setting for later runs.'),
          },
        ]),
    {
      act: 'nodes',
      iconPath: new ThemeIcon('server'),
      label: l10n.t('Nodes: {0}', nodesByKind(used)),
      description: isFewer
        ? l10n.t('{0} allowed; the run has no work for more', nodesByKind(asked))
        : undefined,
      detail: filesPerNode,
    },
  ];
}
