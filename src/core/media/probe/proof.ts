import type { Problem } from '../../errors';
import type { Content } from '../../files/bytes';
import type { MediaInfo, Track } from '../mediaInfo';
import { ParserError, type ParserPool, parserPool } from '../parser/pool';
import { type FfmpegStatement, type InputStream, maxOverlap } from './ffmpegLog';

/** The track whose length shows that an output is complete; `none`: being there and readable is enough. */
export type ProofTrack = 'audio' | 'video' | 'none';

export interface Expected {
  /** The source's path, for the problem. */
  readonly file: string;
  /** Length of the source's track, if it is known. */
  readonly seconds?: number;
  readonly proof: ProofTrack;
  /** The command that made the output, if it is known. */
  readonly commandLine?: string;
}

/** Formats of outputs that can be read to prove them; outputs in other formats are accepted as they are. */
const provable = new Set('mp4 m4a m4v m4b mov mkv mka webm mp3 wav flac ogg oga opus aac ts m3u8'.split(' '));

/** The track that proves the output of a preset for a source. */
export function proofOf(
  { proof, extension }: { readonly proof: ProofTrack | 'any'; readonly extension: string },
  media: MediaInfo | undefined,
): ProofTrack {
  if (!provable.has(extension.toLowerCase())) return 'none';
  if (proof !== 'any') return proof;
  const has = (track: Track['kind']) =>
    media?.tracks.some(({ kind, isAttachedPicture }) => kind === track && !isAttachedPicture) === true;
  return has('video') ? 'video' : has('audio') ? 'audio' : 'none';
}

export interface Proof {
  /** Undefined if the output is right. */
  readonly problem?: Problem;
  /** Length of the output, if it is known. */
  readonly seconds?: number;
  /** What is wrong with an output that is accepted nevertheless. */
  readonly warning?: Problem;
}

export interface ProofOptions {
  /** What ffmpeg said on the node, if its log is there. */
  readonly statement?: FfmpegStatement;
  readonly signal?: AbortSignal;
  readonly parser?: ParserPool;
}

/**
 * Whether an output is right: readable, at least as long as its source's track and as what ffmpeg decoded of it, and not
 * blank. ffmpeg's exit code is no proof: inputs that are cut in half or damaged give 0. An output that is longer than its
 * source claims is right: headers of joined MP3 files and streams state too little.
 */
export async function proveOutput(
  file: Content,
  expected: Expected,
  { statement, signal, parser = parserPool }: ProofOptions = {},
): Promise<Proof> {
  const damaged: Problem = { kind: 'outputDamaged', file: expected.file };
  if (file.size === 0) return { problem: damaged };
  const { proof } = expected;
  if (proof === 'none') return statement ? proveByStatement(statement, expected, undefined) : {};
  const { media } = await parser.parse('output', file, signal).catch((error) => {
    if (error instanceof ParserError) return { media: undefined };
    throw error;
  });
  if (media === undefined) return { problem: damaged };
  const isPlaylist = media.format === 'hls';
  if (isPlaylist && media.seconds === undefined) return {};
  const seconds = isPlaylist ? media.seconds : media.tracks.find(({ kind }) => kind === proof)?.seconds;
  // An output of a source in which nothing could be decoded has a header and nothing else.
  const isEmpty = statement?.isFinished === true && statement.streams.length === 0;
  if (seconds === undefined || seconds <= 0 || isEmpty) return { problem: damaged };
  const lostSeconds = lostAtChanges(expected, statement, seconds);
  if (lostSeconds !== undefined) {
    return { problem: { kind: 'channelsChange', file: expected.file, lostSeconds }, seconds };
  }
  const expectedSeconds = secondsToCover(expected, statement);
  if (
    expectedSeconds !== undefined &&
    seconds <
      expectedSeconds -
        tolerance(expectedSeconds) -
        trimmedAtChanges(statement, proof, expectedSeconds) -
        undecodedSeconds(statement, proof)
  ) {
    return { problem: { ...damaged, expectedSeconds, actualSeconds: seconds }, seconds };
  }
  if (statement === undefined) return { seconds };
  return {
    seconds,
    ...proveByStatement(statement, expected, seconds),
  };
}

/**
 * Seconds that an output has to cover: the length that the probe found; else what ffmpeg decoded on the node, and the
 * length that the header states if all of the input was used.
 */
function secondsToCover(expected: Expected, statement: FfmpegStatement | undefined): number | undefined {
  // The length of audio in AVI counts chunks without content. Of a file that was cut, the probe knows the length.
  const isExact = expected.proof !== 'audio' || statement?.format !== 'avi';
  const stated = statement?.isReadWhole && isExact ? statement.statedSeconds : undefined;
  const all = [
    expected.seconds ?? stated,
    expected.proof === 'audio' ? secondsOfAudio(expected, statement) : undefined,
  ].filter((value) => value !== undefined);
  return all.length > 0 ? Math.max(...all) : undefined;
}

/** ffmpeg's formats without time stamps, whose joined parts follow each other. */
const untimedFormats = /^(ogg|mp3|aac|loas|e?ac3|dts|flac)$/;

/**
 * Seconds of audio that ffmpeg decoded. A part of a recording may begin before the last one ends, which ffmpeg does not say
 * where the channels change: that time counts once, as in the time stamps.
 */
function secondsOfAudio({ seconds }: Expected, statement: FfmpegStatement | undefined): number | undefined {
  const stream = statement?.streams.find(({ kind }) => kind === 'audio');
  const decoded = stream?.seconds ?? stream?.minSeconds;
  if (statement === undefined || decoded === undefined || untimedFormats.test(statement.format ?? ''))
    return decoded;
  const timeline = seconds ?? statement.statedSeconds ?? decoded;
  const overlaps = statement.overlapSeconds + statement.audioChanges * maxOverlap;
  return Math.max(Math.min(decoded, timeline), decoded - overlaps);
}

/**
 * Seconds by which an output may be shorter than its source: a picture may be missing, encoders trim up to a tenth of a
 * second, and tables of long files round.
 */
function tolerance(seconds: number): number {
  return 0.5 + seconds * 0.002;
}

/** Seconds that an encoder may lose at each change of the channels: the frame that is not full. FLAC has the longest. */
const encoderFrameSeconds = 0.1;
/** The share of an output that may be lost in that way, however many changes there are. */
const maxTrimmedShare = 0.02;

function trimmedAtChanges(
  statement: FfmpegStatement | undefined,
  proof: ProofTrack,
  seconds: number,
): number {
  const changes = proof === 'audio' ? (statement?.audioChanges ?? 0) : 0;
  return Math.min(changes * encoderFrameSeconds, seconds * maxTrimmedShare);
}

/** Formats in which nothing takes the place of frames that can't be decoded. How much of that is too much, `proveSource` says. */
const countedFormats = /^(mp3|aac|loas)$/;

function undecodedSeconds(statement: FfmpegStatement | undefined, proof: ProofTrack): number {
  if (proof !== 'audio' || !countedFormats.test(statement?.format ?? '')) return 0;
  const {
    frames = 0,
    decodeErrors = 0,
    seconds = 0,
  } = statement?.streams.find(({ kind }) => kind === 'audio') ?? {};
  return frames > 0 ? (decodeErrors * seconds) / frames : 0;
}

/** Filters that look ahead: they lose what they hold when the channels change. */
const lookAheadFilters = /\b(loudnorm|dynaudnorm)\b/;

/** Seconds of audio from which on such a filter counts as having lost some. Less is the delay of an encoder. */
const minLostSeconds = 1;

/** What an audio output lacks because filters that look ahead were made anew; undefined if it lacks nothing. */
function lostAtChanges(
  expected: Expected,
  statement: FfmpegStatement | undefined,
  seconds: number,
): number | undefined {
  const { proof, commandLine = '' } = expected;
  if (proof !== 'audio' || !statement?.audioChanges || !lookAheadFilters.test(commandLine)) return undefined;
  const lost = (secondsOfAudio(expected, statement) ?? 0) - seconds;
  return lost > minLostSeconds + trimmedAtChanges(statement, proof, seconds) ? lost : undefined;
}

/** The share of a source that may be damaged in an output that counts, and the seconds in any case. */
const maxDamagedShare = 0.02;
const minDamagedSeconds = 0.5;
const maxDamagedSeconds = 10;
const minShare = 0.0001;

/** A command that decodes key frames only, and the share of them that may be damaged where one picture is made of them. */
const keyFramesOnly = /-skip_frame nokey /;
const maxKeyFrameShare = 0.5;

/**
 * Returns the problem or warning that ffmpeg's statement shows: tracks are missing, the source could not be decoded or read to
 * its end, or the output is silent or black while its source is not. `seconds` is the length of the output, if known.
 */
export function proveByStatement(
  statement: FfmpegStatement,
  expected: Expected,
  seconds: number | undefined,
): Pick<Proof, 'problem' | 'warning'> {
  return {
    ...laterTracksWarning(statement, expected),
    ...proveSource(statement, { ...expected, seconds: expected.seconds ?? seconds }),
    ...(seconds !== undefined && blankProblem(statement, expected, seconds)),
    ...(statement.stopsAtChange && { problem: { kind: 'channelsChange', file: expected.file } }),
  };
}

/** A warning if the output lacks tracks that begin in the middle of the source. An output that needs no proof is a picture. */
function laterTracksWarning(
  { laterTracks }: FfmpegStatement,
  { file, proof }: Expected,
): Pick<Proof, 'warning'> {
  const isMissing =
    laterTracks.has(proof === 'audio' ? 'audio' : 'video') || (proof === 'video' && laterTracks.size > 0);
  return isMissing ? { warning: { kind: 'tracksChange', file } } : {};
}

/**
 * Whether ffmpeg could decode the source. A small share that it could not, it replaces by silence and still pictures: that
 * is a warning; more is a problem, however long the output is.
 */
function proveSource(
  statement: FfmpegStatement,
  { file, seconds, proof, commandLine = '' }: Expected,
): Pick<Proof, 'problem' | 'warning'> {
  const isDamaged = statement.damage > 0 || statement.streams.some(({ decodeErrors }) => decodeErrors > 0);
  if (!isDamaged) return {};
  const length = seconds ?? statement.statedSeconds;
  const share = Math.max(
    0,
    ...statement.streams.map((stream) => damagedShare(stream, statement, proof, length)),
  );
  if (length !== undefined && share < minShare && isLastPacketOnly(statement)) return {};
  const line = statement.damageLine;
  const problem: Problem = { kind: 'sourceDamaged', file, share, line };
  // Of a source of unknown length, the share alone tells.
  const damagedSeconds = length === undefined ? undefined : share * length;
  // Only key frames were decoded, so the share says little about the whole source.
  if (keyFramesOnly.test(commandLine) && share < maxKeyFrameShare)
    return { warning: { kind: 'sourceDamaged', file, line } };
  const isSmall =
    share <= maxDamagedShare || (damagedSeconds ?? Number.POSITIVE_INFINITY) <= minDamagedSeconds;
  return isSmall && (damagedSeconds ?? 0) <= maxDamagedSeconds ? { warning: problem } : { problem };
}

/** The last packet of a recording whose header states no length ends with the file: nothing is missing. */
function isLastPacketOnly({ damage, damageLine = '' }: FfmpegStatement): boolean {
  return damage <= 2 && /^Packet corrupt/.test(damageLine);
}

/** The share of a stream that could not be read or decoded, 0 to 1. */
function damagedShare(
  { kind, packets, frames, decodeErrors, seconds }: InputStream,
  { concealedFrames }: FfmpegStatement,
  proof: ProofTrack,
  length: number | undefined,
): number {
  const undecoded = decodeErrors / packets;
  const concealed = kind === 'video' && frames ? concealedFrames / frames : 0;
  const present = kind === proof && seconds !== undefined && length ? seconds / length : 1;
  // Streams of single fields have two packets, and in some formats two frames by their rate, for each frame.
  const isByField = kind === 'video' && Math.abs(present - 0.5) < 0.05;
  return Math.min(1, Math.max(undecoded, concealed, isByField ? 0 : 1 - present));
}

/** Peaks in dB of full scale: below is silence, above is sound. */
const silentPeak = -80;
const audiblePeak = -60;

/** Parts of the length: an output is black from here on, and a source is not up to here. */
const blackShare = 0.98;
const litShare = 0.5;

function blankProblem(
  { peaks, blackSeconds }: FfmpegStatement,
  { file }: Expected,
  seconds: number,
): Pick<Proof, 'problem'> {
  const [output, source] = [peaks.get('output'), peaks.get('source')];
  if (output !== undefined && source !== undefined && output < silentPeak && source > audiblePeak) {
    return { problem: { kind: 'outputBlank', file, what: 'audio' } };
  }
  const black = blackSeconds.get('output') ?? 0;
  const isBlack = seconds >= 0.5 && black > 0 && black >= seconds * blackShare - 0.1;
  return isBlack && (blackSeconds.get('source') ?? 0) < seconds * litShare
    ? { problem: { kind: 'outputBlank', file, what: 'video' } }
    : {};
}
