import { type PresetFault, UserError } from '../errors';
import { unknownPlaceholder } from './placeholders';
import type { Preset } from './preset';

const known = new Set([
  'name',
  'arguments',
  'extension',
  'needs',
  'inputs',
  'folder',
  'sameDuration',
  'severalAudioTracks',
  'split',
]);

/**
 * A preset of the user's settings; the schema in package.json says the same to the editor. Throws `presetInvalid`
 * with what is wrong with it.
 */
export function parseUserPreset(value: unknown): Preset {
  const given: Readonly<Record<string, unknown>> =
    typeof value === 'object' && value !== null ? { ...value } : {};
  const name = typeof given.name === 'string' ? given.name.trim() : '';
  const refuse = (fault: PresetFault, subject?: string): never => {
    throw new UserError({ kind: 'presetInvalid', preset: name || '?', fault, subject });
  };
  if (name === '') refuse('name');
  const stranger = Object.keys(given).find((key) => !known.has(key));
  if (stranger !== undefined) refuse('unknownProperty', stranger);
  const args = isStrings(given.arguments) ? given.arguments : refuse('arguments');
  for (const place of ['${input}', '${output}']) {
    if (!args.some((arg) => arg.includes(place))) refuse('missingPlaceholder', place);
  }
  const unknown = unknownPlaceholder(args);
  if (unknown !== undefined) refuse('unknownPlaceholder', unknown);
  if (args.some((arg) => arg.includes('\0'))) refuse('nullCharacter');
  const extension = asExtension(given.extension) ?? refuse('extension');
  const needs = (['audio', 'video', 'subtitle', 'any'] as const).find((track) => track === given.needs);
  if (given.needs !== undefined && needs === undefined) refuse('needs');
  const inputs = given.inputs === undefined ? undefined : asInputs(given.inputs);
  if (given.inputs !== undefined && inputs === undefined) refuse('inputs');
  const flag = (key: 'folder' | 'sameDuration' | 'severalAudioTracks' | 'split'): boolean => {
    if (given[key] !== undefined && typeof given[key] !== 'boolean') refuse('boolean', key);
    return given[key] === true;
  };
  const sameDuration = flag('sameDuration') || given.sameDuration === undefined;
  return {
    id: `user:${name}`,
    label: name,
    needs: needs ?? 'any',
    arguments: args,
    extension,
    folder: flag('folder'),
    severalAudioTracks: flag('severalAudioTracks'),
    split: flag('split'),
    proof: sameDuration && (needs === 'audio' || needs === 'video') ? needs : 'none',
    inputs,
  };
}

/** The presets of the settings that can be used, and the problems of the others. */
export function parseUserPresets(values: readonly unknown[]): { presets: Preset[]; problems: UserError[] } {
  const presets: Preset[] = [];
  const problems: UserError[] = [];
  for (const value of values) {
    try {
      const preset = parseUserPreset(value);
      if (presets.some(({ id }) => id === preset.id)) {
        throw new UserError({ kind: 'presetInvalid', preset: preset.label, fault: 'nameTaken' });
      }
      presets.push(preset);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      problems.push(error);
    }
  }
  return { presets, problems };
}

function asInputs(value: unknown): string[] | undefined {
  if (!isStrings(value) || value.length === 0) return undefined;
  const inputs = value.map(asExtension);
  return inputs.every((input) => input !== undefined)
    ? inputs.map((input) => input.toLowerCase())
    : undefined;
}

function asExtension(value: unknown): string | undefined {
  const match = typeof value === 'string' ? /^\.?([A-Za-z0-9]{1,10})$/.exec(value.trim()) : null;
  return match?.[1];
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
