/** What ffmpeg makes of an input: one of `builtIn.ts`, or the user's own (`userPreset.ts`). */
export interface Preset {
  /** Stable: `mp3`, `h264-720p`. */
  readonly id: string;
  /** English; built-in labels are localised by id in `src/vscode`. */
  readonly label: string;
  /** The track without which the preset is impossible. */
  readonly needs: 'audio' | 'video' | 'subtitle' | 'any';
  /**
   * ffmpeg's arguments after its global options, the input and output included, as an array and never a shell string.
   * `placeholders.ts` lists what they may name.
   */
  readonly arguments: readonly string[];
  /** Without a dot: `mp3`. */
  readonly extension: string;
  /** Several outputs, in a folder named after the input (HLS); `${output}` is the folder then. */
  readonly folder?: boolean;
  /** An output can hold several audio tracks, when all of them are asked for. */
  readonly severalAudioTracks?: boolean;
  /**
   * The track whose length shows that an output is complete; `any`: the video, or the audio if there is no video; `none`:
   * being there and readable is enough.
   */
  readonly proof: 'audio' | 'video' | 'any' | 'none';
  /** A long video may be cut into parts that are encoded on several nodes and joined by copying. */
  readonly split?: boolean;
  /** Extensions, lower case and without a dot, of the only files it is for. */
  readonly inputs?: readonly string[];
}
