import { parseArgsStringToArgv } from 'string-argv';
import { UserError } from '../errors';
import type { Preset } from './preset';

/** What is known of a source when its command line is made. People's file names are not among it. */
export interface CommandFacts {
  readonly nodeInput: string;
  /** One, or several made of the same input, each with the audio that goes into it: `0:a:1`, `0:a` for all. */
  readonly outputs: readonly { readonly name: string; readonly audio: string }[];
  readonly isSilent: boolean;
  readonly seconds?: number;
}

/** Where ffmpeg writes how far it is, in its working directory. */
export const progressFile = 'progress.txt';

/**
 * Never asks, never reads stdin, overwrites in its own folder, says on stderr what it does and in a file how far it is
 * (`-stats_period` is as old as ffmpeg 4.4).
 */
const globalOptions = [
  ...['-hide_banner', '-nostdin', '-y', '-nostats'],
  ...['-progress', progressFile, '-stats_period', '1'],
];

/** A source whose length nobody knows gets a contact sheet of its first minutes. */
const unknownSeconds = 160;

/** Options with a value that concern sound, subtitles or the output as a whole, whatever the value. */
const pictureless = new Set(
  '-i -c:a -codec:a -acodec -b:a -q:a -ar -ac -sample_fmt -compression_level -application -vbr -c:s -scodec -f -id3v2_version -write_id3v1 -movflags'.split(
    ' ',
  ),
);

/**
 * Whether ffmpeg looks at the pictures of its input. It does not where all that is mapped is sound or subtitles and every
 * other option is known to have nothing to do with pictures.
 */
export function usesPictures({ arguments: args }: Preset): boolean {
  let maps = 0;
  for (let index = 0; index < args.length - 1; index += 2) {
    const [option = '', value = ''] = [args[index], args[index + 1]];
    if (option === '-map' && /^(\$\{audio\}|0:[as](:\d+)?\??)$/.test(value)) maps++;
    else if (/^-(af|filter:a)$/.test(option) && !value.includes('movie')) continue;
    else if (!pictureless.has(option)) return true;
  }
  return maps === 0 || args.length % 2 === 0 || args.at(-1) !== '${output}';
}

/** ffmpeg and its arguments, the placeholders filled in. */
export function commandOf(preset: Preset, { nodeInput, outputs, isSilent, seconds }: CommandFacts): string[] {
  const chosen = isSilent && preset.silentArguments ? preset.silentArguments : preset.arguments;
  const cut = outputs.length > 1 ? endOfInput(chosen) : 0;
  const length = (seconds && seconds > 0 ? seconds : unknownSeconds).toFixed(3);
  const parts = outputs.flatMap(({ name, audio }) =>
    chosen.slice(cut).map((arg) => fill(arg, { input: nodeInput, output: name, audio, seconds: length })),
  );
  const before = chosen.slice(0, cut).map((arg) => fill(arg, { input: nodeInput, seconds: length }));
  return ['ffmpeg', ...globalOptions, ...before, ...parts];
}

/** Whether what follows the input may be written once for each of several outputs. */
export function canRepeatOutput(preset: Preset): boolean {
  const { arguments: args } = preset;
  const isFilled = (name: string) => args.some((arg) => arg.includes(name));
  return endOfInput(args) > 0 && isFilled('${audio}') && !args.slice(endOfInput(args)).includes('-i');
}

function endOfInput(args: readonly string[]): number {
  return args.indexOf('${input}') + 1;
}

function fill(arg: string, values: Readonly<Record<string, string>>): string {
  return arg.replace(/\$\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}

/**
 * One string that a node splits into the same arguments again. Batch runs no shell and expands nothing; quotes keep
 * blanks together.
 */
export function toCommandLine(argv: readonly string[]): string {
  return argv.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : quote(arg))).join(' ');
}

/**
 * Single quotes keep everything as it is, wherever a command line is split, be it by a shell; a single quote itself
 * goes between double ones.
 */
function quote(arg: string): string {
  if (!arg.includes("'")) return `'${arg}'`;
  if (!/["\\$`!]/.test(arg)) return `"${arg}"`;
  return arg.replace(/'+|[^']+/g, (run) => (run.startsWith("'") ? `"${run}"` : `'${run}'`));
}

/** What people see and edit of a preset: ffmpeg and its arguments, the placeholders as they are. */
export function presetCommand(preset: Preset): string {
  const words = preset.arguments.map((arg) => (/^[\w@%+=:,./?*[\]|${}-]+$/.test(arg) ? arg : quote(arg)));
  return ['ffmpeg', ...words].join(' ');
}

/**
 * The preset with the arguments of an edited command, whose output may well be shorter than its source. Quotes keep
 * blanks together, nothing is expanded. Throws
 * `presetInvalid` for a command without its input or output.
 */
export function withCommand(preset: Preset, text: string): Preset {
  const [first, ...rest] = parseArgsStringToArgv(text);
  const args = first === 'ffmpeg' ? rest : first === undefined ? [] : [first, ...rest];
  const missing = ['${input}', '${output}'].find((name) => !args.some((arg) => arg.includes(name)));
  if (missing !== undefined) {
    throw new UserError({ kind: 'presetInvalid', preset: preset.label, detail: `${missing} is missing` });
  }
  return { ...preset, arguments: args, silentArguments: undefined, proof: 'none' };
}
