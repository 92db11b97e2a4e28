/** What ffmpeg makes of an input: the built-in ones below, and the user's own from the settings. */
export interface Preset {
  /** Stable; built-in ones are named in the manifest's own words (`mp3`), the user's by their setting. */
  readonly id: string;
  /** English; built-in labels are localised by id in `src/vscode`. */
  readonly label: string;
  /** The track without which the preset is impossible. */
  readonly needs: 'audio' | 'video' | 'subtitle' | 'any';
  /**
   * ffmpeg's arguments between its global options and the output, the input included, as an array and never a shell
   * string. Placeholders: `${input}`, `${output}`, `${audio}` (the chosen audio track, as in `0:a:1`).
   */
  readonly arguments: readonly string[];
  /** Without a dot: `mp3`. For a folder preset, of the file that is opened first (`m3u8`). */
  readonly extension: string;
  /** Several outputs in a folder named after the input (an HLS ladder). */
  readonly folder?: boolean;
  /** What shows that an output is complete. */
  readonly complete: 'sameDuration' | 'present';
}
