import assert from 'node:assert/strict';
import type { Problem } from '../../src/core/errors';
import { fileLabel, fileWords, runLabel, withFolder } from '../../src/vscode/runs/runWords';
import { bytes, nodeHoursOf } from '../../src/vscode/words/numbers';
import { sentenceOf } from '../../src/vscode/words/sentences';
import { progressLine } from '../../src/vscode/words/story';
import { progressOf } from '../runProgress';

describe('The words of a run', () => {
  it('leave room for the state in a narrow sidebar, whatever the names of presets and files', () => {
    const label = (presetId: string, preset = '') => runLabel({ files: 12, preset, presetId });
    assert.equal(label('mp3'), '12 files, MP3 audio');
    assert.equal(label('h264-1080p'), '12 files, H.264 video, 1080p');
    assert.equal(label('h265'), '12 files, H.265 video');
    assert.equal(label('own', 'Mine (2)'), '12 files, Mine (2)');
    assert.equal(label('speech'), '12 files, Speech, normalize…');
    assert.equal(label('own', '用于语音识别的单声道音频'), '12 files, 用于语音识别的单…');
    assert.equal(fileLabel('a/b/clip.mp4'), 'clip.mp4');
    assert.equal(fileLabel('C:\\videos\\clip.mp4'), 'clip.mp4');
    assert.equal(fileLabel('back\\slash.mp4'), 'back\\slash.mp4');
    assert.equal(fileLabel(`${'very '.repeat(20)}long.mp4`), 'very very very…very long.mp4');
    assert.equal(withFolder('waiting', 'a/b/clip.mp4'), 'waiting · a/b');
    assert.equal(withFolder('waiting', 'clip.mp4'), 'waiting');
  });

  it('count files while outputs are fetched, and tasks while tasks run', () => {
    const numbers = { files: 1, succeeded: 0, failed: 0 };
    const tasks = { active: 0, running: 1, completed: 25, failed: 0, total: 26 };
    assert.equal(
      progressLine(progressOf({ tasks }), numbers, undefined),
      'tasks: 25 completed, 1 running, 0 failed of 26',
    );
    assert.equal(
      progressLine(progressOf({ phase: 'fetching', fetch: { bytes: 2_000_000 } }), numbers, 65_000),
      'fetching outputs: 0 of 1 done, 2 MB, about 1:05 left',
    );
  });

  it('say what is wrong, with what, and what to do', () => {
    const text = (problem: Problem) => sentenceOf(problem).text;
    assert.match(text({ kind: 'noAccount' }), /^No account is connected/);
    assert.deepEqual(sentenceOf({ kind: 'noAccount', account: 'a.b.batch.azure.com' }), {
      text: "The account a.b.batch.azure.com isn't connected. Connect it to continue.",
      remedies: ['connect'],
    });
    assert.deepEqual(sentenceOf({ kind: 'noAccount', account: 'local' }).remedies, ['useLocalAccount']);
    assert.match(text({ kind: 'runTaken', run: 'r' }), /another window/);
    assert.match(
      text({ kind: 'runTaken', run: 'r', here: true }),
      /^This window is already working on run r/,
    );
    const fault = { kind: 'presetInvalid', preset: 'Mine', fault: 'missingPlaceholder' } as const;
    assert.equal(
      text({ ...fault, subject: '${output}' }),
      'The preset Mine is invalid: ${output} is missing in its arguments.',
    );
  });

  it('round sizes and hours to what is shown', () => {
    assert.equal(bytes(1), '1 byte');
    assert.equal(bytes(999_949), '999.9 kB');
    assert.equal(bytes(999_960), '1 MB');
    assert.equal(nodeHoursOf(1.003), '1 node-hour');
    assert.equal(nodeHoursOf(1.2), '1.2 node-hours');
  });

  it('name a time that is left only where there is one', () => {
    const numbers = { files: 1, succeeded: 1, failed: 0 };
    assert.equal(progressLine(progressOf({ phase: 'done' }), numbers, 5_000), 'done');
    assert.doesNotMatch(progressLine(progressOf(), numbers, 400), /left/);
    assert.match(progressLine(progressOf(), numbers, 600), /about 0:01 left/);
  });

  it('do not call a file waiting whose task has completed', () => {
    const file = {
      ...{ id: '0001', path: 'clip.mp4', uri: 'file:///clip.mp4', size: 1_000_000, modified: 0 },
      ...{ inputBlob: '', nodeInput: '', commandLine: '', seconds: 10 },
      output: { nodePath: '', blob: '', isFolder: false, name: '', proof: 'none' as const },
    };
    assert.equal(fileWords(file, undefined, undefined), 'not done, 1 MB');
    assert.equal(fileWords(file, undefined, progressOf()), 'waiting, 1 MB');
    const running = progressOf({ running: new Map([['0001', { seconds: 5, speed: 2 }]]) });
    assert.equal(fileWords(file, undefined, running), '50%, 2.0× real time');
    const slow = progressOf({ running: new Map([['0001', { seconds: 5, speed: 0.04 }]]) });
    assert.equal(fileWords(file, undefined, slow), '50%, 0.04× real time');
    assert.equal(
      fileWords(file, undefined, progressOf({ settling: new Set(['0001']) })),
      'fetching the output',
    );
  });
});
