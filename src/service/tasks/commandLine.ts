import { parseArgsStringToArgv } from 'string-argv';

/** The arguments of a command line as a node splits it: quotes keep blanks together, nothing is expanded, no shell. */
export function splitCommandLine(text: string): string[] {
  return parseArgsStringToArgv(text);
}
