import type { Problem } from '../errors';
import {
  type AudioChoice,
  type AudioSelection,
  audioTracks,
  chosenTrack,
  isUsableAudio,
  stereoPair,
} from '../media/audioTracks';
import type { WholeReason } from '../media/cut/parts';
import type { MediaInfo, Track } from '../media/mediaInfo';
import { type ProofTrack, proofOf } from '../media/probe/proof';
import type { Adaptation } from '../presets/adaptations';
import { type CommandOutput, canMergeTracks, canRepeatOutput, usesVideo } from '../presets/ffmpegCommand';
import type { Preset } from '../presets/preset';
import { type SubtitleFile, subtitleFiles } from '../presets/subtitles';
import { judge } from './judge';
import type { ManifestFile } from './manifest';
import type { MeasuredTracks } from './measures';
import { blobPart, extensionOnNode, OutputNames, splitUri } from './outputNames';
import { PlannedCommands } from './plannedCommands';
import { type CutSource, splitFile } from './splitFile';

/** A file to transcode, and what its probe found. */
export interface PlanSource {
  readonly uri: string;
  /** For display: the path in its workspace folder, with slashes. */
  readonly path: string;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  readonly media?: MediaInfo;
  /** How the video can be cut, or why it can't; undefined if that wasn't asked. */
  readonly cut?: CutSource | WholeReason;
}

/** What the user should know about a plan before the run starts. */
export type PlanNote =
  | { readonly kind: 'renamed'; readonly file: string; readonly name: string }
  /** One of several audio tracks is used, counted from 1. */
  | { readonly kind: 'trackChosen'; readonly file: string; readonly track: number; readonly tracks: number }
  /** The first two mono tracks are used as the left and right channel of one stereo track. */
  | { readonly kind: 'tracksPaired'; readonly file: string; readonly tracks: number }
  /** Each of several text subtitles becomes a file of its own. */
  | { readonly kind: 'subtitlesSplit'; readonly file: string; readonly tracks: number }
  | { readonly kind: 'adapted'; readonly file: string; readonly adaptation: Adaptation }
  | { readonly kind: 'tracksMixed'; readonly file: string; readonly tracks: number }
  /** Each of several audio tracks gets a file of its own, in a folder. */
  | { readonly kind: 'tracksSplit'; readonly file: string; readonly folder: string; readonly tracks: number }
  | { readonly kind: 'languageMissing'; readonly file: string; readonly language: string }
  /** The video is transcoded in parts. */
  | { readonly kind: 'split'; readonly file: string; readonly parts: number }
  /** The video would be transcoded in parts, but can't be cut. */
  | { readonly kind: 'notSplit'; readonly file: string; readonly reason: WholeReason }
  /** A task of the file probably takes longer than tasks may, and is ended then. Minutes. */
  | {
      readonly kind: 'tooLongForTask';
      readonly file: string;
      readonly minutes: number;
      readonly limit: number;
    }
  /** The run probably takes so many minutes: longer than its job may. */
  | { readonly kind: 'tooLongForJob'; readonly minutes: number };

/** A folder for outputs that is not the sources' own. */
export interface OutputFolder {
  /** As it is shown. */
  readonly label: string;
  /**
   * URI of the folder for the output of a source, with a slash at its end; undefined for the source's own folder. The same
   * for all sources of a folder.
   */
  of(source: Pick<PlanSource, 'uri'>): string | undefined;
}

export interface PlanRequest {
  readonly sources: readonly PlanSource[];
  readonly preset: Preset;
  /** `default` when it is not given. */
  readonly audio?: AudioChoice;
  /** Transcode videos that can be cut in parts. Default: false. */
  readonly split?: boolean;
  /** Default: the folder of each source. */
  readonly outputFolder?: OutputFolder;
  /** Major version of the nodes' ffmpeg, if it is known. */
  readonly ffmpegMajor?: number;
}

export interface Plan {
  readonly files: ManifestFile[];
  readonly refused: { readonly source: PlanSource; readonly problem: Problem }[];
  readonly notes: PlanNote[];
}

/**
 * Gives every source its names: task, blobs, names on the node, output. No two sources share one, whatever they are
 * called, on any file system, and no source's name gets into a command line. Sources that the preset cannot work on are
 * refused.
 */
export function plan(request: PlanRequest): Plan {
  const { sources, preset, audio = 'default', split = false, outputFolder, ffmpegMajor } = request;
  const refused: Plan['refused'] = [];
  const accepted = sources.filter((source) => {
    const problem = judge(preset, source.media, source);
    if (problem) refused.push({ source, problem });
    return problem === undefined;
  });
  const names = new OutputNames(sources.map(({ uri }) => uri));
  const width = Math.max(4, String(accepted.length).length);
  const notes: PlanNote[] = [];
  const common = {
    preset,
    isUsingVideo: usesVideo(preset),
    choice: audio,
    split,
    folderOf: outputFolder && oncePerFolder(outputFolder),
    commands: new PlannedCommands(preset, ffmpegMajor),
  };
  const files = accepted.map((source, index) => {
    const id = String(index + 1).padStart(width, '0');
    return planFile(id, source, common, names, (note) => notes.push(note));
  });
  return { files, refused, notes };
}

/** What all files of a plan share. */
interface Common {
  readonly preset: Preset;
  readonly isUsingVideo: boolean;
  readonly choice: AudioChoice;
  readonly split: boolean;
  /** Where the output of a source goes; undefined if all go beside their sources. */
  readonly folderOf: OutputFolder['of'] | undefined;
  readonly commands: PlannedCommands;
}

/** Finding out the folder of an output takes kilobytes of memory, and is the same for all sources of a folder. */
function oncePerFolder(outputFolder: OutputFolder): OutputFolder['of'] {
  const known = new Map<string, string | undefined>();
  return (source) => {
    const { folder } = splitUri(source.uri);
    if (!known.has(folder)) known.set(folder, outputFolder.of(source));
    return known.get(folder);
  };
}

function planFile(
  id: string,
  source: PlanSource,
  { preset, isUsingVideo, choice, split, folderOf, commands }: Common,
  names: OutputNames,
  tell: (note: PlanNote) => void,
): ManifestFile {
  const { uri, path, size, modified, media } = source;
  const sourceName = splitUri(uri).name;
  const tracks = audioTracks(media);
  const audio = planAudio(path, preset, tracks, choice, tell);
  const subtitles = planSubtitles(path, preset, media, choice, tell);
  const isBeside = subtitles.length > 1;
  const isFolder = preset.folder === true || audio.isSplit || isBeside;
  const label = preset.id.replace(/^user:/, '').replace(/[^\w-]+/g, '-');
  const folder = folderOf?.(source);
  const { name, isExpected } = names.take(uri, label, isFolder ? '' : `.${preset.extension}`, folder);
  if (!isExpected) tell({ kind: 'renamed', file: path, name });
  if (audio.isSplit)
    tell({ kind: 'tracksSplit', file: path, folder: name, tracks: tracks.filter(isUsableAudio).length });
  const nodeInput = `input${extensionOnNode(sourceName)}`;
  const nodePath = isFolder ? 'output' : `output.${preset.extension}`;
  const proof = audio.isSplit ? 'none' : proofOf(preset, media);
  const outputs: readonly CommandOutput[] = isBeside
    ? subtitles.map(({ index, name }) => ({
        name: `${nodePath}/${name}.${preset.extension}`,
        audio: audio.selection,
        subtitle: index,
      }))
    : audio.isSplit
      ? tracks.flatMap((track, index) =>
          isUsableAudio(track)
            ? {
                name: `${nodePath}/${trackName(track, index)}.${preset.extension}`,
                audio: { kind: 'track', index },
              }
            : [],
        )
      : [{ name: nodePath, audio: audio.selection, subtitle: subtitles[0]?.index }];
  const command = commands.of(media, {
    nodeInput,
    nodePath,
    outputs,
    selection: audio.selection,
    measured: proof === 'none' ? undefined : measuredTracks(preset, media),
  });
  for (const adaptation of command.adaptations) tell({ kind: 'adapted', file: path, adaptation });
  const planned = split
    ? planSplit(source, command.argv, { input: nodeInput, output: nodePath }, tell)
    : undefined;
  return {
    id,
    path,
    uri,
    size,
    modified,
    audioOnlyBytes: isUsingVideo ? undefined : media?.audioOnlyBytes,
    inputBlob: `${id}/${blobPart(sourceName)}`,
    nodeInput,
    commandLine: planned?.joinCommandLine ?? command.line,
    ...(planned && { split: planned.split }),
    output: {
      nodePath,
      blob: `${id}/${blobPart(name)}`,
      isFolder,
      ...(isBeside && { isBeside }),
      name,
      ...(folder !== undefined && { folder }),
      proof,
    },
    seconds: secondsToProve(media, proof, tracks[audio.index]),
    ...(isUsingVideo && { pixels: pixelsOf(media) }),
  };
}

/** Pixels of a displayed picture; undefined if that isn't known. */
function pixelsOf(media: MediaInfo | undefined): number | undefined {
  const video = media?.tracks.find(({ kind, isAttachedPicture }) => kind === 'video' && !isAttachedPicture);
  const { width, height } = video ?? {};
  return width === undefined || height === undefined ? undefined : width * height;
}

/**
 * The kinds of tracks in which source and output can be compared. If the tracks are unknown, the kinds that the preset
 * requires.
 */
function measuredTracks({ needs }: Preset, media: MediaInfo | undefined): MeasuredTracks {
  const hasAudio = media?.knows.includes('audio')
    ? audioTracks(media).some(isUsableAudio)
    : needs === 'audio';
  return { hasAudio, hasVideo: needs === 'video' };
}

/** Undefined for a file that is transcoded as a whole. */
function planSplit(
  { path: file, cut, media }: PlanSource,
  argv: readonly string[],
  names: { readonly input: string; readonly output: string },
  tell: (note: PlanNote) => void,
) {
  if (cut === undefined || cut === 'short') return undefined;
  if (typeof cut === 'string') {
    tell({ kind: 'notSplit', file, reason: cut });
    return undefined;
  }
  const video = media?.tracks.find(({ kind, isAttachedPicture }) => kind === 'video' && !isAttachedPicture);
  // The two count other tracks as audio: which of them begins when isn't known.
  const isCounted =
    cut.cuts.audioBegins !== 'withUsedTrack' ||
    !media?.knows.includes('audio') ||
    audioTracks(media).length === cut.cuts.audioStartSeconds.length;
  if (!isCounted) {
    tell({ kind: 'notSplit', file, reason: 'format' });
    return undefined;
  }
  const planned = splitFile(argv, names, cut, video);
  if (planned) tell({ kind: 'split', file, parts: cut.cuts.parts.length });
  return planned;
}

/**
 * The text subtitles that an output is made of, each with its place among the subtitle tracks and its name; none if the
 * preset makes no subtitles or the tracks are not known.
 */
function planSubtitles(
  file: string,
  preset: Preset,
  media: MediaInfo | undefined,
  choice: AudioChoice,
  tell: (note: PlanNote) => void,
): readonly SubtitleFile[] {
  if (!preset.arguments.includes('${subtitle}') || !media?.knows.includes('subtitle')) return [];
  const found = subtitleFiles(media, typeof choice === 'object' ? choice.language : undefined);
  if (found.length > 1 && canRepeatOutput(preset, 'subtitle') && !preset.folder) {
    tell({ kind: 'subtitlesSplit', file, tracks: found.length });
    return found;
  }
  return found.slice(0, 1);
}

interface PlannedAudio {
  readonly selection: AudioSelection;
  /** Of the track whose length proves the output. */
  readonly index: number;
  /** Each track gets an output of its own. */
  readonly isSplit: boolean;
}

function planAudio(
  file: string,
  preset: Preset,
  tracks: readonly Track[],
  choice: AudioChoice,
  tell: (note: PlanNote) => void,
): PlannedAudio {
  const usable = tracks.flatMap((track, index) => (isUsableAudio(track) ? index : []));
  const [firstUsable = 0] = usable;
  if (choice === 'all' && usable.length > 1) {
    const selection: AudioSelection = {
      kind: 'all',
      ...(usable.length < tracks.length && { indexes: usable }),
    };
    if (preset.severalAudioTracks) return { selection, index: firstUsable, isSplit: false };
    if (preset.needs === 'audio' && !preset.folder && canRepeatOutput(preset)) {
      return { selection, index: firstUsable, isSplit: true };
    }
  }
  if (choice === 'mix' && usable.length > 1 && canMergeTracks(preset)) {
    tell({ kind: 'tracksMixed', file, tracks: usable.length });
    const secondsOf = (index: number) => tracks[index]?.seconds ?? 0;
    const longest = usable.reduce(
      (best, index) => (secondsOf(index) > secondsOf(best) ? index : best),
      firstUsable,
    );
    return { selection: { kind: 'mix', indexes: usable }, index: longest, isSplit: false };
  }
  const pair = choice === 'default' && canMergeTracks(preset) ? stereoPair(tracks) : undefined;
  if (pair !== undefined) {
    tell({ kind: 'tracksPaired', file, tracks: tracks.length });
    return { selection: { kind: 'pair', indexes: pair }, index: pair[0], isSplit: false };
  }
  const { index, hasLanguage } = chosenTrack(tracks, choice);
  const usesAudio = canMergeTracks(preset) || preset.arguments.some((arg) => arg.includes('${audio}'));
  if (usesAudio && tracks.length > 1 && index < tracks.length) {
    tell({ kind: 'trackChosen', file, track: index + 1, tracks: tracks.length });
  }
  if (usesAudio && !hasLanguage && tracks.length > 0 && typeof choice === 'object') {
    tell({ kind: 'languageMissing', file, language: choice.language });
  }
  return { selection: { kind: 'track', index }, index, isSplit: false };
}

/** `1-eng`, `2`: our own names, as those of the tracks could be anything. */
function trackName({ language }: Track, index: number): string {
  const code = language && /^[A-Za-z]{2,3}$/.test(language) && language !== 'und' ? `-${language}` : '';
  return `${index + 1}${code.toLowerCase()}`;
}

/** Length of the track that the output must match: the chosen audio's, or the picture's. */
function secondsToProve(
  media: MediaInfo | undefined,
  proof: ProofTrack,
  audioTrack: Track | undefined,
): number | undefined {
  switch (proof) {
    case 'audio':
      return audioTrack?.seconds;
    case 'video':
      return media?.tracks.find(({ kind, isAttachedPicture }) => kind === 'video' && !isAttachedPicture)
        ?.seconds;
    case 'none':
      return undefined;
  }
}
