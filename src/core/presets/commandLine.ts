/**
 * One string that a node splits into the same arguments again. Batch runs no shell and expands nothing; quotes keep
 * blanks together.
 */
export function toCommandLine(argv: readonly string[]): string {
  return argv.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : quote(arg))).join(' ');
}

/**
 * Quotes an argument so that nodes and POSIX shells split it the same way: everything is literal between single quotes,
 * and a single quote is written between double quotes.
 */
export function quote(arg: string): string {
  if (!arg.includes("'")) return `'${arg}'`;
  if (!/["\\$`!]/.test(arg)) return `"${arg}"`;
  return arg.replace(/'+|[^']+/g, (run) => (run.startsWith("'") ? `"${run}"` : `'${run}'`));
}
