import type { AudioSelection } from '../media/audioTracks';
import type { MediaInfo } from '../media/mediaInfo';
import { mergeTracks, pcmEncoder } from './filters/audioFilters';
import { fillFilters } from './filters/filterChain';
import { isHdr } from './filters/videoFilters';
import { withInputOptions } from './inputOptions';
import { fillOption } from './options';
import { hasPlaceholder, isFilterName, optionName } from './placeholders';
import type { Preset } from './preset';
import { type SourceFacts, sourceFacts } from './sourceFacts';
import { fillFilter } from './sourceFilters';

/** What is known of a source when its command line is made, without its file name. */
export interface CommandFacts {
  readonly nodeInput: string;
  /** One, or several made of the same input. */
  readonly outputs: readonly CommandOutput[];
  /** What the probe knows of the source; filters are chosen so that they suit whatever is not known. */
  readonly media?: MediaInfo;
  /** Major version of the nodes' ffmpeg, if it is known. */
  readonly ffmpegMajor?: number;
}

export interface CommandOutput {
  readonly name: string;
  readonly audio: AudioSelection;
  /** Place among the source's subtitle tracks, counted from 0; the first by default. */
  readonly subtitle?: number;
}

/** Where ffmpeg writes how far it is, in its working directory. */
export const progressFile = 'progress.txt';

/**
 * Never asks, never reads stdin, overwrites in its own folder, says on stderr what it does and in a file how far it is
 * (`-stats_period` is as old as ffmpeg 4.4). At the level `verbose` it says at the end how much it read and decoded, which
 * proves outputs (`ffmpegLog.ts`).
 */
const globalOptions = [
  ...['-hide_banner', '-nostdin', '-y', '-nostats', '-v', 'verbose'],
  ...['-progress', progressFile, '-stats_period', '1'],
];

/** Options with a value that concern audio, subtitles or the output as a whole, whatever the value. */
const audioOnlyOptions = new Set(
  '-i -c:a -codec:a -acodec -b:a -q:a -ar -ac -sample_fmt -compression_level -application -vbr -c:s -scodec -f -id3v2_version -write_id3v1 -movflags -rf64'.split(
    ' ',
  ),
);

/**
 * Whether ffmpeg reads video of its input. It does not if all that is mapped is audio or subtitles and every other
 * option is known to have nothing to do with video. Covers lie outside of the video tracks where these can be left out.
 */
export function usesVideo({ arguments: given }: Preset): boolean {
  const args = given.filter((arg) => !['cover', 'tags'].includes(optionName(arg) ?? ''));
  let maps = 0;
  for (let index = 0; index < args.length - 1; index += 2) {
    const [option = '', value = ''] = [args[index], args[index + 1]];
    if (option === '-map' && /^(\$\{(audio|subtitle)\}|0:[as](:\d+)?\??)$/.test(value)) maps++;
    else if (/^-(af|filter:a)$/.test(option) && !value.includes('movie')) continue;
    else if (!audioOnlyOptions.has(option)) return true;
  }
  return maps === 0 || args.length % 2 === 0 || args.at(-1) !== '${output}';
}

/** ffmpeg and its arguments, the placeholders filled in for a source. */
export function commandOf(
  preset: Preset,
  { nodeInput, outputs, media, ffmpegMajor }: CommandFacts,
): string[] {
  const args = withInputOptions(preset.arguments, media);
  const cut = outputs.length > 1 ? endOfInput(args) : 0;
  const argv: string[] = [];
  outputs.forEach((output, index) => {
    const facts = { ...sourceFacts(preset, media, output.audio), ffmpegMajor };
    const values = valuesFor(facts, { nodeInput, output });
    if (index === 0 && cut > 0) argv.push(...fillArguments(args.slice(0, cut), facts, values));
    argv.push(...fillArguments(cut > 0 ? args.slice(cut) : args, facts, values));
  });
  return ['ffmpeg'].concat(globalOptions, argv);
}

/** Whether what follows the input may be written once for each of several outputs. */
export function canRepeatOutput(preset: Preset, name: 'audio' | 'subtitle' = 'audio'): boolean {
  const { arguments: args } = preset;
  const isFilled = args.some((arg) => arg.includes(`\${${name}}`));
  return endOfInput(args) > 0 && isFilled && !args.slice(endOfInput(args)).includes('-i');
}

/** Whether an output of the preset can hold several audio tracks as one: it maps the audio by its placeholder. */
export function canMergeTracks({ arguments: args }: Preset): boolean {
  return args.some(
    (arg, index) => optionName(arg) === 'ladder' || (args[index - 1] === '-map' && isAudioMap(arg)),
  );
}

function endOfInput(args: readonly string[]): number {
  return args.indexOf('${input}') + 1;
}

function isAudioMap(arg: string): boolean {
  return arg === '${audio}' || arg === '${audio}?';
}

/** The value of a placeholder that is a part of an argument; undefined for any other name. */
type PlaceholderValues = (name: string) => string | undefined;

function valuesFor(
  facts: SourceFacts,
  { nodeInput, output }: { nodeInput: string; output: CommandOutput },
): PlaceholderValues {
  return (name) => {
    switch (name) {
      case 'input':
        return nodeInput;
      case 'output':
        return output.name;
      case 'audio':
        return audioOf(facts.selection);
      case 'subtitle':
        return `0:s:${output.subtitle ?? 0}`;
      case 'seconds':
        return secondsOf(facts).toFixed(3);
      case 'pixelFormat':
        return isHdr(facts.video) ? 'yuv420p10le' : 'yuv420p';
      case 'pcm':
        return pcmEncoder(facts.audio);
      default:
        return undefined;
    }
  };
}

function fillArguments(args: readonly string[], facts: SourceFacts, valueFor: PlaceholderValues): string[] {
  const filled = fillChains(expandOptions(args, facts), facts);
  const { selection } = facts;
  const mapped =
    selection.kind === 'pair' || selection.kind === 'mix'
      ? mergeAudio(filled, mergeTracks(selection))
      : selection.kind === 'all' && selection.indexes
        ? mapEach(filled, selection.indexes)
        : filled;
  return mapped.map((arg) =>
    hasPlaceholder(arg) ? arg.replace(/\$\{(\w+)\}/g, (whole, name: string) => valueFor(name) ?? whole) : arg,
  );
}

function expandOptions(args: readonly string[], facts: SourceFacts): readonly string[] {
  if (!args.some((arg) => optionName(arg) !== undefined)) return args;
  return args.flatMap((arg) => {
    const name = optionName(arg);
    return name === undefined ? arg : fillOption(name, facts);
  });
}

/** What `${audio}` stands for where it is not a map: in a graph, which reads the first of several tracks. */
function audioOf(selection: SourceFacts['selection']): string {
  if (selection.kind === 'track') return `0:a:${selection.index}`;
  const [first] = (selection.kind === 'all' && selection.indexes) || [];
  return first === undefined ? '0:a' : `0:a:${first}`;
}

/** Fills the filters; an option whose filters are all unnecessary goes. */
function fillChains(args: readonly string[], facts: SourceFacts): string[] {
  const filled: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? '';
    const value = args[index + 1];
    if (!/^-(vf|af|filter(:[av](:\d+)?)?|filter_complex|lavfi)$/.test(arg) || value === undefined) {
      filled.push(arg);
      continue;
    }
    index++;
    const kind = /^-(af|filter:a)/.test(arg) ? 'audio' : 'video';
    const chain = fillFilters(
      value,
      (name, argument) => (isFilterName(name) ? fillFilter(name, argument, facts) : undefined),
      kind,
    );
    if (chain !== '') filled.push(arg, chain);
  }
  return filled;
}

/**
 * The arguments with several audio tracks made one: their graph comes before the filters that the preset has for its
 * audio, and what it maps is the end of both.
 */
function mergeAudio(args: readonly string[], merging: string): string[] {
  const maps = args.filter((arg, index) => args[index - 1] === '-map' && isAudioMap(arg)).length;
  if (maps === 0) return [...args];
  const at = args.findIndex((arg) => /^-(af|filter:a)$/.test(arg));
  const filters = at < 0 ? [] : [args[at + 1] ?? ''];
  const rest = at < 0 ? args : args.filter((_, index) => index !== at && index !== at + 1);
  const labels = Array.from({ length: maps }, (_, index) => `[merged${index}]`);
  const end = maps > 1 ? [`asplit=${maps}`] : [];
  const graph = `${[merging, ...filters, ...end].join(',')}${labels.join('')}`;
  let next = 0;
  const mapped = rest.map((arg, index) =>
    rest[index - 1] === '-map' && isAudioMap(arg) ? (labels[next++] ?? arg) : arg,
  );
  const complex = mapped.indexOf('-filter_complex');
  if (complex >= 0) return mapped.map((arg, index) => (index === complex + 1 ? `${arg};${graph}` : arg));
  const first = mapped.indexOf('-map');
  return [...mapped.slice(0, first), '-filter_complex', graph, ...mapped.slice(first)];
}

/** The arguments with a map for each of these audio tracks instead of one for all. */
function mapEach(args: readonly string[], indexes: readonly number[]): string[] {
  return args.flatMap((arg, index) =>
    args[index - 1] === '-map' && isAudioMap(arg)
      ? indexes.flatMap((track, place) => [
          ...(place > 0 ? ['-map'] : []),
          arg.replace('${audio}', `0:a:${track}`),
        ])
      : [arg],
  );
}

/** Whether the command of a preset depends on the length of the source. */
export function usesLength({ arguments: args }: Preset): boolean {
  return args.some((arg) => /\$\{(seconds|fps|spread|ladder)\b/.test(arg));
}

/** Seconds that are assumed for a source of unknown length, where a number is necessary. */
const unknownSeconds = 160;

/** Length, in seconds, of the track that the preset works on. */
function secondsOf({ preset, media, video, audio: [track] }: SourceFacts): number {
  const own = preset.needs === 'audio' ? track?.seconds : video?.seconds;
  const seconds = own ?? media?.seconds ?? 0;
  return seconds > 0 ? seconds : unknownSeconds;
}
