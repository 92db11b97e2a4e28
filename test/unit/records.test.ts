import assert from 'node:assert/strict';
import type { FileResult, ManifestFile } from '../../src/core/plan/manifest';
import { AddedTasks } from '../../src/core/records/addedTasks';
import { chunksOf, filesIn, idsIn, rangesOf } from '../../src/core/records/fileChunks';
import { journalTexts, resultsIn } from '../../src/core/records/resultJournal';

const resultOf = (id: string, outputUri = `file:///clips/ä ${id}.mp3`): FileResult => ({ id, outputUri });
const fileOf = (index: number) =>
  ({ id: String(index).padStart(4, '0'), path: `a\nb ${index}.mp4` }) as ManifestFile;

describe('The journal of results', () => {
  const results = new Map(['0001', '0002', '0003'].map((id) => [id, resultOf(id)]));
  const text = journalTexts(results, results.keys()).join('');

  it('is read up to the last whole line, whatever byte it was cut at', () => {
    const bytes = Buffer.from(text);
    for (let length = 0; length <= bytes.length; length++) {
      const cut = bytes.subarray(0, length).toString('utf8');
      // A line is whole with its last brace: the line break after it carries nothing.
      const whole = [...results.values()].filter((result) => cut.includes(JSON.stringify(result)));
      assert.deepEqual(resultsIn(cut), whole, `cut at ${length}`);
    }
  });

  it('goes on after a line that was cut', () => {
    const bytes = Buffer.from(text);
    const more = journalTexts(new Map([['0004', resultOf('0004')]]), ['0004']).join('');
    for (let length = 0; length <= bytes.length; length++) {
      const read = resultsIn(bytes.subarray(0, length).toString('utf8') + more);
      assert.deepEqual(read.at(-1), resultOf('0004'), `cut at ${length}`);
    }
  });

  it('holds the last result of a file, and none of a file that is tried again', () => {
    const again = journalTexts(new Map([['0001', resultOf('0001', 'file:///new.mp3')]]), ['0001', '0002']);
    const read = resultsIn([text, ...again].join(''));
    assert.deepEqual(read, [resultOf('0003'), resultOf('0001', 'file:///new.mp3')]);
  });

  it('leaves out lines that are no results: nodes, too, can write it', () => {
    const good: FileResult[] = [
      { id: '0001', outputUri: 'file:///a.mp3', outputBytes: 1, outputSeconds: 0.5, node: 'n', retries: 0 },
      { id: '0002', problem: { kind: 'outputMissing', file: 'b' }, failedAt: 'task' },
      {
        id: '0003',
        problem: {
          kind: 'partFailed',
          file: 'c',
          startSeconds: 0,
          endSeconds: 1,
          problem: { kind: 'outputMissing', file: 'c' },
        },
        pieces: [{ startTime: '2026-11-27T10:00:00Z', endTime: '2026-11-27T10:01:00Z' }],
        uploaded: { start: '2026-11-27T10:00:00Z', end: '2026-11-27T10:01:00Z' },
      },
    ];
    const nested = { kind: 'partFailed', problem: { kind: 'partFailed', problem: { kind: 'ended' } } };
    const bad: object[] = [
      { id: '../1' },
      { problem: 'text' },
      { problem: { kind: 7 } },
      { problem: null },
      { problem: { kind: 'partFailed' } },
      { problem: nested },
      { failedAt: {} },
      { outputUri: 7 },
      { outputUri: 'clip.mp3' },
      { outputUri: 'file:///%ff.mp3' },
      { outputBytes: '7' },
      { outputSeconds: -1 },
      { node: {} },
      { startTime: 'soon' },
      { pieces: {} },
      { pieces: [null] },
      { pieces: [{ endTime: 7 }] },
      { uploaded: { start: '2026-11-27T10:00:00Z' } },
      { fetched: [] },
    ];
    const lines = [...good, ...bad.map((members) => ({ id: '0001', ...members })), null, [], '0001'];
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    assert.deepEqual(resultsIn(text), good);
    const newer = { id: '0004', problem: { kind: 'ofALaterVersion' }, failedAt: 'elsewhere', more: {} };
    assert.deepEqual(resultsIn(JSON.stringify(newer)), [newer]);
  });

  it('is appended in texts that one request can carry', () => {
    const many = new Map(
      Array.from({ length: 20_000 }, (_, index) => [
        String(index),
        resultOf(String(index), `file:///${'x'.repeat(200)}`),
      ]),
    );
    const texts = journalTexts(many, many.keys());
    assert.ok(texts.length > 3);
    assert.ok(texts.every((each) => each.length <= 1024 * 1024));
    assert.equal(resultsIn(texts.join('')).length, many.size);
    assert.deepEqual(journalTexts(many, []), []);
  });
});

describe('The tasks that a run has added', () => {
  it('are read from a journal that was cut at any byte, beside the results', () => {
    const tasks = new AddedTasks();
    tasks.noteAdded('job', ['0001', '0002']);
    tasks.noteReplaced('job', ['0001']);
    const lines = tasks.takeUnsaved().map((line) => `${JSON.stringify(line)}\n`);
    const result = resultOf('0003');
    const journal = [...journalTexts(new Map([['0003', result]]), ['0003']), ...lines].join('');
    assert.deepEqual(resultsIn(journal), [result]);
    for (let length = 0; length <= journal.length; length++) {
      const read = new AddedTasks();
      read.restore(journal.slice(0, length));
      const has = (line = '') => journal.slice(0, length).includes(line.trimEnd());
      const expected = has(lines[1]) ? ['0002'] : has(lines[0]) ? ['0001', '0002'] : [];
      assert.deepEqual([...read.of('job')], expected, `cut at ${length}`);
    }
  });

  it('are written once, again after a failure, and not of a job that is submitted', () => {
    const tasks = new AddedTasks();
    tasks.noteAdded('one', ['0001']);
    const lines = tasks.takeUnsaved();
    assert.deepEqual(tasks.takeUnsaved(), []);
    tasks.giveBack(lines);
    tasks.noteAdded('two', ['0001']);
    tasks.skipUnsaved('two');
    assert.deepEqual(tasks.takeUnsaved(), lines);
    assert.ok(tasks.has('two', '0001'));
  });
});

describe('The files of a large run', () => {
  it('are the same when they are read from their chunks', () => {
    const files = Array.from({ length: 2_500 }, (_, index) => fileOf(index));
    const refused = [{ path: 'x', uri: 'file:///x', problem: { kind: 'nothingChosen' as const } }];
    const chunks = chunksOf({ files, refused });
    assert.equal(chunks.length, 3);
    assert.deepEqual(filesIn(chunks), { files, refused });
    assert.deepEqual(filesIn([]), { files: [], refused: [] });
  });

  it('are named by ranges of ids', () => {
    const ids = ['0001', '0002', '0003', '0007', '0005', '9999', '10000', '10001'];
    assert.deepEqual(rangesOf(ids), ['0001-0003', '0007', '0005', '9999-10001']);
    assert.deepEqual(idsIn(rangesOf(ids)), ids);
    assert.deepEqual(idsIn(rangesOf([])), []);
    const many = Array.from({ length: 20_000 }, (_, index) => String(index + 1).padStart(5, '0'));
    assert.deepEqual(rangesOf(many), ['00001-20000']);
    assert.deepEqual(idsIn(['00001-20000']), many);
  });
});
