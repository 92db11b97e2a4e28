import { FormulaError, type Token, tokenize } from './lexer';

/** One 30-second sample of a metric. */
export interface Sample {
  readonly at: number;
  readonly value: number;
}

export interface FormulaContext {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Samples of `$PendingTasks` and its like, oldest first; undefined for a metric that Batch does not have. */
  readonly samples: (metric: string) => readonly Sample[] | undefined;
  readonly current: { readonly dedicated: number; readonly lowPriority: number };
}

export interface FormulaTargets {
  readonly dedicated: number;
  readonly lowPriority: number;
  readonly deallocation: string;
}

export type FormulaRun =
  | { readonly results: string; readonly targets: FormulaTargets }
  | {
      readonly results: string;
      readonly error: { code: string; message: string; values: { name: string; value: string }[] };
    };

/** Times and intervals are milliseconds under another name, so that they are not mixed with numbers. */
type Value =
  | { readonly type: 'double'; readonly value: number }
  | { readonly type: 'vector'; readonly value: readonly number[] }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'time'; readonly value: number }
  | { readonly type: 'interval'; readonly value: number }
  | { readonly type: 'metric'; readonly value: string };

const samplePeriodMs = 30_000;

const intervals: Record<string, number> = {
  TimeInterval_Zero: 0,
  TimeInterval_100ns: 1e-4,
  TimeInterval_Microsecond: 1e-3,
  TimeInterval_Millisecond: 1,
  TimeInterval_Second: 1_000,
  TimeInterval_Minute: 60_000,
  TimeInterval_Hour: 3_600_000,
  TimeInterval_Day: 86_400_000,
  TimeInterval_Week: 604_800_000,
  TimeInterval_Year: 31_536_000_000,
};

const deallocations = ['requeue', 'terminate', 'taskcompletion', 'retaineddata'];

const number = (value: number): Value => ({ type: 'double', value });

/**
 * Evaluates a formula of Batch's autoscale language over sampled values.
 * https://learn.microsoft.com/azure/batch/batch-automatic-scaling
 */
export function evaluateFormula(formula: string, context: FormulaContext): FormulaRun {
  const evaluation = new Evaluation(context);
  try {
    evaluation.run(tokenize(formula));
    return { results: evaluation.results, targets: evaluation.targets };
  } catch (error) {
    if (!(error instanceof FormulaError)) throw error;
    return {
      results: evaluation.results,
      error: {
        code: 'AutoScalingFormulaEvaluationError',
        message: 'The specified auto-scaling formula has evaluation error',
        values: [{ name: 'Message', value: error.message }],
      },
    };
  }
}

class Evaluation {
  readonly #variables = new Map<string, Value>();
  #tokens: readonly Token[] = [];
  #at = 0;
  #untaken = 0;

  constructor(private readonly context: FormulaContext) {
    this.#variables.set('$TargetDedicatedNodes', number(context.current.dedicated));
    this.#variables.set('$TargetLowPriorityNodes', number(context.current.lowPriority));
    this.#variables.set('$NodeDeallocationOption', { type: 'string', value: 'requeue' });
  }

  get targets(): FormulaTargets {
    return {
      dedicated: this.#target('$TargetDedicatedNodes', '$TargetDedicated'),
      lowPriority: this.#target('$TargetLowPriorityNodes', '$TargetLowPriority'),
      deallocation: String(this.#variables.get('$NodeDeallocationOption')?.value),
    };
  }

  /** All three, and the variables of the formula's own, as Batch reports them. */
  get results(): string {
    const { dedicated, lowPriority, deallocation } = this.targets;
    const own = [...this.#variables]
      .filter(([name]) => !name.startsWith('$'))
      .map(([name, { value }]) => `${name}=${Array.isArray(value) ? `[${value.join(',')}]` : value}`);
    return [
      `$TargetDedicatedNodes=${dedicated}`,
      `$TargetLowPriorityNodes=${lowPriority}`,
      `$NodeDeallocationOption=${deallocation}`,
      ...own,
    ].join(';');
  }

  run(tokens: readonly Token[]): void {
    this.#tokens = tokens;
    this.#at = 0;
    while (this.#peek().kind !== 'end') this.#statement();
  }

  #target(name: string, alias: string): number {
    const value = this.#variables.get(alias) ?? this.#variables.get(name);
    return Math.max(0, Math.floor(Number(value?.value ?? 0)));
  }

  #statement(): void {
    const name = this.#next();
    if (name.kind !== 'name') throw this.#error(name, 'An assignment is expected');
    this.#expect('=');
    const value = this.#ternary();
    this.#expect(';');
    if (name.text.startsWith('$')) this.#assignService(name, value);
    else this.#variables.set(name.text, value);
  }

  #assignService(name: Token, value: Value): void {
    const isTarget = /^\$Target(Dedicated|LowPriority)(Nodes)?$/.test(name.text);
    if (isTarget) {
      if (value.type !== 'double') throw this.#error(name, `${name.text} must be a double`);
    } else if (name.text === '$NodeDeallocationOption') {
      if (!deallocations.includes(String(value.value)))
        throw this.#error(name, `Invalid value of ${name.text}`);
    } else {
      throw this.#error(name, `Cannot assign to ${name.text}`);
    }
    this.#variables.set(name.text, value);
  }

  #ternary(): Value {
    const condition = this.#or();
    if (!this.#take('?')) return condition;
    const yes = this.#branch(truth(condition));
    this.#expect(':');
    const no = this.#branch(!truth(condition));
    return truth(condition) ? yes : no;
  }

  /** A branch that is not taken is read, but may ask for samples that are not there. */
  #branch(isTaken: boolean): Value {
    if (isTaken) return this.#ternary();
    this.#untaken++;
    try {
      return this.#ternary();
    } finally {
      this.#untaken--;
    }
  }

  #or(): Value {
    let left = this.#and();
    while (this.#take('||')) {
      const right = this.#and();
      left = number(Number(truth(left) || truth(right)));
    }
    return left;
  }

  #and(): Value {
    let left = this.#equality();
    while (this.#take('&&')) {
      const right = this.#equality();
      left = number(Number(truth(left) && truth(right)));
    }
    return left;
  }

  #equality(): Value {
    let left = this.#order();
    for (;;) {
      const mark = this.#take('==', '!=');
      if (!mark) return left;
      const same = String(left.value) === String(this.#order().value);
      left = number(Number(mark.text === '==' ? same : !same));
    }
  }

  #order(): Value {
    let left = this.#sum();
    for (;;) {
      const mark = this.#take('<', '>', '<=', '>=');
      if (!mark) return left;
      const right = this.#sum();
      const [one, other] = [left.value, right.value] as [number, number];
      const answers: Record<string, boolean> = {
        '<': one < other,
        '>': one > other,
        '<=': one <= other,
        '>=': one >= other,
      };
      left = number(Number(answers[mark.text] ?? false));
    }
  }

  #sum(): Value {
    let left = this.#product();
    for (;;) {
      const mark = this.#take('+', '-');
      if (!mark) return left;
      left = this.#arithmetic(mark, left, this.#product());
    }
  }

  #product(): Value {
    let left = this.#unary();
    for (;;) {
      const mark = this.#take('*', '/');
      if (!mark) return left;
      left = this.#arithmetic(mark, left, this.#unary());
    }
  }

  #unary(): Value {
    const mark = this.#take('!', '-', '+');
    if (!mark) return this.#postfix();
    const value = this.#unary();
    if (mark.text === '!') return number(Number(!truth(value)));
    return mark.text === '-' ? this.#arithmetic(mark, number(0), value) : value;
  }

  #postfix(): Value {
    let value = this.#primary();
    while (this.#take('.')) {
      const member = this.#next();
      if (this.#take('(')) value = this.#method(member, value, this.#arguments());
      else value = this.#property(member, value);
    }
    return value;
  }

  #primary(): Value {
    const token = this.#next();
    if (token.kind === 'number') return number(Number(token.text));
    if (token.kind === 'text') return { type: 'string', value: token.text };
    if (token.kind === 'mark' && token.text === '(') {
      const inner = this.#ternary();
      this.#expect(')');
      return inner;
    }
    if (token.kind !== 'name')
      throw this.#error(token, `Unexpected symbol: ${token.text || 'end of formula'}`);
    if (this.#take('(')) return this.#call(token, this.#arguments());
    return this.#name(token);
  }

  #name(token: Token): Value {
    const { text } = token;
    const variable = this.#variables.get(text);
    if (variable) return variable;
    const interval = intervals[text];
    if (interval !== undefined) return { type: 'interval', value: interval };
    if (deallocations.includes(text)) return { type: 'string', value: text };
    if (this.context.samples(text) !== undefined) return { type: 'metric', value: text };
    throw this.#error(token, `Undefined symbol: ${text}`);
  }

  #arguments(): Value[] {
    const values: Value[] = [];
    if (this.#take(')')) return values;
    do values.push(this.#ternary());
    while (this.#take(','));
    this.#expect(')');
    return values;
  }

  #arithmetic(mark: Token, one: Value, other: Value): Value {
    const operate = operations[mark.text];
    if (operate === undefined) throw this.#error(mark, `Unknown operator ${mark.text}`);
    if (one.type === 'string' || other.type === 'string') {
      if (mark.text === '+') return { type: 'string', value: `${one.value}${other.value}` };
      throw this.#error(mark, `Operator ${mark.text} does not take text`);
    }
    const vector = (value: Value) =>
      (Array.isArray(value.value) ? value.value : undefined) as number[] | undefined;
    const [first, second] = [vector(one), vector(other)];
    if (first || second) {
      const length = Math.max(first?.length ?? 0, second?.length ?? 0);
      const at = (list: number[] | undefined, value: Value, index: number) =>
        list ? (list[index] ?? 0) : Number(value.value);
      return {
        type: 'vector',
        value: Array.from({ length }, (_, index) => operate(at(first, one, index), at(second, other, index))),
      };
    }
    return {
      type: arithmeticType(mark.text, one, other),
      value: operate(Number(one.value), Number(other.value)),
    } as Value;
  }

  #method(member: Token, target: Value, given: Value[]): Value {
    if (target.type !== 'metric')
      throw this.#error(member, `${member.text} is a method of service variables`);
    const samples = this.context.samples(target.value) ?? [];
    switch (member.text) {
      case 'GetSample':
        return { type: 'vector', value: this.#chosen(member, samples, given).map(({ value }) => value) };
      case 'GetSamplePercent': {
        const [from = this.context.now, to = this.context.now] = this.#range(given);
        const possible = Math.max(1, Math.floor((to - from) / samplePeriodMs));
        const there = samples.filter(({ at }) => at >= from && at <= to).length;
        return number(Math.min(100, (100 * there) / possible));
      }
      case 'GetSamplePeriod':
        return { type: 'interval', value: samplePeriodMs };
      case 'Count':
        return number(samples.length);
      case 'HistoryBeginTime':
        return { type: 'time', value: samples[0]?.at ?? this.context.now };
      default:
        throw this.#error(member, `Unknown method: ${member.text}`);
    }
  }

  #chosen(member: Token, samples: readonly Sample[], given: Value[]): readonly Sample[] {
    if (this.#untaken > 0) return [];
    const [first, second, third] = given;
    if (first?.type === 'double') {
      if (samples.length === 0) throw this.#error(member, 'There are not enough samples');
      return samples.slice(-Math.max(1, first.value));
    }
    const [from = 0, to = this.context.now] = this.#range(given);
    const chosen = samples.filter(({ at }) => at >= from && at <= to);
    const percent = third ?? (second?.type === 'double' ? second : undefined);
    const possible = Math.max(1, Math.floor((to - from) / samplePeriodMs));
    if (percent && (100 * chosen.length) / possible < Number(percent.value)) {
      throw this.#error(member, 'There are not enough samples');
    }
    if (chosen.length === 0) throw this.#error(member, 'There are not enough samples');
    return chosen;
  }

  /** From an interval or a time ago, to another or now. */
  #range(given: Value[]): [number, number] {
    const { now } = this.context;
    const edge = (value: Value | undefined, otherwise: number) =>
      value?.type === 'interval' ? now - value.value : value?.type === 'time' ? value.value : otherwise;
    return [edge(given[0], 0), edge(given[1], now)];
  }

  #property(member: Token, target: Value): Value {
    if (target.type !== 'time') throw this.#error(member, `Unknown member: ${member.text}`);
    const date = new Date(target.value);
    const members: Record<string, number> = {
      year: date.getUTCFullYear(),
      month: date.getUTCMonth() + 1,
      day: date.getUTCDate(),
      weekday: date.getUTCDay(),
      hour: date.getUTCHours(),
      minute: date.getUTCMinutes(),
      second: date.getUTCSeconds(),
    };
    const value = members[member.text];
    if (value === undefined) throw this.#error(member, `Unknown member: ${member.text}`);
    return number(value);
  }

  #call(name: Token, given: Value[]): Value {
    if (name.text === 'time') return this.#time(name, given[0]);
    const numbers = given.flatMap(({ value }) => value as number | number[]).map(Number);
    const [first = 0, second = 0] = numbers;
    if (name.text === 'val') {
      const [vector, index] = given;
      return number(Number((vector?.value as number[] | undefined)?.[Number(index?.value ?? 0)] ?? 0));
    }
    if (name.text === 'percentile') {
      const [vector, percent] = given;
      return number(percentile((vector?.value as number[] | undefined) ?? [], Number(percent?.value ?? 50)));
    }
    const call = functions[name.text];
    if (call === undefined) throw this.#error(name, `Undefined function: ${name.text}`);
    if (numbers.length === 0 && this.#untaken === 0) throw this.#error(name, `${name.text} needs a value`);
    return number(call(numbers, first, second));
  }

  #time(name: Token, text: Value | undefined): Value {
    if (text === undefined) return { type: 'time', value: this.context.now };
    const value = Date.parse(String(text.value));
    if (Number.isNaN(value)) throw this.#error(name, `Not a time: ${text.value}`);
    return { type: 'time', value };
  }

  #peek(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #next(): Token {
    const token = this.#peek();
    if (token.kind !== 'end') this.#at++;
    return token;
  }

  #take(...marks: string[]): Token | undefined {
    const token = this.#peek();
    if (token.kind !== 'mark' || !marks.includes(token.text)) return undefined;
    this.#at++;
    return token;
  }

  #expect(mark: string): void {
    if (!this.#take(mark)) throw this.#error(this.#peek(), `'${mark}' is expected`);
  }

  #error({ line, column }: Token, message: string): FormulaError {
    return new FormulaError(message, line, column);
  }
}

const operations: Record<string, (one: number, other: number) => number> = {
  '+': (one, other) => one + other,
  '-': (one, other) => one - other,
  '*': (one, other) => one * other,
  '/': (one, other) => one / other,
};

/** A time and an interval make a time, two times an interval, a number scales an interval. */
function arithmeticType(mark: string, one: Value, other: Value): 'double' | 'time' | 'interval' {
  if (one.type === 'time' && other.type === 'time') return 'interval';
  if (one.type === 'time' || other.type === 'time') return 'time';
  if (one.type === 'interval' && other.type === 'interval') return mark === '/' ? 'double' : 'interval';
  return one.type === 'interval' || other.type === 'interval' ? 'interval' : 'double';
}

function truth({ value }: Value): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

const sum = (numbers: number[]) => numbers.reduce((total, value) => total + value, 0);
const mean = (numbers: number[]) => sum(numbers) / numbers.length;

const functions: Record<string, (numbers: number[], first: number, second: number) => number> = {
  avg: mean,
  len: (numbers) => numbers.length,
  lg: (_, value) => Math.log2(value),
  ln: (_, value) => Math.log(value),
  log: (_, value) => Math.log10(value),
  max: (numbers) => Math.max(...numbers),
  min: (numbers) => Math.min(...numbers),
  norm: (numbers) => Math.hypot(...numbers),
  rand: () => Math.random(),
  range: (numbers) => Math.max(...numbers) - Math.min(...numbers),
  round: (_, value) => Math.round(value),
  std: (numbers) =>
    Math.sqrt(sum(numbers.map((value) => (value - mean(numbers)) ** 2)) / Math.max(1, numbers.length - 1)),
  stop: () => 0,
  sum,
};

function percentile(numbers: readonly number[], percent: number): number {
  const sorted = [...numbers].sort((one, other) => one - other);
  const position = ((sorted.length - 1) * percent) / 100;
  const [low, high] = [sorted[Math.floor(position)] ?? 0, sorted[Math.ceil(position)] ?? 0];
  return low + (high - low) * (position - Math.floor(position));
}
