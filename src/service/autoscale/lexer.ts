/** The kind of an error in a formula: in its syntax, in its meaning, or in the data with which it is evaluated. */
export type FormulaErrorKind = 'syntax' | 'meaning' | 'data';

/** A formula that cannot be parsed or evaluated, with the place. */
export class FormulaError extends Error {
  constructor(
    readonly kind: FormulaErrorKind,
    { line, column }: Pick<Token, 'line' | 'column'>,
    message: string,
  ) {
    super(`Line ${line}, Col ${column}: ${message}`);
  }
}

export interface Token {
  readonly kind: 'name' | 'number' | 'text' | 'mark' | 'end';
  readonly text: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

const pattern =
  /(?<space>[ \t\r\n]+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)|(?<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?<name>\$?[A-Za-z_]\w*)|(?<text>"[^"]*"|'[^']*')|(?<mark>&&|\|\||==|!=|<=|>=|[-+*/()<>!?:;,.=])/y;

/** Splits a formula into tokens, the last of which is of kind `end`. Throws a FormulaError of kind `syntax`. */
export function tokenize(formula: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let lineStart = 0;
  while (at < formula.length) {
    pattern.lastIndex = at;
    const place = { line, column: at - lineStart + 1 };
    const groups = pattern.exec(formula)?.groups;
    if (groups === undefined) throw new FormulaError('syntax', place, `Unexpected character: ${formula[at]}`);
    const [kind = '', text = ''] = Object.entries(groups).find(([, value]) => value !== undefined) ?? [];
    const lastBreak = text.lastIndexOf('\n');
    if (lastBreak >= 0) {
      line += text.split('\n').length - 1;
      lineStart = at + lastBreak + 1;
    }
    at += text.length;
    if (kind === 'space') continue;
    tokens.push({ kind: kind as Token['kind'], text: kind === 'text' ? text.slice(1, -1) : text, ...place });
  }
  tokens.push({ kind: 'end', text: '', line, column: at - lineStart + 1 });
  return tokens;
}
