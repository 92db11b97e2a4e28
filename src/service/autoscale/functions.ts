import { FormulaError, type Token } from './lexer';
import { double, doubleVec, timestamp, type Value } from './values';

/** What `stop()` throws: the evaluation ends, and keeps what was assigned so far. */
export class Stopped extends Error {}

interface Call {
  readonly name: Token;
  readonly given: readonly Value[];
  /** Milliseconds since 1970. */
  readonly now: number;
}

interface FunctionOfFormulas {
  readonly min: number;
  readonly max: number;
  readonly call: (call: Call) => Value;
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, value) => total + value, 0);
const mean = (numbers: readonly number[]) => sum(numbers) / numbers.length;

function deviation(numbers: readonly number[]): number {
  if (numbers.length < 2) return 0;
  const middle = mean(numbers);
  return Math.sqrt(sum(numbers.map((value) => (value - middle) ** 2)) / (numbers.length - 1));
}

/** The functions of Microsoft's page. https://learn.microsoft.com/azure/batch/batch-automatic-scaling#functions */
export const functions: ReadonlyMap<string, FunctionOfFormulas> = new Map([
  ['avg', ofList(mean)],
  ['len', ofList((numbers) => numbers.length, 0)],
  ['lg', logarithm(Math.log2)],
  ['ln', logarithm(Math.log)],
  ['log', logarithm(Math.log10)],
  ['max', ofList((numbers) => numbers.reduce((one, other) => Math.max(one, other)))],
  ['min', ofList((numbers) => numbers.reduce((one, other) => Math.min(one, other)))],
  ['norm', ofList((numbers) => Math.sqrt(sum(numbers.map((value) => value ** 2))))],
  ['percentile', { min: 2, max: 2, call: percentile }],
  ['rand', { min: 0, max: 0, call: () => double(Math.random()) }],
  [
    'range',
    ofList(
      (numbers) =>
        numbers.reduce((one, other) => Math.max(one, other)) -
        numbers.reduce((one, other) => Math.min(one, other)),
    ),
  ],
  ['std', ofList(deviation)],
  ['stop', { min: 0, max: 0, call: stop }],
  ['sum', ofList(sum, 0)],
  ['time', { min: 0, max: 1, call: time }],
  ['val', { min: 2, max: 2, call: elementAt }],
  ['vec', { min: 0, max: Number.POSITIVE_INFINITY, call: (call) => doubleVec(list(call)) }],
]);

/** A function of doubles and vectors, which are joined to one list first. */
function ofList(compute: (numbers: readonly number[]) => number, min = 1): FunctionOfFormulas {
  return {
    min,
    max: Number.POSITIVE_INFINITY,
    call(call) {
      const numbers = list(call);
      if (numbers.length < min) throw new FormulaError('data', call.name, `${call.name.text} needs a value`);
      return double(compute(numbers));
    },
  };
}

/** Of one double a double, of anything else a vector. */
function logarithm(compute: (value: number) => number): FunctionOfFormulas {
  return {
    min: 1,
    max: Number.POSITIVE_INFINITY,
    call(call) {
      const [only] = call.given;
      if (call.given.length === 1 && only?.type === 'double') return double(compute(only.value));
      return doubleVec(list(call).map(compute));
    },
  };
}

function list({ name, given }: Call): number[] {
  const numbers: number[] = [];
  for (const value of given) {
    if (value.type === 'double') numbers.push(value.value);
    else if (value.type === 'doubleVec') for (const element of value.value) numbers.push(element);
    else throw new FormulaError('meaning', name, `${name.text} does not take a ${value.type}`);
  }
  return numbers;
}

function vectorAndNumber({ name, given }: Call): [readonly number[], number] {
  const [vector, position] = given;
  if (vector?.type !== 'doubleVec' || position?.type !== 'double')
    throw new FormulaError('meaning', name, `${name.text} takes a doubleVec and a double`);
  return [vector.value, position.value];
}

function percentile(call: Call): Value {
  const [numbers, percent] = vectorAndNumber(call);
  if (!(percent >= 0 && percent <= 100))
    throw new FormulaError('data', call.name, 'A percentile is between 0 and 100');
  if (numbers.length === 0) throw new FormulaError('data', call.name, 'percentile needs a value');
  const sorted = [...numbers].sort((one, other) => one - other);
  const position = ((sorted.length - 1) * percent) / 100;
  const [low, high] = [sorted[Math.floor(position)] ?? 0, sorted[Math.ceil(position)] ?? 0];
  return double(low + (high - low) * (position - Math.floor(position)));
}

function elementAt(call: Call): Value {
  const [numbers, index] = vectorAndNumber(call);
  const element = numbers[Math.trunc(index)];
  if (element === undefined)
    throw new FormulaError('data', call.name, `The vector has no element at ${index}`);
  return double(element);
}

function stop(): never {
  throw new Stopped();
}

/** https://www.w3.org/TR/NOTE-datetime, with UTC where no zone is given. */
const w3c = /^\d{4}(?:-\d\d(?:-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;
const rfc1123 = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/;

function time({ name, given: [text], now }: Call): Value {
  if (text === undefined || text.value === '') return timestamp(now);
  if (text.type !== 'string') throw new FormulaError('meaning', name, `time does not take a ${text.type}`);
  const iso = w3c.exec(text.value);
  const needsZone = iso !== null && iso[1] === undefined && text.value.includes('T');
  const value =
    iso || rfc1123.test(text.value) ? Date.parse(text.value + (needsZone ? 'Z' : '')) : Number.NaN;
  if (Number.isNaN(value)) throw new FormulaError('meaning', name, `Not a time: ${text.value.slice(0, 40)}`);
  return timestamp(value);
}
