import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Journal } from '../../src/service/journal/journal';

describe('The journal of the local service', () => {
  let folder: string;
  const path = () => join(folder, 'state.jsonl');

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'journal-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function reopened(): Map<string, unknown> {
    const journal = new Journal(folder);
    try {
      return journal.read();
    } finally {
      journal.close();
    }
  }

  it('returns the last version of each record, and no removed ones', () => {
    const journal = new Journal(folder);
    journal.put('pool/a', { state: 'active' });
    journal.put('job/b', { name: 'Ünïcödé 🎬\nwith a second line' });
    journal.put('pool/a', { state: 'deleting' });
    journal.put('task/c', 1);
    journal.remove('task/c');
    journal.close();
    assert.deepEqual(
      [...reopened()],
      [
        ['pool/a', { state: 'deleting' }],
        ['job/b', { name: 'Ünïcödé 🎬\nwith a second line' }],
      ],
    );
  });

  it('drops a line that was cut at any byte, and keeps later lines', () => {
    const journal = new Journal(folder);
    journal.put('kept', { text: 'é' });
    const whole = statSync(path()).size;
    journal.put('torn', { text: 'é' });
    journal.close();
    for (let size = statSync(path()).size - 2; size > whole; size--) {
      truncateSync(path(), size);
      assert.deepEqual([...reopened().keys()], ['kept'], `cut at ${size}`);
    }
    const next = new Journal(folder);
    next.put('later', 2);
    next.close();
    assert.deepEqual([...reopened().keys()], ['kept', 'later']);
  });

  it('reads lines that are longer than what it reads at once, wherever characters are split', () => {
    const long = '🎬é'.repeat(400_000);
    const journal = new Journal(folder);
    for (const key of ['a', 'b', 'c']) journal.put(key, `${key}${long}`);
    journal.close();
    assert.deepEqual(
      [...reopened()],
      ['a', 'b', 'c'].map((key) => [key, `${key}${long}`]),
    );
  });

  it('has one line for each record after it is rewritten, and appends to them', () => {
    const journal = new Journal(folder);
    for (let index = 0; index < 100; index++) journal.put('counter', index);
    journal.rewrite(journal.read());
    assert.equal(readFileSync(path(), 'utf8').split('\n').filter(Boolean).length, 1);
    journal.put('later', true);
    journal.close();
    appendFileSync(path(), '["half');
    assert.deepEqual(
      [...reopened()],
      [
        ['counter', 99],
        ['later', true],
      ],
    );
  });
});
