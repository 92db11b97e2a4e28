/**
 * Options that keep the source's frame times. ffmpeg 8 and later keeps them by default for the formats of the presets, and 9 has
 * no `-vsync`. Its replacement, `-fps_mode`, does not exist in 4.4.
 */
export function variableRate(ffmpegMajor: number | undefined): string[] {
  return (ffmpegMajor ?? 0) >= 8 ? [] : ['-vsync', 'vfr'];
}
