import type { AudioSelection } from '../media/audioTracks';
import type { MediaInfo } from '../media/mediaInfo';
import { type Adaptation, adaptationsOf } from '../presets/adaptations';
import { toCommandLine } from '../presets/commandLine';
import { type CommandOutput, commandOf, usesLength } from '../presets/ffmpegCommand';
import type { Preset } from '../presets/preset';
import { LikeMedia } from './likeMedia';
import { type MeasuredTracks, withMeasures } from './measures';

/** One command of a plan, without the parts into which a video may be split. */
export interface CommandRequest {
  readonly nodeInput: string;
  /** The file or folder that the command writes. */
  readonly nodePath: string;
  readonly outputs: readonly CommandOutput[];
  readonly selection: AudioSelection;
  /** Undefined if nothing is measured. */
  readonly measured: MeasuredTracks | undefined;
}

/** A command, and what it changes of its source beyond what the preset says. */
export class PlannedCommand {
  #line: string | undefined;

  constructor(
    readonly argv: readonly string[],
    readonly adaptations: readonly Adaptation[],
    private readonly request: CommandRequest,
  ) {}

  /** Batch's command line, with measures. */
  get line(): string {
    const { measured, nodePath } = this.request;
    this.#line ??= toCommandLine(measured ? withMeasures(this.argv, nodePath, measured) : this.argv);
    return this.#line;
  }
}

const unknownMedia: MediaInfo = { tracks: [], knows: [] };

/** The commands of a plan. Files of the same kind have the same one, which is made once. */
export class PlannedCommands {
  readonly #like = new LikeMedia();
  /** By the media, as long as others are compared with it, and by the request. */
  readonly #made = new WeakMap<MediaInfo, Map<string, PlannedCommand>>();
  readonly #usesLength: boolean;

  constructor(
    private readonly preset: Preset,
    private readonly ffmpegMajor: number | undefined,
  ) {
    this.#usesLength = usesLength(preset);
  }

  of(media: MediaInfo | undefined, request: CommandRequest): PlannedCommand {
    if (media && this.#usesLength) return this.#make(media, request);
    const like = media && this.#like.withoutLengths(media);
    const made = this.#made.get(like ?? unknownMedia) ?? new Map<string, PlannedCommand>();
    this.#made.set(like ?? unknownMedia, made);
    const key = JSON.stringify(request);
    const command = made.get(key) ?? this.#make(like, request);
    made.set(key, command);
    return command;
  }

  #make(media: MediaInfo | undefined, request: CommandRequest): PlannedCommand {
    const { preset, ffmpegMajor } = this;
    const { nodeInput, outputs, selection } = request;
    const argv = commandOf(preset, { nodeInput, outputs, media, ffmpegMajor });
    return new PlannedCommand(argv, adaptationsOf(preset, media, selection), request);
  }
}
