import { l10n } from 'vscode';
import type { Problem, WaitReason } from '../../core/errors';
import type { FileResult, ManifestFile } from '../../core/plan/manifest';
import type { PieceState, RunProgress } from '../../core/runs/runEvents';
import { bytes, count, decimal, duration, filesOf, percent } from '../words/numbers';
import { presetName } from '../words/presetLabels';
import { sentenceOf } from '../words/sentences';
import { baseName, cut, endOfPath, folderOf, shorten } from '../words/shorten';
import {
  doneWords,
  type FileNumbers,
  noAnswerReason,
  noAnswerWords,
  progressLine,
  withTimeLeft,
} from '../words/story';
import type { LiveRun, OpeningRun } from './liveRun';
import { fileNumbers, isUpload, type RunRecord } from './runRecord';

type FileProgress = NonNullable<ReturnType<RunProgress['running']['get']>>;

/** `5 files, MP3 audio`. */
export function runTitle({
  files,
  preset,
  presetId = '',
}: Pick<RunRecord, 'files' | 'preset' | 'presetId'>): string {
  return l10n.t('{0}, {1}', filesOf(files), presetName({ id: presetId, label: preset }));
}

/** Width of a preset's name that leaves room for the state in a sidebar of 300 pixels. */
const presetWidth = 18;
/** A name that is wider loses the format in brackets. */
const wholeWidth = 14;
/** Characters of a file's name that do so. */
const nameLength = 28;

/** The title of a run in its row. The format in brackets and the end of a long name are in the tooltip. */
export function runLabel({
  files,
  preset,
  presetId = '',
}: Pick<RunRecord, 'files' | 'preset' | 'presetId'>): string {
  const name = presetName({ id: presetId, label: preset });
  const short = cut(name, wholeWidth) === name ? name : name.replace(/\s*[(（][^()（）]*[)）]$/, '');
  return l10n.t('{0}, {1}', filesOf(files), cut(short, presetWidth));
}

/** The names of the first files of a run, which tell apart runs of the same preset; empty if they are unknown. */
export function firstNames({ sources, files }: Pick<RunRecord, 'sources' | 'files'>): string {
  return namesOf(
    sources.slice(0, maxNames).map((uri) => uri.split('/').map(decodeURIComponent).join('/')),
    files,
  );
}

/** Files that are named of a run. */
const maxNames = 2;
/** Parts of a path that are named. */
const maxParts = 8;

/** `a.mp4, b.mp4, …`: the names of the first of so many files. Folders tell apart those that have the same name. */
export function namesOf(paths: readonly string[], files: number): string {
  const named = paths.slice(0, maxNames);
  const endsOf = (parts: number) => named.map((path) => endOfPath(path, parts));
  let ends = endsOf(1);
  for (let parts = 2; new Set(ends).size < new Set(named).size && parts <= maxParts; parts++)
    ends = endsOf(parts);
  const names = ends.map((end) => shorten(end, nameLength));
  return [...names, ...(names.length > 0 && files > names.length ? ['…'] : [])].join(', ');
}

/** The name of a file in its row; the whole path is in the tooltip. */
export function fileLabel(path: string): string {
  return shorten(baseName(path), nameLength);
}

/** The state of a file, and the folder that it is in. */
export function withFolder(state: string, path: string): string {
  return [state, folderOf(path)].filter(Boolean).join(' · ');
}

/** The names of the first files of a run that this window works on. */
export function liveNames({ manifest }: Pick<LiveRun, 'manifest'>): string {
  const { files, refused } = manifest;
  const paths = [...files, ...refused].slice(0, maxNames).map(({ path }) => path);
  return namesOf(paths, files.length + refused.length);
}

/** The title of a run that this window works on. */
export function liveTitle({ manifest }: Pick<LiveRun, 'manifest'>): string {
  const { files, refused, preset } = manifest;
  return runTitle({ files: files.length + refused.length, preset: preset.label, presetId: preset.id });
}

/**
 * The state of a run that this window works on, short enough for a narrow sidebar. A cancellation can take a minute when the
 * account cannot be reached.
 */
export function liveWords(
  { progress, manifest, results, ...live }: ShownRun & Pick<LiveRun, 'share'>,
  { isCanceling }: Pick<RunRecord, 'isCanceling'> = {},
): string {
  const numbers = fileNumbers(manifest, results.values());
  if (isCanceling) return l10n.t('canceling: {0}', doneWords(numbers));
  const noAnswer = live.noAnswer();
  if (noAnswer) return noAnswerWords(noAnswer, numbers);
  return withTimeLeft(phaseWords(progress, live.share(), numbers), progress, live.timeLeft());
}

/** The state of a run that this window is creating or opening. One that is attached to has no record yet. */
export function openingWords({ isCanceled, isNew, answers }: OpeningRun, record?: RunRecord): string {
  const { files = 0, succeeded = 0, failed = 0 } = record ?? {};
  const numbers = { files, succeeded, failed };
  const noAnswer = answers.missing();
  if (noAnswer) return files > 0 ? noAnswerWords(noAnswer, numbers) : noAnswerReason(noAnswer);
  if (isCanceled) return l10n.t('canceling');
  if (isNew) return l10n.t('creating the run');
  return files > 0 ? l10n.t('opening the run: {0}', doneWords(numbers)) : l10n.t('opening the run');
}

/** The state of a run that this window works on, in all its numbers. */
export function liveLine({ progress, manifest, results, ...live }: ShownRun): string {
  const numbers = fileNumbers(manifest, results.values());
  const noAnswer = live.noAnswer();
  return noAnswer ? noAnswerWords(noAnswer, numbers) : progressLine(progress, numbers, live.timeLeft());
}

type ShownRun = Pick<LiveRun, 'progress' | 'manifest' | 'results' | 'timeLeft' | 'noAnswer'>;

function phaseWords({ phase, upload, nodes }: RunProgress, share: number, numbers: FileNumbers): string {
  switch (phase) {
    case 'uploading':
      return l10n.t('uploading {0}', percent(upload.bytesTotal > 0 ? upload.bytes / upload.bytesTotal : 0));
    case 'pool':
      return nodes.idle + nodes.running > 0 ? l10n.t('starting tasks') : l10n.t('waiting for nodes');
    case 'tasks':
      return l10n.t('{0}, {1}', percent(share), doneWords(numbers));
    case 'fetching':
      return l10n.t('fetching outputs: {0}', doneWords(numbers));
    case 'done':
      return l10n.t('done');
  }
}

/** The state of a run that this window does not work on. */
export function stateWords(record: RunRecord, isElsewhere: boolean): string {
  const { status, succeeded = 0, failed = 0, files } = record;
  const numbers = doneWords({ files, succeeded, failed });
  if (isElsewhere) return l10n.t('running in another window');
  if (record.waitsFor && record.isCanceling) return l10n.t('to be canceled: {0}', numbers);
  if (record.waitsFor) return waitingWords(record.waitsFor, numbers);
  if (isUpload(record) && status !== 'uploaded') return l10n.t('not submitted');
  if (record.isHalfSubmitted) return l10n.t('partly submitted');
  switch (status) {
    case 'running':
      return l10n.t('interrupted: {0}', numbers);
    case 'uploaded':
      return l10n.t('uploaded, not submitted');
    case 'submitted':
      return l10n.t('submitted, outputs not fetched');
    case 'stopped':
      return l10n.t('monitoring stopped: {0}', numbers);
    case 'canceled':
      return l10n.t('canceled: {0}', numbers);
    case 'finished':
      return failed > 0 || succeeded < files ? numbers : l10n.t('all done');
  }
}

/** The state of a run that continues as soon as its account can be used. */
function waitingWords(waitsFor: WaitReason, numbers: string): string {
  switch (waitsFor) {
    case 'signIn':
      return l10n.t('waiting for sign-in: {0}', numbers);
    case 'access':
      return l10n.t('waiting for access: {0}', numbers);
    case 'connection':
      return l10n.t('waiting for a connection: {0}', numbers);
  }
}

/** The state of one file. The reason of a failure does not repeat the name of the file, which its row begins with. */
export function fileWords(
  file: ManifestFile,
  result: FileResult | undefined,
  live: RunProgress | undefined,
): string {
  if (result?.problem) return withoutName(sentenceOf(result.problem).text, file.path);
  if (result) return l10n.t('{0} → {1}', bytes(file.size), bytes(result.outputBytes ?? 0));
  const progress = live?.running.get(file.id);
  if (progress) return progressWords(progress, file);
  if (live?.settling.has(file.id)) return l10n.t('fetching the output');
  return live ? l10n.t('waiting, {0}', bytes(file.size)) : l10n.t('not done, {0}', bytes(file.size));
}

/** What the icon of a file says, for screen readers, where its state doesn't. */
export function iconWord(
  { id }: Pick<ManifestFile, 'id'>,
  result: FileResult | undefined,
  live: RunProgress | undefined,
): string | undefined {
  if (result?.problem) return result.problem.kind === 'ended' ? undefined : l10n.t('failed');
  if (result) return l10n.t('done');
  return live?.running.has(id) ? l10n.t('running') : undefined;
}

/** Minimum seconds of encoding before the speed is shown: earlier, it mostly reflects buffering. */
const minSpeedSeconds = 1;

/** `45 %, 12× real time`; the time that is encoded if the length of the file is unknown. */
function progressWords({ seconds, speed }: FileProgress, file: ManifestFile): string {
  const done =
    file.seconds === undefined ? duration(seconds * 1000) : percent(Math.min(seconds / file.seconds, 1));
  return speed === undefined || seconds < minSpeedSeconds * speed
    ? done
    : l10n.t('{0}, {1}× real time', done, speed < 1 ? decimal(speed) : speed.toFixed(1));
}

/** A sentence about a file without the name of the file at its beginning or after a colon. */
export function withoutName(sentence: string, path: string): string {
  const shorter = sentence.startsWith(`${path} `) ? sentence.slice(path.length + 1) : sentence;
  if (shorter !== sentence) return shorter;
  // Chinese has a colon of its own.
  return sentence.replace(` ${path}:`, ':').replace(` ${path}：`, '：').replace(`${path}: `, '');
}

/** `0:00–5:00`, or `Audio`. */
export function pieceTitle({ piece, startSeconds, endSeconds }: PieceState): string {
  if (piece.kind === 'audio') return l10n.t('Audio');
  return `${duration(startSeconds * 1000)}–${duration(endSeconds * 1000)}`;
}

/** State and node of a piece of a split file. */
export function pieceWords({ state, progress, startSeconds, endSeconds, node }: PieceState): string {
  switch (state) {
    case 'waiting':
      return l10n.t('waiting');
    case 'running': {
      const share = Math.min((progress?.seconds ?? 0) / Math.max(endSeconds - startSeconds, 1), 1);
      return percent(share);
    }
    case 'done':
      return node ? l10n.t('done, {0}', node) : l10n.t('done');
    case 'failed':
      return node ? l10n.t('failed, {0}', node) : l10n.t('failed');
  }
}

/** Problems of an output that is in the account all the same. */
const partial = new Set<Problem['kind']>(['outputDamaged', 'sourceDamaged', 'outputBlank', 'channelsChange']);

/** Whether the account has an output of a file that failed. */
export function hasPartialOutput(file: ManifestFile, problem: Problem | undefined): boolean {
  return problem !== undefined && partial.has(problem.kind) && !file.output.isFolder;
}

/** What the status bar says of the active runs; `label` is for screen readers. */
export function statusWords(live: readonly LiveRun[]): { text: string; tooltip: string; label: string } {
  const numbers = live.map(({ manifest, results }) => fileNumbers(manifest, results.values()));
  const done = count(numbers.reduce((sum, { succeeded }) => sum + succeeded, 0));
  const total = count(numbers.reduce((sum, { files }) => sum + files, 0));
  return {
    text: live.every((run) => run.noAnswer() !== undefined)
      ? l10n.t('$(debug-disconnect) Transcode {0}/{1}', done, total)
      : l10n.t('$(sync~spin) Transcode {0}/{1}', done, total),
    tooltip: live.map((run) => `${presetName(run.manifest.preset)}: ${liveLine(run)}`).join('\n'),
    label: l10n.t('Transcoding: {0} of {1} files done', done, total),
  };
}
