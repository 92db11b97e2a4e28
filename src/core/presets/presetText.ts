import { parseArgsStringToArgv } from 'string-argv';
import { type PresetFault, UserError } from '../errors';
import { quote } from './commandLine';
import { unknownPlaceholder } from './placeholders';
import type { Preset } from './preset';

/** The command of a preset that users see and edit: ffmpeg and its arguments, with the placeholders. */
export function presetCommand(preset: Preset): string {
  const words = preset.arguments.map((arg) => (/^[\w@%+=:,./?*[\]|${}-]+$/.test(arg) ? arg : quote(arg)));
  return ['ffmpeg', ...words].join(' ');
}

/**
 * The preset with the arguments of an edited command, whose output may be shorter than its source. Quotes keep blanks
 * together, nothing is expanded. Throws `presetInvalid` for a command without its input or output, or with a
 * placeholder that does not exist.
 */
export function withCommand(preset: Preset, text: string): Preset {
  const [first, ...rest] = parseArgsStringToArgv(text);
  const args = first === 'ffmpeg' ? rest : first === undefined ? [] : [first, ...rest];
  const refuse = (fault: PresetFault, subject: string): never => {
    throw new UserError({ kind: 'presetInvalid', preset: preset.label, fault, subject });
  };
  const missing = ['${input}', '${output}'].find((name) => !args.some((arg) => arg.includes(name)));
  if (missing !== undefined) refuse('missingPlaceholder', missing);
  const unknown = unknownPlaceholder(args);
  if (unknown !== undefined) refuse('unknownPlaceholder', unknown);
  return { ...preset, arguments: args, proof: 'none' };
}
