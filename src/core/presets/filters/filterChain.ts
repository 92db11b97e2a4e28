/** Stands in a chain for a filter that a source does not need. */
const nothing = '\0';

/** Joins filters with commas; undefined and empty ones are left out. */
export function chain(...filters: readonly (string | undefined)[]): string {
  return filters.filter(Boolean).join(',');
}

/**
 * Fills the placeholders of a filter chain or graph. A filter that `filterOf` gives as empty goes with its comma; where
 * it was the only one between two labels, one that changes nothing (`null`, `anull`) takes its place. Empty if nothing
 * is left.
 */
export function fillFilters(
  text: string,
  filterOf: (placeholder: string, argument: string | undefined) => string | undefined,
  kind: 'audio' | 'video',
): string {
  if (!text.includes('${')) return text;
  const filled = text.replace(
    /\$\{(\w+)(?::(\w+))?\}/g,
    (whole, name: string, argument: string | undefined) => (filterOf(name, argument) ?? whole) || nothing,
  );
  if (/^\0(,\0)*$/.test(filled)) return '';
  return filled
    .replace(/\0,/g, '')
    .replace(/,\0/g, '')
    .replaceAll(nothing, kind === 'audio' ? 'anull' : 'null');
}
