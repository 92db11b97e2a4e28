import type { VideoCuts } from '../media/cut/parts';
import { mergedTracks } from '../media/transportStream';
import { encodedPart, headFile, partInput, partList, rawName } from './splitNames';

/** Commands of one split video, and the names of their files on the nodes. */
export interface SplitCommands {
  /** Encodes the video of a part, which is `partInput`, to `output.EXTENSION`. */
  readonly part: readonly string[];
  /** Encodes the audio to `output`; undefined if the output of the whole has none. */
  readonly audio?: {
    readonly argv: readonly string[];
    readonly output: string;
    /** Options of a second output, which is discarded. */
    readonly discarded: readonly string[];
  };
  /** Joins the parts that `partList` lists, and the audio, to the output. */
  readonly join: readonly string[];
  /** Of encoded parts, audio and output. */
  readonly extension: string;
}

/** Options with their values. */
type Options = readonly (readonly [string, string])[];

/** Options that concern the audio, subtitles or the file as a whole, besides those whose name ends with `:a` or `:s`. */
const notVideo = new Set([
  '-af',
  '-ac',
  '-ar',
  '-sample_fmt',
  '-channel_layout',
  '-acodec',
  '-scodec',
  '-movflags',
]);
const aboutAudio = /^-[\w_]+:a(:\d+)?$/;
const aboutSubtitles = /^-[\w_]+:s(:\d+)?$/;

/** Formats into which encoded parts can be joined by copying. */
const joinable = new Set(['mp4', 'm4v', 'mov', 'mkv', 'webm']);

/**
 * Derives the commands for a split video from the command for the whole one, `argv`, which reads `input` and writes `output`.
 * `oneSize` is a filter that brings pictures of another size to that of the first; empty if the size doesn't change.
 * Undefined if the command isn't one video track with simple filters, which is all that can be split.
 */
export function splitCommands(
  argv: readonly string[],
  { input, output }: { input: string; output: string },
  cuts: VideoCuts,
  oneSize = '',
): SplitCommands | undefined {
  const extension = /\.(\w+)$/.exec(output)?.[1] ?? '';
  const begin = argv.indexOf('-i');
  if (!joinable.has(extension) || argv[begin + 1] !== input || argv.at(-1) !== output) return undefined;
  const globals = argv.slice(0, begin);
  const options = pairs(argv.slice(begin + 2, -1));
  if (options === undefined || options.some(([name]) => /^-(filter_complex|lavfi|ss|t|to|i)$/.test(name)))
    return undefined;
  const maps = options.filter(([name]) => name === '-map').map(([, value]) => value);
  const audioMaps = maps.filter((map) => /^0:a/.test(map));
  if (maps.length - audioMaps.length !== 1 || !maps.some((map) => /^0:[vV](:0)?\??$/.test(map)))
    return undefined;
  const timescale = extension === 'webm' || extension === 'mkv' ? [] : ['-video_track_timescale', '90000'];
  const hasAudio = cuts.audioStartSeconds.length > 0 && audioMaps.length > 0;
  const hasHead = cuts.headBytes > 0;
  const partOf = (name: string) => (hasHead ? `concat:${headFile}|${name}` : name);
  const audioInput = hasHead
    ? `concat:${[headFile, ...cuts.parts.map((_, index) => rawName(index))].join('|')}`
    : input;
  const audioOutput = `audio.${extension}`;
  return {
    part: [
      ...globals,
      ...(keepsTimes(options, cuts) ? ['-copyts'] : []),
      // Made anew when the size changes, the filters would begin at 0 again in the middle of a part.
      ...(oneSize && options.some(([name]) => isVideoFilter(name)) ? ['-reinit_filter', '0'] : []),
      ...['-i', partOf(partInput)],
      ...options.flatMap(([name, value]) => videoOption(name, value, oneSize)),
      ...['-an', '-sn', '-dn', ...timescale, `output.${extension}`],
    ],
    ...(hasAudio && {
      audio: {
        argv: [
          ...globals,
          ...audioOffset(cuts),
          ...['-i', audioInput],
          ...options.flatMap(([name, value]) => audioOption(name, value)),
          ...['-vn', audioOutput],
        ],
        output: audioOutput,
        // With the video as well, ffmpeg counts time from the same moment as for the whole file.
        discarded:
          cuts.audioBegins === 'withUsedTrack' ? ['-map', '0:V:0', '-c', 'copy', '-f', 'null', '-'] : [],
      },
    }),
    extension,
    join: joinCommand(globals, options, cuts, {
      output,
      extension,
      audioOutput: hasAudio ? audioOutput : undefined,
    }),
  };
}

/**
 * Cuts whose times count from the first of the tracks that a command uses, as ffmpeg counts those of a transport stream:
 * other tracks may begin before. Undefined if the used tracks aren't known.
 */
export function fromUsedTracks(argv: readonly string[], cuts: VideoCuts): VideoCuts | undefined {
  const { audioBegins, audioStartSeconds: starts, videoStartSeconds } = cuts;
  if (audioBegins !== 'withUsedTrack' || starts.length === 0) return cuts;
  const used: (number | undefined)[] = [videoStartSeconds];
  for (const [index, map] of argv.entries()) {
    if (argv[index - 1] !== '-map' || !map.startsWith('0:a')) continue;
    const track = /^0:a:(\d+)\??$/.exec(map)?.[1];
    used.push(...(track === undefined ? starts : [starts[Number(track)]]));
  }
  if (used.includes(undefined)) return undefined;
  const begin = Math.min(...used.map(Number));
  return {
    ...cuts,
    videoStartSeconds: videoStartSeconds - begin,
    audioStartSeconds: starts.map((start) => start - begin),
  };
}

/** Options before the audio's input: an audio-only upload begins with its first track. */
function audioOffset({ audioBegins, audioStartSeconds }: VideoCuts): string[] {
  const start = audioBegins === 'withFirstTrack' ? Math.min(...audioStartSeconds) : 0;
  return start > 0 ? ['-itsoffset', start.toFixed(6)] : [];
}

/**
 * Whether ffmpeg must not move the timestamps of a part. ffmpeg 4.4 and 5.1 take the late decoding time of the second frame of
 * a transport stream of variable frame rate for a gap, and close it. A filter moves the first frame to 0.
 */
function keepsTimes(options: Options, { audioBegins }: VideoCuts): boolean {
  return audioBegins === 'withUsedTrack' && options.some(([name]) => isVideoFilter(name));
}

/** The encoded parts are no transport stream, and don't take its option. */
function joinCommand(
  globals: readonly string[],
  options: Options,
  { videoStartSeconds }: VideoCuts,
  { output, extension, audioOutput }: { output: string; extension: string; audioOutput?: string },
): string[] {
  const about = options.filter(([name]) => /^-(tag:v|map_metadata|metadata.*|movflags|f)$/.test(name));
  return [
    ...globals.filter((arg, index) => ![arg, globals[index - 1]].includes(mergedTracks[0])),
    ...['-itsoffset', videoStartSeconds.toFixed(6), '-f', 'concat', '-safe', '0', '-i', partList],
    ...(audioOutput ? ['-i', audioOutput] : ['-i', encodedPart(0, extension)]),
    ...['-copyts', '-map', '0:v:0', ...(audioOutput ? ['-map', '1:a'] : [])],
    ...['-map_metadata', '1', '-map_chapters', '1', '-c', 'copy'],
    ...about.flat(),
    output,
  ];
}

/** Contents of `partList`: names and exact lengths, so that rounding in one part doesn't move the next. */
export function partListOf({ parts }: Pick<VideoCuts, 'parts'>, extension: string): string {
  const microseconds = (seconds: number) => Math.round(seconds * 1e6);
  const lines = parts.flatMap(({ startSeconds, endSeconds }, index) => {
    const length = (microseconds(endSeconds) - microseconds(startSeconds)) / 1e6;
    return [`file ${encodedPart(index, extension)}`, `duration ${length.toFixed(6)}`];
  });
  return `ffconcat version 1.0\n${lines.join('\n')}\n`;
}

/** Undefined if an option has no value. */
function pairs(args: readonly string[]): Options | undefined {
  if (args.length % 2 !== 0) return undefined;
  const found = Array.from(
    { length: args.length / 2 },
    (_, index) => [args[2 * index] ?? '', args[2 * index + 1] ?? ''] as const,
  );
  return found.every(([name]) => name.startsWith('-')) ? found : undefined;
}

function isVideoFilter(name: string): boolean {
  return name === '-vf' || name === '-filter:v';
}

function videoOption(name: string, value: string, oneSize: string): string[] {
  if (aboutAudio.test(name) || aboutSubtitles.test(name) || notVideo.has(name)) return [];
  if (name === '-map' && /^0:[as]/.test(value)) return [];
  // The first frame of each part is at 0; the list of parts says where it belongs.
  if (isVideoFilter(name)) return [name, ['setpts=PTS-STARTPTS', oneSize, value].filter(Boolean).join(',')];
  return [name, value];
}

function audioOption(name: string, value: string): string[] {
  const isAudio =
    aboutAudio.test(name) || ['-af', '-ac', '-ar', '-sample_fmt', '-channel_layout'].includes(name);
  if (isAudio || name === '-map_metadata' || (name === '-map' && /^0:a/.test(value))) return [name, value];
  return [];
}
