/**
 * Filters that measure, on the node, whether an output is silent or black while its source is not. They don't change
 * the output: ffmpeg prints what they found to its log, which `ffmpegLog.ts` reads.
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

/** A part of a command that is measured: the streams of the source, and the command with a filter on what it makes of them. */
interface Measured {
  readonly streams: readonly string[];
  readonly withFilter: (argv: readonly string[], filter: string) => string[];
}

/**
 * An ffmpeg command that writes one file or folder, `output`, with filters that measure its audio and video, and a second
 * output, which is discarded, that measures the source. Of the renditions of a ladder the first is measured: all are made
 * of the same picture. Commands of a form that cannot be measured safely are returned as they are: several inputs or
 * outputs, copied streams, parts of a source.
 */
export function withMeasures(
  argv: readonly string[],
  output: string,
  { hasAudio, hasVideo }: MeasuredTracks,
): string[] {
  const inputs = argv.filter((arg) => arg === '-i').length;
  const outputs = argv.filter((arg) => arg.includes(output)).length;
  const isLast = argv.at(-1) === output || argv.at(-1)?.startsWith(`${output}/`);
  if (inputs !== 1 || outputs !== 1 || !isLast || argv.some(isUnmeasured)) return [...argv];
  const audio = hasAudio ? measuredAudio(argv) : undefined;
  const video = hasVideo ? measuredVideo(argv) : undefined;
  if (audio === undefined && video === undefined) return [...argv];
  let measured = [...argv];
  const source: string[] = [];
  if (video !== undefined) {
    measured = video.withFilter(measured, videoMeasure('output'));
    source.push(...maps(video.streams), '-vf', `${sampled},${videoMeasure('source')}`);
  }
  if (audio !== undefined) {
    measured = audio.withFilter(measured, audioMeasure('output'));
    source.push(...maps(audio.streams), '-af', audioMeasure('source'));
  }
  return [...measured, ...source, '-f', 'null', '-'];
}

/** Options of commands whose output is made of a part of its source, or of a graph that is not in the command. */
function isUnmeasured(arg: string): boolean {
  return /^-(filter_complex_script|lavfi|t|to|ss|sseof|fs|shortest|frames(:\w+)?|vframes|aframes)$/.test(arg);
}

/** Undefined if the command encodes no audio, or none that can be filtered. */
function measuredAudio(argv: readonly string[]): Measured | undefined {
  if (valuesOf(argv, /^-(c:a|codec:a|acodec|c|codec)$/).includes('copy')) return undefined;
  return measuredTrack(argv, /^0:a(:\d+)?$/, /^-(af|filter:a)$/);
}

/** Undefined unless the command encodes a picture in 8 bits: for others the filter would make ffmpeg convert it. */
function measuredVideo(argv: readonly string[]): Measured | undefined {
  if (valuesOf(argv, /^-(c:v|codec:v|vcodec|c|codec)$/).includes('copy')) return undefined;
  if (argv[argv.lastIndexOf('-pix_fmt') + 1] !== 'yuv420p') return undefined;
  return measuredTrack(argv, /^0:[vV](:\d+)?$/, /^-(vf|filter:v)$/);
}

/** What is mapped from one stream, with filters of its own, or from a filter graph. */
function measuredTrack(argv: readonly string[], stream: RegExp, option: RegExp): Measured | undefined {
  const mapped = argv.filter((_, index) => argv[index - 1] === '-map').map((map) => map.replace('?', ''));
  const [direct, ...others] = new Set(mapped.filter((map) => stream.test(map)));
  if (direct !== undefined) {
    const withFilter = (all: readonly string[], filter: string) => withChain(all, option, filter);
    return others.length === 0 ? { streams: [direct], withFilter } : undefined;
  }
  const [graph = '', ...furtherGraphs] = valuesOf(argv, /^-filter_complex$/);
  if (furtherGraphs.length > 0) return undefined;
  for (const label of mapped) {
    const streams = [...new Set(streamsOf(label, graph.split(';')))];
    if (streams.length === 0 || !streams.every((name) => stream.test(name))) continue;
    const end = graph.lastIndexOf(label);
    const withFilter = (all: readonly string[], filter: string) =>
      all.map((arg) => (arg === graph ? `${graph.slice(0, end)},${filter}${graph.slice(end)}` : arg));
    return { streams, withFilter };
  }
  return undefined;
}

/** The streams, such as `0:V:0`, that a label of a filter graph is made of; none if that cannot be told. */
function streamsOf(label: string, chains: readonly string[]): string[] {
  const chain = chains.find((text) => /(\[[^\]]*\])+$/.exec(text)?.[0].includes(label));
  if (chain === undefined) return [];
  const others = chains.filter((other) => other !== chain);
  const inputs = /^(\[[^\]]*\])+/.exec(chain)?.[0].match(/[^[\]]+/g) ?? [];
  return inputs.flatMap((input) => (input.startsWith('0:') ? [input] : streamsOf(`[${input}]`, others)));
}

function maps(streams: readonly string[]): string[] {
  return streams.flatMap((stream) => ['-map', stream]);
}

function valuesOf(argv: readonly string[], option: RegExp): string[] {
  return argv.filter((_, index) => option.test(argv[index - 1] ?? ''));
}

/** With the filter at the end of the only chain of its kind, or as a chain of its own before the output. */
function withChain(argv: readonly string[], option: RegExp, filter: string): string[] {
  const at = argv.findLastIndex((arg) => option.test(arg));
  if (at >= 0) return argv.map((arg, index) => (index === at + 1 ? `${arg},${filter}` : arg));
  const name = option.test('-vf') ? '-vf' : '-af';
  return [...argv.slice(0, -1), name, filter, ...argv.slice(-1)];
}
