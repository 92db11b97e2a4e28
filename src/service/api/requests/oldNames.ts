import type { Wire } from '../../wire/wire';

/** Members that a version renamed, by their present names. */
const renamed: Readonly<Record<string, { readonly old: string; readonly version: string }>> = {
  taskSlotsPerNode: { old: 'maxTasksPerNode', version: '2020-09-01.12.0' },
  httpUrl: { old: 'blobSource', version: '2018-12-01.8.0' },
  osVersion: { old: 'targetOSVersion', version: '2018-12-01.8.0' },
};

/** The first version in which every member has its present name. */
const present = Object.values(renamed)
  .map(({ version }) => version)
  .sort()
  .at(-1);

/** The present name of a member of a request. Clients of old versions send the name that their version has. */
export function presentName(name: string, version: string): string {
  const found = Object.entries(renamed).find(
    ([, { old, version: until }]) => name === old && version < until,
  );
  return found?.[0] ?? name;
}

/** A resource whose members, at any depth, have the names of a version. */
export function named(wire: Wire, version: string): Wire {
  if (present === undefined || version >= present) return wire;
  const names = new Map(
    Object.entries(renamed).flatMap(([name, { old, version: until }]) =>
      version < until ? [[name, old] as const] : [],
    ),
  );
  return renamedIn(wire, names) as Wire;
}

function renamedIn(value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((item) => renamedIn(item, names));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [names.get(name) ?? name, renamedIn(inner, names)]),
  );
}
