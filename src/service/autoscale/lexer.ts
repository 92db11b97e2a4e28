/** A formula that cannot be read or evaluated, with the place. */
export class FormulaError extends Error {
  constructor(
    message: string,
    readonly line: number,
    readonly column: number,
  ) {
    super(`Line ${line}, Col ${column}: ${message}`);
  }
}

export interface Token {
  readonly kind: 'name' | 'number' | 'text' | 'mark' | 'end';
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

const pattern =
  /(?<space>[ \t\r\n]+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)|(?<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?<name>\$?[A-Za-z_]\w*)|(?<text>"[^"]*"|'[^']*')|(?<mark>&&|\|\||==|!=|<=|>=|[-+*/()<>!?:;,.=])/y;

export function tokenize(formula: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < formula.length) {
    pattern.lastIndex = at;
    const groups = pattern.exec(formula)?.groups;
    const before = formula.slice(0, at);
    const line = before.split('\n').length;
    const column = at - before.lastIndexOf('\n');
    if (groups === undefined) throw new FormulaError(`Unexpected character: ${formula[at]}`, line, column);
    const [kind = '', text = ''] = Object.entries(groups).find(([, value]) => value !== undefined) ?? [];
    at += text.length;
    if (kind === 'space') continue;
    const inner = kind === 'text' ? text.slice(1, -1) : text;
    tokens.push({ kind: kind as Token['kind'], text: inner, line, column });
  }
  const last = tokens.at(-1);
  tokens.push({
    kind: 'end',
    text: '',
    line: last?.line ?? 1,
    column: (last?.column ?? 0) + (last?.text.length ?? 1),
  });
  return tokens;
}
