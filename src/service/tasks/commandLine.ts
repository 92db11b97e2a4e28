import { parseArgsStringToArgv } from 'string-argv';

/**
 * The arguments of a command line. On Linux and macOS a node splits it by the quoting rules of a POSIX shell, without a
 * shell: nothing is expanded, and `;` or `|` are ordinary characters. On Windows a backslash is part of a path.
 */
export function splitCommandLine(text: string, platform: NodeJS.Platform = process.platform): string[] {
  return platform === 'win32' ? parseArgsStringToArgv(text) : splitPosix(text);
}

/**
 * Quoted and unquoted stretches, one after the other: `'…'`, `"…"`, an escaped character, plain characters, blanks. An
 * unclosed quote reaches to the end. Written by hand, since the packages that split by these rules also expand `$'…'`,
 * variables or comments.
 */
const stretch = /'([^']*)(?:'|$)|"((?:[^"\\]|\\[\s\S])*)(?:"|\\?$)|\\([\s\S])|([^\s'"\\]+|\\$)|(\s+)/gy;

function splitPosix(text: string): string[] {
  const argv: string[] = [];
  let current: string | undefined;
  for (const [, single, double, escaped, plain, blank] of text.matchAll(stretch)) {
    if (blank !== undefined) {
      if (current !== undefined) argv.push(current);
      current = undefined;
      continue;
    }
    // Within double quotes a backslash escapes only what would otherwise have a meaning there.
    current = (current ?? '') + (single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? plain ?? '');
  }
  if (current !== undefined) argv.push(current);
  return argv;
}
