import { FormulaError, type Token } from './lexer';

/** Times and intervals are milliseconds of a type of their own, so that they are not mixed up with numbers. */
export type Value =
  | { readonly type: 'double'; readonly value: number }
  | { readonly type: 'doubleVec'; readonly value: readonly number[] }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'timestamp'; readonly value: number }
  | { readonly type: 'timeinterval'; readonly value: number };

export const double = (value: number): Value => ({ type: 'double', value });
export const doubleVec = (value: readonly number[]): Value => ({ type: 'doubleVec', value });
export const timestamp = (value: number): Value => ({ type: 'timestamp', value });
export const timeinterval = (value: number): Value => ({ type: 'timeinterval', value });

const arithmetic: Record<string, (one: number, other: number) => number> = {
  '+': (one, other) => one + other,
  '-': (one, other) => one - other,
  '*': (one, other) => one * other,
  '/': (one, other) => one / other,
};

const comparisons: Record<string, (one: number | string, other: number | string) => boolean> = {
  '<': (one, other) => one < other,
  '<=': (one, other) => one <= other,
  '==': (one, other) => one === other,
  '>=': (one, other) => one >= other,
  '>': (one, other) => one > other,
  '!=': (one, other) => one !== other,
};

/** Result types of the arithmetic between numbers, times and intervals, by `left operator right`. */
const scalarResults: Record<string, 'double' | 'timestamp' | 'timeinterval'> = {
  ...Object.fromEntries(['+', '-', '*', '/'].map((mark) => [`double ${mark} double`, 'double'] as const)),
  'double * timeinterval': 'timeinterval',
  'timeinterval * double': 'timeinterval',
  'timeinterval / double': 'timeinterval',
  'timeinterval + timeinterval': 'timeinterval',
  'timeinterval - timeinterval': 'timeinterval',
  'timeinterval / timeinterval': 'double',
  'timeinterval + timestamp': 'timestamp',
  'timestamp + timeinterval': 'timestamp',
  'timestamp - timeinterval': 'timestamp',
  'timestamp - timestamp': 'timeinterval',
};

/**
 * Applies a binary operator other than `&&` and `||`, which evaluate their right side only when they need it.
 * https://learn.microsoft.com/azure/batch/batch-automatic-scaling#operations
 */
export function operate(mark: Token, one: Value, other: Value): Value {
  const compare = comparisons[mark.text];
  if (compare !== undefined) {
    if (one.type === 'doubleVec' || one.type !== other.type) throw notApplicable(mark, one, other);
    return double(Number(compare(one.value, other.value as typeof one.value)));
  }
  const compute = arithmetic[mark.text];
  if (compute === undefined) throw notApplicable(mark, one, other);
  if (one.type === 'doubleVec' && other.type === 'doubleVec') {
    if (one.value.length !== other.value.length)
      throw new FormulaError(
        'data',
        mark,
        `Vectors of ${one.value.length} and ${other.value.length} elements cannot be combined`,
      );
    return doubleVec(one.value.map((value, index) => compute(value, other.value[index] ?? 0)));
  }
  if (one.type === 'doubleVec' && other.type === 'double')
    return doubleVec(one.value.map((value) => compute(value, other.value)));
  if (one.type === 'double' && other.type === 'doubleVec')
    return doubleVec(other.value.map((value) => compute(one.value, value)));
  const type = scalarResults[`${one.type} ${mark.text} ${other.type}`];
  if (type === undefined) throw notApplicable(mark, one, other);
  return { type, value: compute(Number(one.value), Number(other.value)) };
}

export function negate(mark: Token, operand: Value): Value {
  if (operand.type === 'double') return double(mark.text === '-' ? -operand.value : operand.value);
  if (operand.type === 'timeinterval' && mark.text === '-') return timeinterval(-operand.value);
  throw new FormulaError('meaning', mark, `Operator ${mark.text} does not apply to ${operand.type}`);
}

/** The truth of a double: nonzero is true. Other types have none. */
export function truth(place: Token, value: Value): boolean {
  if (value.type === 'double') return value.value !== 0;
  throw new FormulaError('meaning', place, `A double is expected, not a ${value.type}`);
}

/** A value as `results` of an evaluation show it. */
export function display(value: Value): string {
  switch (value.type) {
    case 'doubleVec':
      return `[${value.value.join(',')}]`;
    case 'timestamp':
      return Math.abs(value.value) <= 8.64e15 ? new Date(value.value).toISOString() : String(value.value);
    case 'timeinterval':
      return clock(value.value);
    default:
      return String(value.value);
  }
}

/** Milliseconds as `[-][d.]hh:mm:ss[.fff]`. */
function clock(ms: number): string {
  const total = Math.abs(ms);
  const two = (part: number) => String(Math.floor(part)).padStart(2, '0');
  const days = Math.floor(total / 86_400_000);
  const fraction = Math.round(total % 1000);
  const time = `${two((total / 3_600_000) % 24)}:${two((total / 60_000) % 60)}:${two((total / 1000) % 60)}`;
  return `${ms < 0 ? '-' : ''}${days > 0 ? `${days}.` : ''}${time}${fraction > 0 ? `.${String(fraction).padStart(3, '0')}` : ''}`;
}

function notApplicable(mark: Token, one: Value, other: Value): FormulaError {
  return new FormulaError(
    'meaning',
    mark,
    `Operator ${mark.text} does not apply to ${one.type} and ${other.type}`,
  );
}
