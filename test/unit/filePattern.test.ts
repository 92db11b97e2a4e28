import assert from 'node:assert/strict';
import fc from 'fast-check';
import { FilePattern, literalPattern } from '../../src/service/tasks/filePattern';

/** Whether a pattern matches a path, both below `/wd`. */
function matches(pattern: string, path: string): boolean {
  const parsed = new FilePattern(`/wd/${pattern}`);
  if (parsed.literal !== undefined) return parsed.literal === `/wd/${path}`;
  const base = parsed.base.endsWith('/') ? parsed.base : `${parsed.base}/`;
  return `/wd/${path}`.startsWith(base) && parsed.matches(`/wd/${path}`.slice(base.length));
}

describe('The patterns of output files', () => {
  const cases: [pattern: string, matching: string[], other: string[]][] = [
    ['abc*', ['abc', 'abcdef'], ['ab', 'abc/d', 'xabc']],
    ['*.gif', ['a.gif'], ['.a.gif', 'd/a.gif']],
    ['.*.gif', ['.a.gif'], ['a.gif']],
    ['a?c', ['abc', 'a🎬c'], ['ac', 'abbc']],
    ['[abc]x', ['ax', 'bx'], ['dx', 'x']],
    ['[a-c]x', ['bx'], ['dx', '-x']],
    ['[!a-c]x', ['dx'], ['ax', '.x']],
    ['abc[*]', ['abc*'], ['abcd']],
    ['**/*.txt', ['a.txt', 'd/e/a.txt'], ['a.text', '.d/a.txt', 'd/.a.txt']],
    ['d/**', ['d/a', 'd/e/f'], ['e/a']],
    ['**', ['a', 'd/e'], ['.a']],
    ['d/*/f', ['d/e/f'], ['d/f', 'd/e/g/f']],
    ['[', ['['], ['a']],
    ['a]', ['a]'], ['a']],
    ['./d/../x*', ['x1'], ['d/x1']],
  ];

  for (const [pattern, matching, other] of cases) {
    it(`match by ${pattern}`, () => {
      for (const path of matching) assert.ok(matches(pattern, path), `${path} does not match`);
      for (const path of other) assert.ok(!matches(pattern, path), `${path} matches`);
    });
  }

  it('take folders by any name literally', () => {
    for (const folder of ['/d [1]/a*b?', '/[', '/[!a]/[[]/]', '/**/x', '/wd']) {
      const pattern = new FilePattern(`${literalPattern(folder)}/*.txt`);
      assert.equal(pattern.base, folder);
      assert.ok(pattern.matches('a.txt'));
      assert.equal(new FilePattern(literalPattern(folder)).literal, folder);
    }
  });

  it('know the folder before their first wildcard', () => {
    assert.equal(new FilePattern('/wd/out/*.mp3').base, '/wd/out');
    assert.equal(new FilePattern('/wd/out/a.mp3').base, '/wd/out');
    assert.equal(new FilePattern('/*').base, '/');
  });

  it('match what a regular expression of the same meaning matches', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), minLength: 1, maxLength: 8 });
    const name = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(text, name, (pattern, path) => {
        fc.pre(pattern !== '**' && /[*?]/.test(pattern));
        const expected = new RegExp(`^${pattern.replaceAll(/\*+/g, '.*').replaceAll('?', '.')}$`).test(path);
        assert.equal(matches(pattern, path), expected);
      }),
    );
  });

  it('take time that depends only on their length', () => {
    const from = process.cpuUsage();
    assert.ok(!matches(`${'*a'.repeat(500)}b`, 'a'.repeat(250)));
    assert.ok(!matches(`${'**/'.repeat(100)}b*`, 'a/'.repeat(500)));
    assert.ok(process.cpuUsage(from).user < 5_000_000);
  });
});
