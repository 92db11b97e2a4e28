/**
 * Frames at the times of the source. From 8 on, ffmpeg does so by itself for the formats of the presets, and 9 has no option
 * `-vsync`; the one that replaces it, 4.4 does not have.
 */
export function variableRate(ffmpegMajor: number | undefined): string[] {
  return (ffmpegMajor ?? 0) >= 8 ? [] : ['-vsync', 'vfr'];
}
