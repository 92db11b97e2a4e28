import type { VideoCuts } from '../media/cut/parts';
import type { Track } from '../media/mediaInfo';
import { toCommandLine } from '../presets/commandLine';
import { withMeasures } from './measures';
import type { SplitFile } from './pieces';
import { partListOf, splitCommands } from './splitCommands';

/** A source that can be cut, as its probe found it. */
export interface CutSource {
  readonly partSeconds: number;
  readonly cuts: VideoCuts;
  /** Bytes of the file without its video; 0 if the parts contain the audio, or there is none. */
  readonly audioBytes: number;
}

/** Without a time base, ffmpeg shows the first frame of a whole video at a multiple of its frame duration. */
function firstFrame(argv: readonly string[], seconds: number, framesPerSecond: number | undefined): number {
  return framesPerSecond && !argv.includes('-enc_time_base:v')
    ? Math.round(seconds * framesPerSecond) / framesPerSecond
    : seconds;
}

/** Parts have no time codes, which ffmpeg otherwise keeps. */
function withTimecode(join: readonly string[], timecode: string): string[] {
  return [...join.slice(0, -1), '-metadata:s:v:0', `timecode=${timecode}`, ...join.slice(-1)];
}

/**
 * The split of a file, and the command line that joins its parts; undefined if the command isn't one that can be split.
 * `argv` transcodes the whole file from `input` to `output`.
 */
export function splitFile(
  argv: readonly string[],
  names: { readonly input: string; readonly output: string },
  { partSeconds, cuts, audioBytes }: CutSource,
  { framesPerSecond, timecode }: Pick<Track, 'framesPerSecond' | 'timecode'> = {},
): { split: SplitFile; joinCommandLine: string } | undefined {
  const commands = splitCommands(argv, names, {
    ...cuts,
    videoStartSeconds: firstFrame(argv, cuts.videoStartSeconds, framesPerSecond),
  });
  if (commands === undefined) return undefined;
  const { audio, extension } = commands;
  const join = timecode === undefined ? commands.join : withTimecode(commands.join, timecode);
  const part = withMeasures(commands.part, `output.${extension}`, { hasAudio: false, hasVideo: true });
  const split: SplitFile = {
    partSeconds,
    parts: cuts.parts,
    headBytes: cuts.headBytes,
    partCommandLine: toCommandLine(part),
    ...(audio && {
      audio: {
        commandLine: toCommandLine([
          ...withMeasures(audio.argv, audio.output, { hasAudio: true, hasVideo: false }),
          ...audio.discarded,
        ]),
        bytes: audioBytes,
        output: audio.output,
      },
    }),
    partList: partListOf(cuts, extension),
    extension,
  };
  return { split, joinCommandLine: toCommandLine(join) };
}
