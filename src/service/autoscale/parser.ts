import { FormulaError, type Token, tokenize } from './lexer';

export type Expression =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'name'; readonly token: Token }
  | { readonly kind: 'call'; readonly token: Token; readonly given: readonly Expression[] }
  | {
      readonly kind: 'method';
      readonly token: Token;
      readonly target: Expression;
      readonly given: readonly Expression[];
    }
  | { readonly kind: 'member'; readonly token: Token; readonly target: Expression }
  | { readonly kind: 'unary'; readonly token: Token; readonly operand: Expression }
  /** Operators of one precedence, from left to right. A list, so that a long sum is no deep tree. */
  | {
      readonly kind: 'chain';
      readonly first: Expression;
      readonly rest: readonly { readonly token: Token; readonly operand: Expression }[];
    }
  | {
      readonly kind: 'choice';
      readonly token: Token;
      readonly condition: Expression;
      readonly yes: Expression;
      readonly no: Expression;
    };

/** An assignment, or an expression by itself (`stop();`). */
export interface Statement {
  readonly target?: Token;
  readonly value: Expression;
}

/** https://learn.microsoft.com/azure/batch/batch-automatic-scaling#autoscale-formulas */
const maxStatements = 100;
/** Parentheses, calls, branches and signs within each other. */
const maxDepth = 64;

/** Binary operators, from the loosest to the tightest. */
const precedence = [['||'], ['&&'], ['==', '!='], ['<', '>', '<=', '>='], ['+', '-'], ['*', '/']];

/** Parses a formula into its statements. Throws a FormulaError of kind `syntax`. */
export function parseFormula(formula: string): readonly Statement[] {
  return new Parser(tokenize(formula)).statements();
}

class Parser {
  #at = 0;
  #depth = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  statements(): Statement[] {
    const statements: Statement[] = [];
    while (this.#peek().kind !== 'end') {
      if (statements.length === maxStatements)
        throw this.#error(this.#peek(), `A formula has ${maxStatements} statements at most`);
      statements.push(this.#statement());
      // The last semicolon may be left out.
      if (this.#peek().kind !== 'end') this.#expect(';');
    }
    if (statements.length === 0) throw this.#error(this.#peek(), 'The formula is empty');
    return statements;
  }

  #statement(): Statement {
    const target = this.#peek();
    const next = this.tokens[this.#at + 1];
    if (target.kind !== 'name' || next?.kind !== 'mark' || next.text !== '=')
      return { value: this.#expression() };
    this.#at += 2;
    return { target, value: this.#expression() };
  }

  #expression(): Expression {
    return this.#nested(() => {
      const condition = this.#binary(0);
      const token = this.#take('?');
      if (!token) return condition;
      const yes = this.#expression();
      this.#expect(':');
      return { kind: 'choice', token, condition, yes, no: this.#expression() };
    });
  }

  #binary(level: number): Expression {
    const marks = precedence[level];
    if (marks === undefined) return this.#unary();
    const first = this.#binary(level + 1);
    const rest: { token: Token; operand: Expression }[] = [];
    for (let token = this.#take(...marks); token; token = this.#take(...marks))
      rest.push({ token, operand: this.#binary(level + 1) });
    return rest.length === 0 ? first : { kind: 'chain', first, rest };
  }

  #unary(): Expression {
    const token = this.#take('!', '-', '+');
    if (!token) return this.#postfix();
    return this.#nested(() => ({ kind: 'unary', token, operand: this.#unary() }));
  }

  #postfix(): Expression {
    let value = this.#primary();
    for (let count = 0; this.#take('.'); count++) {
      const token = this.#next();
      if (token.kind !== 'name' || count > maxDepth) throw this.#error(token, 'A member name is expected');
      value = this.#take('(')
        ? { kind: 'method', token, target: value, given: this.#arguments() }
        : { kind: 'member', token, target: value };
    }
    return value;
  }

  #primary(): Expression {
    const token = this.#next();
    if (token.kind === 'number') return { kind: 'number', value: Number(token.text) };
    if (token.kind === 'text') return { kind: 'text', value: token.text };
    if (token.kind === 'mark' && token.text === '(') {
      const inner = this.#expression();
      this.#expect(')');
      return inner;
    }
    if (token.kind !== 'name')
      throw this.#error(token, `Unexpected symbol: ${token.text || 'end of formula'}`);
    return this.#take('(') ? { kind: 'call', token, given: this.#arguments() } : { kind: 'name', token };
  }

  #arguments(): Expression[] {
    const given: Expression[] = [];
    if (this.#take(')')) return given;
    do given.push(this.#expression());
    while (this.#take(','));
    this.#expect(')');
    return given;
  }

  #nested(parse: () => Expression): Expression {
    if (++this.#depth > maxDepth) throw this.#error(this.#peek(), 'The formula is nested too deeply');
    const parsed = parse();
    this.#depth--;
    return parsed;
  }

  #peek(): Token {
    return this.tokens[this.#at] as Token;
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

  #error(token: Token, message: string): FormulaError {
    return new FormulaError('syntax', token, message);
  }
}
