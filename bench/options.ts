import { parseArgs } from 'node:util';

type Values<Defaults> = {
  readonly [Name in keyof Defaults]: Defaults[Name] extends string ? string : string | undefined;
};

/**
 * The values of a benchmark's options, `--NAME VALUE`, by their names; those that are not given have their defaults. Throws
 * for an option without a default here (which may be undefined).
 */
export function optionsOf<Defaults extends Readonly<Record<string, string | undefined>>>(
  args: readonly string[],
  defaults: Defaults,
): Values<Defaults> {
  const names = Object.keys(defaults);
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({ args: [...args], options });
  return { ...defaults, ...values } as Values<Defaults>;
}

/** The numbers of a list with commas. */
export function numbersOf(list: string): number[] {
  return list.split(',').map(Number);
}
