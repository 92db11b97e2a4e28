import { functions, Stopped } from './functions';
import { FormulaError, type Token } from './lexer';
import { callMethod, isMetric, lastSample, type MetricName, methods, type Sample } from './metrics';
import { type Expression, parseFormula, type Statement } from './parser';
import { display, double, negate, operate, timeinterval, truth, type Value } from './values';

export { FormulaError } from './lexer';
export { type MetricName, metricNames, type Sample, samplePeriodMs } from './metrics';

export interface FormulaContext {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Samples of a metric, oldest first. */
  readonly samples: (metric: MetricName) => readonly Sample[];
  /** The targets of the pool now, which a formula may read. */
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

const intervals: ReadonlyMap<string, number> = new Map([
  ['TimeInterval_Zero', 0],
  ['TimeInterval_100ns', 1e-4],
  ['TimeInterval_Microsecond', 1e-3],
  ['TimeInterval_Millisecond', 1],
  ['TimeInterval_Second', 1_000],
  ['TimeInterval_Minute', 60_000],
  ['TimeInterval_Hour', 3_600_000],
  ['TimeInterval_Day', 86_400_000],
  ['TimeInterval_Week', 604_800_000],
  ['TimeInterval_Year', 31_536_000_000],
]);

const deallocations = ['requeue', 'terminate', 'taskcompletion', 'retaineddata'];

const dedicatedNames = ['$TargetDedicatedNodes', '$TargetDedicated'] as const;
const lowPriorityNames = ['$TargetLowPriorityNodes', '$TargetLowPriority'] as const;
const targetNames: readonly string[] = [...dedicatedNames, ...lowPriorityNames];
const deallocationName = '$NodeDeallocationOption';

/** Elements of vectors that one evaluation makes, as a bound of its time and memory. */
const maxElements = 200_000;
/** Characters of `results`. Variables that do not fit are left out; the targets always fit. */
const maxResults = 16_384;

/**
 * Checks a formula before a pool takes it: its syntax, the names it uses, and the types of what is evaluated. What
 * depends on samples, such as too few of them or a division by zero, is left to the evaluation.
 * Throws a FormulaError.
 */
export function checkFormula(formula: string, context: FormulaContext): void {
  const statements = parseFormula(formula);
  checkNames(statements);
  try {
    new Evaluation(context).run(statements);
  } catch (error) {
    if (!(error instanceof FormulaError) || error.kind !== 'data') throw error;
  }
}

/**
 * Evaluates a formula of Batch's autoscale language over sampled values.
 * https://learn.microsoft.com/azure/batch/batch-automatic-scaling
 */
export function evaluateFormula(formula: string, context: FormulaContext): FormulaRun {
  const evaluation = new Evaluation(context);
  try {
    evaluation.run(parseFormula(formula));
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

/** Finds names that no statement before has assigned, unknown functions and methods, and wrong numbers of arguments. */
function checkNames(statements: readonly Statement[]): void {
  const assigned = new Set<string>();
  const visit = (expression: Expression): void => {
    switch (expression.kind) {
      case 'name':
        if (!assigned.has(expression.token.text) && !isPredefined(expression.token.text))
          throw undefinedSymbol(expression.token);
        return;
      case 'call':
        expression.given.forEach(visit);
        checkCount(expression.token, functions.get(expression.token.text), expression.given.length);
        return;
      case 'method':
        visit(expression.target);
        expression.given.forEach(visit);
        checkCount(expression.token, methods.get(expression.token.text), expression.given.length);
        return;
      case 'member':
        visit(expression.target);
        return;
      case 'unary':
        visit(expression.operand);
        return;
      case 'chain':
        visit(expression.first);
        for (const { operand } of expression.rest) visit(operand);
        return;
      case 'choice':
        visit(expression.condition);
        visit(expression.yes);
        visit(expression.no);
    }
  };
  for (const { target, value } of statements) {
    visit(value);
    if (target === undefined) continue;
    checkAssignable(target);
    assigned.add(target.text);
  }
}

function isPredefined(name: string): boolean {
  return (
    targetNames.includes(name) ||
    name === deallocationName ||
    isMetric(name) ||
    intervals.has(name) ||
    deallocations.includes(name)
  );
}

function checkAssignable(name: Token): void {
  if (isMetric(name.text) || intervals.has(name.text) || deallocations.includes(name.text))
    throw new FormulaError('meaning', name, `Cannot assign to ${name.text}`);
}

function checkCount(
  name: Token,
  known: { readonly min: number; readonly max: number } | undefined,
  count: number,
): void {
  if (known === undefined) throw new FormulaError('meaning', name, `Undefined function: ${name.text}`);
  if (count < known.min || count > known.max)
    throw new FormulaError('meaning', name, `${name.text} does not take ${count} arguments`);
}

function undefinedSymbol(name: Token): FormulaError {
  return new FormulaError('meaning', name, `Undefined symbol: ${name.text}`);
}

class Evaluation {
  readonly #variables = new Map<string, Value>();
  #elements = 0;

  constructor(private readonly context: FormulaContext) {}

  get targets(): FormulaTargets {
    return {
      dedicated: this.#target(dedicatedNames),
      lowPriority: this.#target(lowPriorityNames),
      deallocation: String(this.#variables.get(deallocationName)?.value ?? 'requeue'),
    };
  }

  /** The targets and the deallocation option, then the variables of the formula in order of their names. */
  get results(): string {
    const { dedicated, lowPriority, deallocation } = this.targets;
    let text = `$TargetDedicatedNodes=${dedicated};$TargetLowPriorityNodes=${lowPriority};${deallocationName}=${deallocation}`;
    const own = [...this.#variables].filter(
      ([name]) => !targetNames.includes(name) && name !== deallocationName,
    );
    own.sort(([one], [other]) => (one < other ? -1 : 1));
    for (const [name, value] of own) {
      const item = `;${name}=${display(value)}`;
      if (text.length + item.length <= maxResults) text += item;
    }
    return text;
  }

  run(statements: readonly Statement[]): void {
    try {
      for (const { target, value } of statements) {
        const result = this.#evaluate(value);
        if (target) this.#assign(target, result);
      }
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
  }

  /** The full name has precedence over its alias; without either, the pool stays as it is. */
  #target(names: typeof dedicatedNames | typeof lowPriorityNames): number {
    const value = this.#variables.get(names[0]) ?? this.#variables.get(names[1]);
    return Math.max(0, Math.floor(Number(value?.value ?? this.#current(names[0]))));
  }

  #current(name: string): number {
    const { dedicated, lowPriority } = this.context.current;
    return (dedicatedNames as readonly string[]).includes(name) ? dedicated : lowPriority;
  }

  #assign(name: Token, value: Value): void {
    checkAssignable(name);
    if (targetNames.includes(name.text)) {
      if (value.type !== 'double')
        throw new FormulaError('meaning', name, `${name.text} must be a double, not a ${value.type}`);
      if (!Number.isFinite(value.value))
        throw new FormulaError('data', name, `${name.text} is not a finite number`);
    } else if (name.text === deallocationName && !deallocations.includes(String(value.value))) {
      throw new FormulaError('meaning', name, `Invalid value of ${name.text}`);
    }
    this.#variables.set(name.text, value);
  }

  #evaluate(expression: Expression): Value {
    switch (expression.kind) {
      case 'number':
        return double(expression.value);
      case 'text':
        return { type: 'string', value: expression.value };
      case 'name':
        return this.#name(expression.token);
      case 'call':
        return this.#counted(expression.token, this.#call(expression.token, expression.given));
      case 'method':
        return this.#counted(expression.token, this.#method(expression.token, expression));
      case 'member':
        return member(expression.token, this.#evaluate(expression.target));
      case 'unary':
        return this.#unary(expression.token, this.#evaluate(expression.operand));
      case 'chain': {
        let left = this.#evaluate(expression.first);
        for (const { token, operand } of expression.rest)
          left = this.#counted(token, this.#binary(token, left, operand));
        return left;
      }
      case 'choice':
        // The branch that is not taken may ask for samples that are not there.
        return truth(expression.token, this.#evaluate(expression.condition))
          ? this.#evaluate(expression.yes)
          : this.#evaluate(expression.no);
    }
  }

  #name(token: Token): Value {
    const { text } = token;
    const variable = this.#variables.get(text);
    if (variable) return variable;
    if (targetNames.includes(text)) return double(this.#current(text));
    if (text === deallocationName) return { type: 'string', value: 'requeue' };
    const interval = intervals.get(text);
    if (interval !== undefined) return timeinterval(interval);
    if (deallocations.includes(text)) return { type: 'string', value: text };
    if (isMetric(text)) return lastSample(token, this.context.samples(text));
    throw undefinedSymbol(token);
  }

  #call(token: Token, given: readonly Expression[]): Value {
    const called = functions.get(token.text);
    checkCount(token, called, given.length);
    const values = given.map((one) => this.#evaluate(one));
    return called?.call({ name: token, given: values, now: this.context.now }) ?? double(0);
  }

  #method(token: Token, { target, given }: { target: Expression; given: readonly Expression[] }): Value {
    const metric = target.kind === 'name' ? target.token.text : '';
    if (!isMetric(metric))
      throw new FormulaError('meaning', token, `${token.text} is a method of service-defined variables`);
    checkCount(token, methods.get(token.text), given.length);
    const values = given.map((one) => this.#evaluate(one));
    return callMethod(token, this.context.samples(metric), values, this.context.now);
  }

  #unary(token: Token, operand: Value): Value {
    return token.text === '!' ? double(Number(!truth(token, operand))) : negate(token, operand);
  }

  #binary(token: Token, left: Value, operand: Expression): Value {
    if (token.text !== '&&' && token.text !== '||') return operate(token, left, this.#evaluate(operand));
    const first = truth(token, left);
    const decided = token.text === '&&' ? !first : first;
    return double(Number(decided ? first : truth(token, this.#evaluate(operand))));
  }

  #counted(token: Token, value: Value): Value {
    if (value.type === 'doubleVec') this.#elements += value.value.length;
    if (this.#elements > maxElements)
      throw new FormulaError('data', token, 'The formula uses too many values');
    return value;
  }
}

/** A member of a timestamp, in UTC. Sunday is weekday 0. */
function member(name: Token, target: Value): Value {
  if (target.type !== 'timestamp') throw new FormulaError('meaning', name, `Unknown member: ${name.text}`);
  const date = new Date(target.value);
  switch (name.text) {
    case 'year':
      return double(date.getUTCFullYear());
    case 'month':
      return double(date.getUTCMonth() + 1);
    case 'day':
      return double(date.getUTCDate());
    case 'weekday':
      return double(date.getUTCDay());
    case 'hour':
      return double(date.getUTCHours());
    case 'minute':
      return double(date.getUTCMinutes());
    case 'second':
      return double(date.getUTCSeconds());
    default:
      throw new FormulaError('meaning', name, `Unknown member: ${name.text}`);
  }
}
