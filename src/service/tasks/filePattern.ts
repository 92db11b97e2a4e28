import { posix } from 'node:path';

/** One character of a pattern's segment: a text, any one character, any characters, or one of a class. */
type Token =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'one' }
  | { readonly kind: 'any' }
  | {
      readonly kind: 'class';
      readonly negated: boolean;
      readonly ranges: readonly (readonly [string, string])[];
    };

/** One name of a path, or `**`: any number of folders. */
type Segment = readonly Token[] | '**';

/**
 * A pattern of output files: `*`, `?`, `[a-c]`, `[!a-c]` and `**` for folders; names that begin with a dot only match a
 * pattern that names the dot. It takes time in proportion to pattern and path, whatever a client asks for, which a
 * regular expression does not.
 * https://learn.microsoft.com/rest/api/batchservice/task/add (OutputFile.filePattern)
 */
export class FilePattern {
  /** The part before the first wildcard, as an absolute path with slashes. */
  readonly base: string;
  /** The absolute path that the pattern names, if it has no wildcard. */
  readonly literal: string | undefined;
  readonly #segments: readonly Segment[];

  /** `pattern` is an absolute path with slashes. */
  constructor(pattern: string) {
    const names = posix.normalize(pattern).split('/');
    const segments = names.map((name): Segment => (name === '**' ? '**' : tokensOf(name)));
    const literals = segments.map(literalOf);
    const first = literals.indexOf(undefined);
    this.literal = first < 0 ? literals.join('/') : undefined;
    this.base = (first < 0 ? literals.slice(0, -1) : literals.slice(0, first)).join('/') || '/';
    this.#segments = first < 0 ? [] : segments.slice(first);
  }

  /** Whether a path below `base` matches; `path` is relative to it, with slashes. */
  matches(path: string): boolean {
    const names = path.split('/');
    // One row for each pattern segment: which counts of names are matched by the segments so far.
    let reached = [true, ...names.map(() => false)];
    for (const segment of this.#segments) {
      const next = reached.map(() => false);
      for (let count = 0; count < reached.length; count++) {
        if (segment === '**') {
          const name = names[count - 1] ?? '';
          next[count] = Boolean(reached[count] || (count > 0 && next[count - 1] && !name.startsWith('.')));
        } else if (count > 0) {
          next[count] = Boolean(reached[count - 1] && matchesName(segment, names[count - 1] ?? ''));
        }
      }
      reached = next;
    }
    return reached.at(-1) === true;
  }
}

/** The pattern that matches a path and nothing else, whatever characters it has. */
export function literalPattern(path: string): string {
  return path.replace(/[*?[]/g, '[$&]');
}

function tokensOf(name: string): Token[] {
  const tokens: Token[] = [];
  const characters = [...name];
  for (let index = 0; index < characters.length; index++) {
    const character = characters[index] ?? '';
    const end =
      character === '[' ? characters.indexOf(']', index + (characters[index + 1] === '!' ? 3 : 2)) : -1;
    if (character === '*') {
      if (tokens.at(-1)?.kind !== 'any') tokens.push({ kind: 'any' });
    } else if (character === '?') {
      tokens.push({ kind: 'one' });
    } else if (end > 0) {
      tokens.push(classOf(characters.slice(index + 1, end)));
      index = end;
    } else {
      tokens.push({ kind: 'text', text: character });
    }
  }
  return tokens;
}

function classOf(characters: string[]): Token {
  const negated = characters[0] === '!';
  const rest = negated ? characters.slice(1) : characters;
  const ranges: [string, string][] = [];
  for (let index = 0; index < rest.length; index++) {
    const from = rest[index] ?? '';
    const to = rest[index + 1] === '-' ? rest[index + 2] : undefined;
    ranges.push([from, to ?? from]);
    if (to !== undefined) index += 2;
  }
  return { kind: 'class', negated, ranges };
}

/** The name that a segment stands for if it has no wildcard; `[*]` stands for an asterisk. */
function literalOf(segment: Segment): string | undefined {
  if (segment === '**') return undefined;
  let name = '';
  for (const token of segment) {
    if (token.kind === 'text') name += token.text;
    else if (token.kind === 'class' && !token.negated && token.ranges.length === 1) {
      const [from, to] = token.ranges[0] ?? ['', ''];
      if (from !== to) return undefined;
      name += from;
    } else return undefined;
  }
  return name;
}

/** Matches a name greedily; after a mismatch, only the last `*` takes one character more. */
function matchesName(tokens: readonly Token[], name: string): boolean {
  const characters = [...name];
  if (characters[0] === '.' && !isDot(tokens[0])) return false;
  let token = 0;
  let at = 0;
  let star = -1;
  let starAt = 0;
  while (at < characters.length) {
    const current = tokens[token];
    if (current?.kind === 'any') {
      star = token++;
      starAt = at;
    } else if (current !== undefined && matchesOne(current, characters[at] ?? '')) {
      token++;
      at++;
    } else if (star >= 0) {
      token = star + 1;
      at = ++starAt;
    } else {
      return false;
    }
  }
  while (tokens[token]?.kind === 'any') token++;
  return token === tokens.length;
}

function isDot(token: Token | undefined): boolean {
  return token !== undefined && literalOf([token]) === '.';
}

function matchesOne(token: Token, character: string): boolean {
  switch (token.kind) {
    case 'text':
      return token.text === character;
    case 'one':
      return true;
    case 'class':
      return token.negated !== token.ranges.some(([from, to]) => character >= from && character <= to);
    case 'any':
      return false;
  }
}
