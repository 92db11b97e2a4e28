import assert from 'node:assert/strict';
import { savedNames } from '../../src/vscode/explorer/commands/savedNames';

describe('The names of files that are saved in one folder', () => {
  const files = (...names: readonly string[]) =>
    names.map((name, index) => ({ name, owner: `task-${index + 1}` }));

  it('stay as they are where they differ, and begin with the task where they are equal', () => {
    assert.deepEqual(savedNames(files('stdout.txt', 'stderr.txt')), ['stdout.txt', 'stderr.txt']);
    assert.deepEqual(savedNames(files('stderr.txt', 'Stderr.txt', 'x.mp3')), [
      'task-1 stderr.txt',
      'task-2 Stderr.txt',
      'x.mp3',
    ]);
  });

  it('have numbers where that is not enough', () => {
    const same = { name: 'out.txt', owner: 'task' };
    assert.deepEqual(savedNames([same, same, { name: 'task out (2).txt', owner: 'other' }]), [
      'task out.txt',
      'task out (2).txt',
      'task out (2) (2).txt',
    ]);
  });
});
