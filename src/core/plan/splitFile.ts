import type { VideoCuts } from '../media/cut/parts';
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

/** ffmpeg shows the first frame of a whole video at a multiple of its frame duration. */
function onFrame(seconds: number, framesPerSecond: number | undefined): number {
  return framesPerSecond ? Math.round(seconds * framesPerSecond) / framesPerSecond : seconds;
}

/**
 * The split of a file, and the command line that joins its parts; undefined if the command isn't one that can be split.
 * `argv` transcodes the whole file from `input` to `output`.
 */
export function splitFile(
  argv: readonly string[],
  names: { readonly input: string; readonly output: string },
  { partSeconds, cuts, audioBytes }: CutSource,
  framesPerSecond?: number,
): { split: SplitFile; joinCommandLine: string } | undefined {
  const commands = splitCommands(argv, names, {
    ...cuts,
    videoStartSeconds: onFrame(cuts.videoStartSeconds, framesPerSecond),
  });
  if (commands === undefined) return undefined;
  const { audio, join, extension } = commands;
  const part = withMeasures(commands.part, `output.${extension}`, { hasAudio: false, hasVideo: true });
  const split: SplitFile = {
    partSeconds,
    parts: cuts.parts,
    headBytes: cuts.headBytes,
    partCommandLine: toCommandLine(part),
    ...(audio && {
      audio: {
        commandLine: toCommandLine(
          withMeasures(audio.argv, audio.output, { hasAudio: true, hasVideo: false }),
        ),
        bytes: audioBytes,
        output: audio.output,
      },
    }),
    partList: partListOf(cuts, extension),
    extension,
  };
  return { split, joinCommandLine: toCommandLine(join) };
}
