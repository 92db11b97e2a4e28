import { parseArgsStringToArgv } from 'string-argv';
import type { Preset } from './preset';

/** What is known of a source when its command line is made. */
export interface CommandFacts {
  readonly nodeInput: string;
  readonly nodeOutput: string;
  /** Index among the audio tracks. */
  readonly audioTrack: number;
  readonly isSilent: boolean;
  readonly seconds?: number;
}

/** Where ffmpeg writes how far it is, in its working directory. */
export const progressFile = 'progress.txt';

/**
 * Never asks, never reads stdin, overwrites in its own folder, says on stderr what it does and in a file how far it is
 * (`-stats_period` is as old as ffmpeg 4.4).
 */
const globalOptions = [
  '-hide_banner',
  '-nostdin',
  '-y',
  '-nostats',
  '-progress',
  progressFile,
  '-stats_period',
  '1',
];

/** A source whose length nobody knows gets a contact sheet of its first minutes. */
const unknownSeconds = 160;

/** ffmpeg and its arguments, the placeholders filled in. People's file names never come here. */
export function commandOf(preset: Preset, facts: CommandFacts): string[] {
  const values: Record<string, string> = {
    input: facts.nodeInput,
    output: facts.nodeOutput,
    audio: `0:a:${facts.audioTrack}`,
    seconds: (facts.seconds && facts.seconds > 0 ? facts.seconds : unknownSeconds).toFixed(3),
  };
  const chosen = facts.isSilent && preset.silentArguments ? preset.silentArguments : preset.arguments;
  const filled = chosen.map((arg) =>
    arg.replace(/\$\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole),
  );
  return ['ffmpeg', ...globalOptions, ...filled];
}

/**
 * One string that a node splits into the same arguments again. Batch runs no shell and expands nothing; quotes keep
 * blanks together.
 */
export function toCommandLine(argv: readonly string[]): string {
  return argv.map(quote).join(' ');
}

function quote(arg: string): string {
  if (/^[\w@%+=:,./?*[\]|()-]+$/.test(arg)) return arg;
  // A double quote inside is put between single quotes: backslashes are read differently by different splitters.
  return arg
    .split('"')
    .map((piece) => (piece === '' ? '' : `"${piece}"`))
    .join(`'"'`);
}

/** The arguments of an edited command line; quotes keep blanks together, nothing is expanded. */
export function parseCommandLine(text: string): string[] {
  return parseArgsStringToArgv(text);
}
