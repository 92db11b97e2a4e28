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
export function quote(arg: string): string {
  if (!arg.includes("'")) return `'${arg}'`;
  if (!/["\\$`!]/.test(arg)) return `"${arg}"`;
  return arg.replace(/'+|[^']+/g, (run) => (run.startsWith("'") ? `"${run}"` : `'${run}'`));
}
