import type { VideoCuts } from '../media/cut/parts';
import type { Track } from '../media/mediaInfo';
import { toCommandLine } from '../presets/commandLine';
import { oneSize } from '../presets/filters/videoFilters';
import { withMeasures } from './measures';
import type { SplitFile } from './pieces';
import { fromUsedTracks, partListOf, splitCommands } from './splitCommands';

/** A source that can be cut, as its probe found it. */
export interface CutSource {
  readonly partSeconds: number;
  readonly cuts: VideoCuts;
  /** Bytes of the file without its video; 0 if the parts contain the audio, or there is none. */
  readonly audioBytes: number;
}

/** What a split keeps of the source's video track. */
type TrackFacts = Pick<Track, 'framesPerSecond' | 'timecode' | 'isDefault'>;

/** Without a time base, ffmpeg shows the first frame of a whole video at a multiple of its frame duration. */
function firstFrame(argv: readonly string[], seconds: number, framesPerSecond: number | undefined): number {
  return framesPerSecond && !argv.includes('-enc_time_base:v')
    ? Math.round(seconds * framesPerSecond) / framesPerSecond
    : seconds;
}

/** What ffmpeg keeps of a whole video, and encoded parts have lost: its time code, and that it is the default track. */
function withTrackFacts(join: readonly string[], { timecode, isDefault }: TrackFacts): string[] {
  return [
    ...join.slice(0, -1),
    ...(timecode === undefined ? [] : ['-metadata:s:v:0', `timecode=${timecode}`]),
    ...(isDefault ? ['-disposition:v:0', 'default'] : []),
    ...join.slice(-1),
  ];
}

/**
 * The split of a file, and the command line that joins its parts; undefined if the command isn't one that can be split.
 * `argv` transcodes the whole file from `input` to `output`.
 */
export function splitFile(
  argv: readonly string[],
  names: { readonly input: string; readonly output: string },
  { partSeconds, cuts, audioBytes }: CutSource,
  track?: Track,
): { split: SplitFile; joinCommandLine: string } | undefined {
  const used = fromUsedTracks(argv, cuts);
  const commands =
    used &&
    splitCommands(
      argv,
      names,
      {
        ...used,
        videoStartSeconds: firstFrame(argv, used.videoStartSeconds, track?.framesPerSecond),
      },
      oneSize(track),
    );
  if (commands === undefined) return undefined;
  const { audio, extension } = commands;
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
  return {
    split,
    joinCommandLine: toCommandLine(track ? withTrackFacts(commands.join, track) : commands.join),
  };
}
