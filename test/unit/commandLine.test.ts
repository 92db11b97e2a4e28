import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { splitCommandLine } from '../../src/service/tasks/commandLine';
import { chanceOf } from '../chance';

describe('A command line of a task', () => {
  it('is split by the quoting rules of a POSIX shell', () => {
    for (const [line, ...argv] of [
      ['/bin/bash -c "echo \\"hello world\\""', '/bin/bash', '-c', 'echo "hello world"'],
      [`/bin/bash -c 'echo "hello world"'`, '/bin/bash', '-c', 'echo "hello world"'],
      [`/bin/bash -c "echo 'it is'"`, '/bin/bash', '-c', "echo 'it is'"],
      [`sh -c 'it'"'"'s'`, 'sh', '-c', "it's"],
      [`sh -c 'it'\\''s'`, 'sh', '-c', "it's"],
      ['sh -c "echo \\$HOME $HOME \\n"', 'sh', '-c', 'echo $HOME $HOME \\n'],
      ['a  b\tc\n d ', 'a', 'b', 'c', 'd'],
      [`a "" '' b`, 'a', '', '', 'b'],
      ['a\\ b --x="1 2"3', 'a b', '--x=1 23'],
      ['echo a;b | c > d && e # f', 'echo', 'a;b', '|', 'c', '>', 'd', '&&', 'e', '#', 'f'],
      ['echo "open end', 'echo', 'open end'],
      ["echo 'open end", 'echo', 'open end'],
      ['echo *.mp4 ~ $(x)', 'echo', '*.mp4', '~', '$(x)'],
      ['', ...[]],
    ] as const)
      assert.deepEqual(splitCommandLine(line, 'linux'), argv, line);
  });

  it('keeps backslashes on Windows', () => {
    assert.deepEqual(splitCommandLine('C:\\tools\\ffmpeg.exe -i "a b.mp4"', 'win32'), [
      'C:\\tools\\ffmpeg.exe',
      '-i',
      'a b.mp4',
    ]);
  });

  it('has the arguments that a shell gives a program, whatever is quoted in it', function () {
    if (process.platform === 'win32') this.skip();
    const part = fc.constantFrom('a', ' ', "'", '"', '\\', '\\"', "'x y'", '"x y"', '\\\\', '-', '=', 'é');
    const lines = fc
      .sample(fc.array(part, { maxLength: 12 }), chanceOf(400))
      .map((parts) => parts.join(''))
      .filter(isClosed);
    assert.ok(lines.length > 50);
    // One shell for all: each line's arguments in brackets.
    const script = lines.map((line) => `printf '[%s]' ${line}; echo; echo end`).join('\n');
    const shown = execFileSync('/bin/bash', ['-c', script], { encoding: 'utf8' }).split('\nend\n');
    for (const [index, line] of lines.entries()) {
      const argv = splitCommandLine(line, 'linux');
      const expected = argv.length === 0 ? '[]' : argv.map((arg) => `[${arg}]`).join('');
      assert.equal(shown[index], expected, JSON.stringify(line));
    }
  });
});

/** Whether every quote of a line is closed, and its last character not a backslash. */
function isClosed(line: string): boolean {
  return line.replace(/'[^']*'|"(?:[^"\\]|\\[\s\S])*"|\\[\s\S]/g, '').search(/['"\\]/) < 0;
}
