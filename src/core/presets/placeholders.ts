/**
 * What the arguments of a preset may name. The values, filters and options are chosen for each source, so that an
 * ordinary source (progressive, square pixels, SDR, mono or stereo) gets none that it does not need.
 */

/** Part of an argument: `${input}`, `-b:a ${pcm}`. */
const valueNames = ['input', 'output', 'audio', 'subtitle', 'seconds', 'pixelFormat', 'pcm'] as const;

/** A filter in a chain: `${deinterlace},${fit:720}`. */
const filterNames = [
  'audioSync',
  'audioLayout',
  'mono',
  'deinterlace',
  'frameRate',
  'fit',
  'fitWidth',
  'fps',
  'spread',
  'sample',
  'tonemap',
  'oneSize',
] as const;

/** An argument by itself, which becomes several options or none: `${cover}`. */
const optionNames = [
  'keyFrames',
  'keepFilters',
  'genpts',
  'timing',
  'hdr10',
  'cover',
  'tags',
  'streams',
  'ladder',
] as const;

export type FilterName = (typeof filterNames)[number];
export type OptionName = (typeof optionNames)[number];

/** Filters that need a number: `${fit:720}`. */
const withNumber = new Set<string>(['fit', 'fitWidth', 'fps', 'spread'] satisfies FilterName[]);

const values = new Set<string>(valueNames);
const filters = new Set<string>(filterNames);
const options = new Set<string>(optionNames);

export function isFilterName(name: string): name is FilterName {
  return filters.has(name);
}

/** Whether an argument may have something to fill in. */
export function hasPlaceholder(arg: string): boolean {
  return arg.includes('${');
}

/** The name of an argument that is one placeholder of options; undefined for any other argument. */
export function optionName(arg: string): OptionName | undefined {
  const name = arg.startsWith('${') && arg.endsWith('}') ? arg.slice(2, -1) : '';
  return options.has(name) ? (name as OptionName) : undefined;
}

/** The first placeholder that does not exist or has no meaning at its position; undefined if there is none. */
export function unknownPlaceholder(args: readonly string[]): string | undefined {
  for (const arg of args) {
    if (optionName(arg) !== undefined) continue;
    for (const [whole, name = '', argument] of arg.matchAll(/\$\{([^}]*?)(?::([^}]*))?\}/g)) {
      const isNumberRight = withNumber.has(name)
        ? /^[1-9]\d{0,4}$/.test(argument ?? '')
        : argument === undefined;
      if (!(values.has(name) || filters.has(name)) || !isNumberRight) return whole;
    }
  }
  return undefined;
}
