import { BatchError } from '../../wire/errors';
import { timeText } from '../../wire/time';
import type { Wire } from '../../wire/wire';

/** Returns whether an item, as the API shows it, satisfies a filter. */
export type Filter = (item: Wire) => boolean;

const times = ['stateTransitionTime', 'creationTime', 'lastModified'] as const;

/** Members by which each list can be filtered. https://learn.microsoft.com/rest/api/batchservice/odata-filters-in-batch */
const filterable = {
  pools: [
    ...['id', 'state', 'allocationState', 'vmSize', 'enableAutoScale', 'enableInterNodeCommunication'],
    ...['allocationStateTransitionTime', ...times],
  ],
  jobs: [
    ...['id', 'state', 'executionInfo/startTime', 'executionInfo/endTime', 'executionInfo/poolId'],
    ...times,
  ],
  tasks: [
    ...['id', 'state', 'executionInfo/startTime', 'executionInfo/endTime', 'executionInfo/exitCode'],
    // The documented name of `lastModified` in this list.
    ...['executionInfo/result', 'lastModifiedTime', ...times],
  ],
  nodes: [
    ...['state', 'stateTransitionTime', 'lastBootTime', 'allocationTime', 'startTaskInfo/state'],
    ...['startTaskInfo/result', 'startTaskInfo/exitCode', 'startTaskInfo/startTime', 'startTaskInfo/endTime'],
  ],
  jobpreparationandreleasetaskstatuslist: [
    ...['poolId', 'nodeId', 'jobPreparationTaskExecutionInfo/state', 'jobReleaseTaskExecutionInfo/state'],
    ...['jobPreparationTaskExecutionInfo/startTime', 'jobReleaseTaskExecutionInfo/startTime'],
    ...['jobPreparationTaskExecutionInfo/endTime', 'jobReleaseTaskExecutionInfo/endTime'],
    ...['jobPreparationTaskExecutionInfo/exitCode', 'jobReleaseTaskExecutionInfo/exitCode'],
    ...['jobPreparationTaskExecutionInfo/result', 'jobReleaseTaskExecutionInfo/result'],
  ],
  files: ['name'],
  supportedimages: ['osType', 'verificationType', 'nodeAgentSKUId'],
  nodeagentskus: ['osType'],
  poolnodecounts: ['poolId'],
  listapplicationsummariesresponses: [],
  extensions: [],
  certificates: ['state', 'stateTransitionTime'],
  jobschedules: [
    ...['id', 'state', 'executionInfo/endTime', 'schedule/doNotRunUntil', 'schedule/doNotRunAfter'],
    ...times,
  ],
  poolusagemetrics: ['poolId'],
} as const satisfies Record<string, readonly string[]>;

export type FilteredList = keyof typeof filterable;

type Value = string | number | boolean;

/** What a member by which a list can be filtered is compared with. */
type Kind = 'text' | 'time' | 'number' | 'boolean';

function kindOf(path: string): Kind {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (/Time$|^(lastModified|doNotRun(Until|After))$/.test(name)) return 'time';
  if (name === 'exitCode') return 'number';
  return name.startsWith('enable') ? 'boolean' : 'text';
}

const kindWords: Readonly<Record<Kind, string>> = {
  text: "text, such as 'a'",
  time: "a time, such as datetime'2026-01-01T00:00:00Z'",
  number: 'a number',
  boolean: 'true or false',
};

/** A literal as a value of a kind; undefined for one of another kind. */
function literalAs(kind: Kind, literal: Value): Value | undefined {
  if (kind === 'time') return typeof literal === 'string' ? timeText(literal) : undefined;
  const type = kind === 'text' ? 'string' : kind;
  return typeof literal === type ? literal : undefined;
}

/** Maximum nesting of parentheses and negations. */
const maxDepth = 32;

type Token =
  | { kind: 'word'; text: string }
  | { kind: 'literal'; value: Value }
  | { kind: 'mark'; text: string };

/**
 * Parses a filter in the subset of OData that Batch supports: `and`, `or`, `not`, parentheses, `startswith`, and
 * comparisons of text, numbers, Booleans and dates. Throws InvalidQueryParameterValue, also for a member by which Batch
 * does not filter the list.
 * https://learn.microsoft.com/rest/api/batchservice/odata-filters-in-batch
 */
export function parseFilter(text: string, list: FilteredList): Filter {
  return new FilterParser(text, list).parse();
}

/** Parses one filter, by recursive descent. */
class FilterParser {
  readonly #tokens: Token[];
  #at = 0;
  #depth = 0;

  constructor(
    private readonly text: string,
    private readonly list: FilteredList,
  ) {
    this.#tokens = tokenize(text, (reason) => this.#refuse(reason));
  }

  parse(): Filter {
    const filter = this.#or();
    if (this.#at < this.#tokens.length) this.#refuse('more than one expression');
    return filter;
  }

  #refuse(reason: string): never {
    throw new BatchError('InvalidQueryParameterValue', {
      QueryParameterName: '$filter',
      QueryParameterValue: this.text,
      Reason: reason,
    });
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #isWord(word: string): boolean {
    const token = this.#peek();
    return token?.kind === 'word' && token.text.toLowerCase() === word;
  }

  #isMark(mark: string): boolean {
    const token = this.#peek();
    return token?.kind === 'mark' && token.text === mark;
  }

  #expectMark(mark: string): void {
    if (!this.#isMark(mark)) this.#refuse(`'${mark}' is missing`);
    this.#at++;
  }

  /** Collects operands in a list, so that a long filter needs no deep recursion. */
  #or(): Filter {
    const parts = [this.#and()];
    for (; this.#isWord('or'); parts.push(this.#and())) this.#at++;
    return (item) => parts.some((part) => part(item));
  }

  #and(): Filter {
    const parts = [this.#term()];
    for (; this.#isWord('and'); parts.push(this.#term())) this.#at++;
    return (item) => parts.every((part) => part(item));
  }

  #term(): Filter {
    if (this.#isWord('not')) {
      this.#at++;
      const inner = this.#nested(() => this.#term());
      return (item) => !inner(item);
    }
    if (this.#isMark('(')) {
      this.#at++;
      const inner = this.#nested(() => this.#or());
      this.#expectMark(')');
      return inner;
    }
    return this.#isWord('startswith') ? this.#startsWith() : this.#comparison();
  }

  #nested(parse: () => Filter): Filter {
    if (++this.#depth > maxDepth) this.#refuse(`more than ${maxDepth} parentheses within each other`);
    const parsed = parse();
    this.#depth--;
    return parsed;
  }

  #startsWith(): Filter {
    this.#at++;
    this.#expectMark('(');
    const path = this.#member();
    this.#expectMark(',');
    const prefix = this.#literal();
    this.#expectMark(')');
    if (typeof prefix !== 'string' || kindOf(path) !== 'text') return this.#refuse('startswith needs text');
    const folded = prefix.toLowerCase().replaceAll('\\', '/');
    return (item) =>
      String(valueAt(item, path) ?? '')
        .toLowerCase()
        .replaceAll('\\', '/')
        .startsWith(folded);
  }

  #comparison(): Filter {
    const path = this.#member();
    const operator = this.#word().toLowerCase();
    const kind = kindOf(path);
    const wanted =
      literalAs(kind, this.#literal()) ??
      this.#refuse(`${path} can be compared only with ${kindWords[kind]}`);
    const test = operators[operator] ?? this.#refuse(`unknown operator ${operator}`);
    return (item) => test(compare(kind, valueAt(item, path), wanted));
  }

  #member(): string {
    const path = this.#word();
    if (!(filterable[this.list] as readonly string[]).includes(path))
      this.#refuse(`${this.list} cannot be filtered by ${path}`);
    return path === 'lastModifiedTime' ? 'lastModified' : path;
  }

  #word(): string {
    const token = this.#peek();
    if (token?.kind !== 'word') return this.#refuse('a name is missing');
    this.#at++;
    return token.text;
  }

  #literal(): Value {
    const token = this.#peek();
    this.#at++;
    if (token?.kind === 'literal') return token.value;
    if (token?.kind === 'word' && /^(true|false)$/i.test(token.text))
      return token.text.toLowerCase() === 'true';
    return this.#refuse('a value is missing');
  }
}

const operators: Record<string, (order: number) => boolean> = {
  eq: (order) => order === 0,
  ne: (order) => order !== 0,
  gt: (order) => order > 0,
  ge: (order) => order >= 0,
  lt: (order) => order < 0,
  le: (order) => order <= 0,
};

/** Compares two values of a kind. Returns NaN, which satisfies only `ne`, if there is no value. */
function compare(kind: Kind, value: unknown, wanted: Value): number {
  if (value === undefined) return Number.NaN;
  if (kind === 'number') return Number(value) - Number(wanted);
  if (kind === 'boolean') return Number(Boolean(value)) - Number(wanted);
  const comparable = kind === 'time' ? sortable : (text: string) => text.toLowerCase();
  const [first, second] = [comparable(String(value)), comparable(String(wanted))];
  return first < second ? -1 : first > second ? 1 : 0;
}

/** A time in UTC as text that sorts by time: always with seven fraction digits. */
function sortable(time: string): string {
  const [whole = '', fraction = ''] = time.replace(/Z$/, '').split('.');
  return `${whole}.${fraction.padEnd(7, '0')}`;
}

function tokenize(text: string, refuse: (reason: string) => never): Token[] {
  const pattern =
    /\s*(?:datetime(?:offset)?'([^']*)'|'((?:[^']|'')*)'|(\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)(?![\w/])|(-?\d+(?:\.\d+)?)(?![\w/])|([A-Za-z_][\w./]*)|([(),]))/iy;
  const tokens: Token[] = [];
  while (pattern.lastIndex < text.trimEnd().length) {
    const match = pattern.exec(text);
    if (match === null) return refuse('it cannot be read');
    const [, date, quoted, bareDate, number, word, mark] = match;
    if (word !== undefined) tokens.push({ kind: 'word', text: word });
    else if (mark !== undefined) tokens.push({ kind: 'mark', text: mark });
    else if (number !== undefined) tokens.push({ kind: 'literal', value: Number(number) });
    else tokens.push({ kind: 'literal', value: date ?? bareDate ?? (quoted ?? '').replaceAll("''", "'") });
  }
  return tokens;
}

function valueAt(item: Wire, path: string): unknown {
  let value: unknown = item;
  for (const name of path.split('/')) value = (value as Wire | undefined)?.[name];
  return value;
}

/**
 * Returns the members that `$select` names, including nested ones (`executionInfo/exitCode`). As in Azure, a text that
 * can't be a name is passed over, and without names everything is returned: `@azure/batch` 13 encodes the comma twice,
 * and its tests expect that.
 */
export function select(item: Wire, selection: string | undefined): Wire {
  const paths = (selection ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => /^[\w./]+$/.test(name));
  if (paths.length === 0) return item;
  const chosen: Wire = {};
  for (const path of paths) {
    const [name = '', inner] = path.split(/\/(.*)/s);
    const value = Object.hasOwn(item, name) ? item[name] : undefined;
    if (value === undefined) continue;
    if (inner === undefined) chosen[name] = value;
    else if (typeof value === 'object' && value !== null)
      chosen[name] = { ...(chosen[name] as Wire), ...select(value as Wire, inner) };
  }
  return chosen;
}
