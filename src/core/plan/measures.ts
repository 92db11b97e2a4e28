/*
 * Filters that measure, on the node, whether an output is silent or black while its source is not. They change nothing
 * of the output: ffmpeg prints what they found to its log, which `ffmpegLog.ts` reads.
 */

/** Passes every sample format through. Options are as old as ffmpeg 4.2. */
const audioMeasure = (name: 'source' | 'output') =>
  `astats@${name}=measure_perchannel=none:measure_overall=Peak_level`;

/** It does not print its name, but its options. */
const videoMeasure = (name: 'source' | 'output') => `blackdetect=d=${name === 'source' ? '0.001' : '0'}`;

/** A picture each second is enough to see that a source is not black. */
const sampled = "select='isnan(prev_selected_t)+gte(t-prev_selected_t,1)',scale=64:64";

export interface MeasuredTracks {
  /** The source is known to have audio. */
  readonly hasAudio: boolean;
  readonly hasVideo: boolean;
}

/**
 * An ffmpeg command that writes one file, `output`, with filters that measure its audio and video, and a second output, which is discarded, that measures
 * the source. Commands of a form that cannot be measured safely are returned as they are: several inputs or outputs,
 * filter graphs, copied streams.
 */
export function withMeasures(
  argv: readonly string[],
  output: string,
  { hasAudio, hasVideo }: MeasuredTracks,
): string[] {
  const inputs = argv.filter((arg) => arg === '-i').length;
  const outputs = argv.filter((arg) => arg.includes(output)).length;
  if (inputs !== 1 || outputs !== 1 || argv.at(-1) !== output || argv.some(isUnmeasured)) return [...argv];
  const audio = hasAudio ? audioMap(argv) : undefined;
  const video = hasVideo ? videoMap(argv) : undefined;
  if (audio === undefined && video === undefined) return [...argv];
  let measured = [...argv];
  const source: string[] = [];
  if (video !== undefined) {
    measured = withFilter(measured, /^-(vf|filter:v)$/, videoMeasure('output'));
    source.push('-map', video, '-vf', `${sampled},${videoMeasure('source')}`);
  }
  if (audio !== undefined) {
    measured = withFilter(measured, /^-(af|filter:a)$/, audioMeasure('output'));
    source.push('-map', audio, '-af', audioMeasure('source'));
  }
  return [...measured, ...source, '-f', 'null', '-'];
}

/** Options of commands whose output is made of several streams, or of a part of its source. */
function isUnmeasured(arg: string): boolean {
  return /^-(filter_complex|filter_complex_script|lavfi|t|to|ss|sseof|fs|shortest|frames(:\w+)?|vframes|aframes)$/.test(
    arg,
  );
}

/** The audio that the command maps and encodes; undefined if there is none, or none that can be filtered. */
function audioMap(argv: readonly string[]): string | undefined {
  const maps = mapsOf(argv, /^0:a(:\d+)?\??$/);
  const isEncoded = encodersOf(argv, /^-(c:a|codec:a|acodec|c|codec)$/).every(
    (encoder) => encoder !== 'copy',
  );
  return maps.length === 1 && isEncoded ? maps[0]?.replace('?', '') : undefined;
}

/** The video that the command maps and encodes in 8 bits: for others the filter would make ffmpeg convert it. */
function videoMap(argv: readonly string[]): string | undefined {
  const maps = mapsOf(argv, /^0:[vV](:\d+)?\??$/);
  const isEncoded = encodersOf(argv, /^-(c:v|codec:v|vcodec|c|codec)$/).every(
    (encoder) => encoder !== 'copy',
  );
  const isPlain = argv[argv.lastIndexOf('-pix_fmt') + 1] === 'yuv420p';
  return maps.length === 1 && isEncoded && isPlain ? maps[0]?.replace('?', '') : undefined;
}

function mapsOf(argv: readonly string[], pattern: RegExp): string[] {
  return argv.filter((arg, index) => argv[index - 1] === '-map' && pattern.test(arg));
}

function encodersOf(argv: readonly string[], option: RegExp): string[] {
  return argv.filter((_, index) => option.test(argv[index - 1] ?? ''));
}

/** With the filter at the end of the only chain of its kind, or as a chain of its own before the output. */
function withFilter(argv: readonly string[], option: RegExp, filter: string): string[] {
  const at = argv.findLastIndex((arg) => option.test(arg));
  if (at >= 0) return argv.map((arg, index) => (index === at + 1 ? `${arg},${filter}` : arg));
  const name = option.test('-vf') ? '-vf' : '-af';
  return [...argv.slice(0, -1), name, filter, ...argv.slice(-1)];
}
