import type { VmGeneration, VmSizes } from '../azure/resourceManager';

/**
 * Cores of sizes whose name holds a number that is not their cores: the A, D, DS and G families of the first years.
 * https://learn.microsoft.com/azure/virtual-machines/sizes/previous-gen-sizes-list
 */
const irregularCores: readonly {
  readonly pattern: RegExp;
  readonly cores: Readonly<Record<number, number>>;
}[] = [
  {
    pattern: /^(?:standard|basic)_a(\d+)$/i,
    cores: { 0: 1, 1: 1, 2: 2, 3: 4, 4: 8, 5: 2, 6: 4, 7: 8, 8: 8, 9: 16, 10: 8, 11: 16 },
  },
  {
    pattern: /^standard_ds?(\d+)(?:_v2)?(?:_promo)?$/i,
    cores: { 1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 11: 2, 12: 4, 13: 8, 14: 16, 15: 20 },
  },
  { pattern: /^standard_gs?(\d+)$/i, cores: { 1: 2, 2: 4, 3: 8, 4: 16, 5: 32 } },
];

/**
 * Cores that a size takes from the quota; undefined for a name that has no number. Later families name them:
 * `Standard_D4s_v5` has 4. https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions
 */
export function quotaCores(vmSize: string, sizes?: VmSizes): number | undefined {
  const { cores } = sizes?.get(vmSize.toLowerCase()) ?? {};
  if (cores !== undefined) return cores;
  for (const { pattern, cores } of irregularCores) {
    const number = pattern.exec(vmSize)?.[1];
    if (number !== undefined) return cores[Number(number)];
  }
  const number = /^(?:standard|basic)_[a-z]+(\d+)/i.exec(vmSize)?.[1];
  return number === undefined ? undefined : Number(number);
}

/** The family of a size's core quota: `Standard_D4s_v5` is of `standardDSv5Family`. Compare without regard to case. */
export function familyOf(vmSize: string, sizes?: VmSizes): string | undefined {
  const { family } = sizes?.get(vmSize.toLowerCase()) ?? {};
  if (family !== undefined) return family;
  const [, letters, , features, version] =
    /^standard_([a-z]+)(\d+)(?:-\d+)?([a-z]*)(?:_(v\d+))?$/i.exec(vmSize) ?? [];
  if (letters === undefined) return undefined;
  return `standard${letters}${features ?? ''}${version ?? ''}Family`;
}

/**
 * Families that boot only the first generation: A, D and E without premium storage up to v3, F, G, H and the first
 * NC. https://learn.microsoft.com/azure/virtual-machines/generation-2
 */
const firstGenerationOnly =
  /^(standard|basic)_(a\d+m?(_v2)?|ds?\d+(_v2)?(_promo)?|d\d+_v3|e\d+i?_v3|fs?\d+s?|gs?\d+|h\d+m?r?|nc\d+r?|nv\d+|ls?\d+s?)$/i;

/** Families that boot only the second generation: Mv2 and later, and all of version 6 and later. */
const secondGenerationOnly = /_v([6-9]|\d\d)$|^standard_m\d.*_v[2-9]$/i;

/** The generations that a size can boot. */
export function generationsOf(vmSize: string, sizes?: VmSizes): readonly VmGeneration[] {
  const { generations } = sizes?.get(vmSize.toLowerCase()) ?? {};
  if (generations !== undefined) return generations;
  if (firstGenerationOnly.test(vmSize)) return ['V1'];
  return secondGenerationOnly.test(vmSize) ? ['V2'] : ['V2', 'V1'];
}
