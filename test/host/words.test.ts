import assert from 'node:assert/strict';
import { commands } from 'vscode';
import { type Problem, UserError } from '../../src/core/errors';
import type { FileResult, Manifest } from '../../src/core/plan/manifest';
import type { RunProgress } from '../../src/core/runs/runEvents';
import { reportOf } from '../../src/vscode/accounts/checkConnection';
import { unendedWords } from '../../src/vscode/accounts/manageAccounts';
import { remediesOf } from '../../src/vscode/errorMessages';
import { heatMapPage } from '../../src/vscode/heatMap/heatMapPage';
import type { RunRecord } from '../../src/vscode/runs/runRecord';
import { contextOf } from '../../src/vscode/runs/runRows';
import {
  fileLabel,
  fileWords,
  firstNames,
  iconWord,
  liveNames,
  namesOf,
  openingWords,
  runLabel,
  stateWords,
  withFolder,
  withoutName,
} from '../../src/vscode/runs/runWords';
import { savingFile } from '../../src/vscode/savedFile';
import { stoppedWords } from '../../src/vscode/transcode/endMessages';
import { age, bytes, nodeHoursOf } from '../../src/vscode/words/numbers';
import { sentenceOf } from '../../src/vscode/words/sentences';
import { noAnswerWords, progressLine } from '../../src/vscode/words/story';
import { progressOf } from '../runProgress';
import { rowMenu } from './rowMenu';

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
    const sources = ['file:///v/a%20b.mp4', 'file:///v/c.mp4', 'file:///v/d.mp4'];
    assert.equal(firstNames({ sources, files: 3 }), 'a b.mp4, c.mp4, …');
    assert.equal(firstNames({ sources: sources.slice(0, 1), files: 1 }), 'a b.mp4');
    assert.equal(firstNames({ sources: [], files: 3 }), '');
    const same = ['file:///v/one/c.mp4', 'file:///v/two/c.mp4', 'file:///v/d.mp4'];
    assert.equal(firstNames({ sources: same, files: 3 }), 'one/c.mp4, two/c.mp4, …');
    assert.equal(namesOf(['a/x/c.mp4', 'b/x/c.mp4'], 2), 'a/x/c.mp4, b/x/c.mp4');
    assert.equal(namesOf(['C:\\a\\c.mp4', 'D:\\b\\c.mp4'], 2), 'a/c.mp4, b/c.mp4');
    assert.equal(namesOf(['c.mp4', 'c.mp4'], 2), 'c.mp4, c.mp4');
    const manifest = { files: [{ path: 'a.mp4' }], refused: [{ path: 'b.mp4' }] } as unknown as Manifest;
    assert.equal(liveNames({ manifest }), 'a.mp4, b.mp4');
    assert.equal(withoutName("Couldn't upload a.mp4: it changed.", 'a.mp4'), "Couldn't upload: it changed.");
    assert.equal(withoutName('无法上传 a.mp4：已更改。', 'a.mp4'), '无法上传：已更改。');
  });

  it('say what a run does that is being created or opened, and that its account does not answer', () => {
    const answers = { missing: () => undefined };
    const opening = { answers, isNew: false, isCanceled: false };
    const record = { files: 5, succeeded: 3, failed: 1 } as RunRecord;
    assert.equal(openingWords({ ...opening, isNew: true }, record), 'creating the run');
    assert.equal(openingWords({ ...opening, isCanceled: true }, record), 'canceling');
    assert.equal(openingWords(opening, record), 'opening the run: 3 of 5 done, 1 failed');
    assert.equal(openingWords(opening), 'opening the run');
    const silent = { ...opening, answers: { missing: () => 'unreachable' as const } };
    assert.equal(openingWords(silent, record), 'no connection, retrying: 3 of 5 done, 1 failed');
    assert.equal(openingWords(silent), 'no connection, retrying');
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
    assert.deepEqual(sentenceOf({ kind: 'noMedia', folder: 'videos', outputs: 3, excluded: 0 }), {
      text: 'No media files found in videos. If they have other file extensions, add the extensions in the settings. Left out: outputs of earlier runs: 3',
      remedies: ['openMediaSettings'],
    });
    assert.match(text({ kind: 'runTaken', run: 'r' }), /another window/);
    assert.match(
      text({ kind: 'runTaken', run: 'r', here: true }),
      /^This window is already working on run r/,
    );
    const answer = { kind: 'service', service: 'batch', operation: 'list jobs' } as const;
    assert.equal(
      text({ ...answer, status: 503, code: 'HTTP 503' }),
      "Azure Batch couldn't complete the operation “list jobs” (HTTP 503). Try again in a few minutes.",
    );
    assert.equal(
      text({ ...answer, status: 409, code: 'Conflict', resource: 'job', detail: 'It ends.' }),
      'Azure Batch rejected the operation “list jobs” on job (Conflict). It ends.',
    );
    const pool = { kind: 'poolUnusable', pool: 'p' } as const;
    assert.equal(text({ ...pool, why: 'deleted' }), 'Pool p was deleted.');
    assert.equal(text({ ...pool, why: 'deleting' }), 'Pool p is still being deleted. Try again later.');
    assert.equal(text({ ...pool, detail: 'No room.' }), "Pool p can't be used. No room.");
    const fault = { kind: 'presetInvalid', preset: 'Mine', fault: 'missingPlaceholder' } as const;
    assert.equal(
      text({ ...fault, subject: '${output}' }),
      'The preset Mine is invalid: ${output} is missing in its arguments.',
    );
  });

  it('cover a problem that a later version has written, or whose members were changed', () => {
    const of = (problem: unknown) => sentenceOf(problem as Problem).text;
    const unknown = (kind: string) =>
      `The reason is unknown to this version of the extension (${kind}). Update the extension.`;
    assert.equal(of({ kind: 'ofALaterVersion' }), unknown('ofALaterVersion'));
    assert.equal(of({ kind: 'quota', what: 'nobodyKnows' }), unknown('quota'));
    assert.equal(of({ kind: 'presetNotFor', file: 'a', inputs: 7 }), unknown('presetNotFor'));
    const inner = { kind: 'ofALaterVersion' };
    assert.match(of({ kind: 'partFailed', startSeconds: 0, endSeconds: 1, problem: inner }), /unknown/);
    assert.deepEqual(remediesOf({ problem: { kind: 'ofALaterVersion' } as unknown as Problem }), []);
  });

  it('say after a stop what goes on, and point to no command that would do more than the user asked for', () => {
    const stopped = { isLocal: false, isSubmitted: false };
    const record = { succeeded: 1, files: 5 };
    const upload = stoppedWords(record, { ...stopped, until: 'uploaded' });
    assert.match(upload, /^The upload stopped\. .*Upload to Batch Storage/);
    assert.doesNotMatch(upload, /Fetch|tasks/);
    assert.match(
      stoppedWords(record, { ...stopped, until: 'submitted' }),
      /before all its files were submitted/,
    );
    const watched = stoppedWords(record, { ...stopped, isSubmitted: true, until: 'fetched' });
    assert.match(watched, /after 1 of 5 outputs\. The tasks keep running, and their nodes cost money\./);
    assert.doesNotMatch(
      stoppedWords(record, { isLocal: true, isSubmitted: true, until: 'fetched' }),
      /cost money/,
    );
    assert.equal(
      stoppedWords(undefined, { ...stopped, until: 'uploaded' }),
      'The run was stopped before it started.',
    );
  });

  it('name what a row of a run offers: an upload is never submitted by fetching its outputs', () => {
    const offered = (others: Partial<RunRecord>) => {
      const record: RunRecord = {
        ...{ runId: 'r', accountId: 'a', outputContainer: '', created: '', preset: 'MP3', files: 1 },
        ...{ sources: [], status: 'stopped', ...others },
      };
      const context = contextOf(record, undefined, { isOpening: false, isElsewhere: false });
      const menu = rowMenu('runs', context);
      const steps = ['upload', 'submit', 'fetch'].filter((step) => menu.includes(step));
      return [stateWords(record, false), ...steps];
    };
    assert.deepEqual(offered({ status: 'uploaded', until: 'uploaded' }), [
      'uploaded, not submitted',
      'submit',
    ]);
    for (const status of ['stopped', 'running'] as const)
      assert.deepEqual(offered({ status, until: 'uploaded' }), ['not submitted', 'upload', 'submit']);
    assert.deepEqual(offered({ status: 'uploaded', until: 'uploaded', failed: 1 }).slice(1), ['submit']);
    assert.deepEqual(offered({ until: 'uploaded', failed: 1 }).slice(1), ['upload', 'submit']);
    assert.deepEqual(offered({ status: 'submitted', until: 'submitted' }).slice(1), ['fetch']);
    assert.deepEqual(offered({ until: 'fetched' }).slice(1), ['fetch']);
    assert.deepEqual(offered({ status: 'canceled', until: 'uploaded' }).slice(1), ['fetch']);
  });

  it('show what a service answers and what an account is called as text, in the report of a connection', async () => {
    const text = `<img src=x> <b>a</b> [b](command:c) **d** \`e\` $f$ # g\n# h\n\n- i`;
    const account = {
      ...{ id: 'a', label: text, signIn: 'keys' as const, batchName: 'a', batchUrl: 'https://a.b.c' },
      ...{ storageName: 's', blobUrl: 'https://s.t.u' },
    };
    const problem = {
      ...{ kind: 'service' as const, service: 'batch' as const, operation: 'read', resource: text },
      ...{ code: text, detail: text, requestId: text },
    };
    const markdown = reportOf(account, [
      { step: 'batchRead', status: 'failed', problem, ms: 1 },
      { step: 'image', status: 'ok', ms: 1, detail: text },
    ]);
    const html = await commands.executeCommand<string>('markdown.api.render', markdown);
    assert.doesNotMatch(html, /<img|<b>|<a |<code|katex|<h1[^>]*>\s*h/);
    assert.equal(html.split('&lt;img src=x&gt;').length - 1, 6, html);
    assert.equal(html.match(/<h1/g)?.length, 1);
    assert.equal(html.match(/<li/g)?.length, 2);
    assert.equal(html.match(/<strong/g)?.length, 2);
  });

  it('round sizes and hours to what is shown', () => {
    assert.equal(bytes(1), '1 byte');
    assert.equal(bytes(999_949), '999.9 kB');
    assert.equal(bytes(999_960), '1 MB');
    assert.equal(nodeHoursOf(1.003), '1 node-hour');
    assert.equal(nodeHoursOf(1.2), '1.2 node-hours');
  });

  it('call idle nodes a cost only where they are', () => {
    const sources = { script: '', style: '', source: '' };
    const page = (isLocal: boolean) => heatMapPage({ poolId: 'pool', isLocal }, sources);
    assert.match(page(false), /idle: costs money without work/);
    assert.doesNotMatch(page(true), /money/);
  });

  it('name an age in the unit that fits it', () => {
    const now = new Date();
    const ages = [0, 20, 59, 90, 3_601, 49 * 3600].map((seconds) =>
      age(new Date(+now - seconds * 1000), now),
    );
    const expected = ['now', '20 seconds ago', '59 seconds ago', '2 minutes ago', '1 hour ago', '2 days ago'];
    assert.deepEqual(ages, expected);
  });

  it('say that a service does not answer, instead of numbers that stand still', () => {
    const numbers = { files: 3, succeeded: 1, failed: 1 };
    const words = (['unreachable', 'throttled', 'failing'] as const).map((one) =>
      noAnswerWords(one, numbers),
    );
    assert.deepEqual(words, [
      'no connection, retrying: 1 of 3 done, 1 failed',
      'throttled, retrying: 1 of 3 done, 1 failed',
      'service error, retrying: 1 of 3 done, 1 failed',
    ]);
  });

  it('offer new credentials, not a sign-in, where an account with keys was refused', () => {
    const problem: Problem = {
      kind: 'unauthorized',
      service: 'batch',
      account: 'a',
      code: 'AuthenticationFailed',
    };
    assert.deepEqual(sentenceOf(problem).remedies, ['updateCredentials', 'checkConnection']);
    const waits: Problem = { kind: 'runWaits', account: 'id', waitsFor: 'access', problem };
    assert.deepEqual(sentenceOf(waits).remedies, ['updateCredentials', 'checkConnection']);
    assert.deepEqual(sentenceOf({ kind: 'signedOut', account: 'a' }).remedies, ['signIn']);
    assert.deepEqual(remediesOf({ problem, accountId: 'id' }), ['updateCredentials', 'checkConnection']);
    assert.deepEqual(remediesOf({ problem: waits }), ['updateCredentials', 'checkConnection']);
    // The local account has keys of its own.
    assert.deepEqual(remediesOf({ problem, accountId: 'local' }), ['checkConnection']);
    assert.deepEqual(remediesOf({ problem: { ...waits, account: 'local' } }), ['checkConnection']);
  });

  it('say why an account refuses a key or a sign-in, where its code has several meanings', () => {
    const wordsFor = (service: 'batch' | 'storage', code: string, detail: string) =>
      sentenceOf({ kind: 'unauthorized', service, account: 'a', code, detail }).text;
    assert.match(
      wordsFor(
        'batch',
        'AuthenticationFailed',
        'Server failed to authenticate the request. · AuthenticationErrorDetail: The specified type of authentication SharedKey is not allowed for this account.',
      ),
      /doesn't allow access keys/,
    );
    const issuer = 'Issuer validation failed. Issuer did not match.';
    assert.match(wordsFor('storage', 'InvalidAuthenticationInfo', issuer), /another directory \(tenant\)/);
    const lifetime = 'Lifetime validation failed. The token is expired.';
    assert.match(wordsFor('storage', 'InvalidAuthenticationInfo', lifetime), /expired/);
    assert.match(wordsFor('storage', 'InvalidAuthenticationInfo', 'No.'), /malformed/);
  });

  it('tell which runs go on when their account is removed, and which can not', () => {
    assert.deepEqual(unendedWords({ live: 0, others: 0 }), []);
    assert.deepEqual(unendedWords({ live: 0, others: 1 }), [
      "1 run of this workspace hasn't ended. It can't continue until the account is connected again.",
    ]);
    const [live, others] = unendedWords({ live: 1, others: 2 });
    assert.match(live ?? '', /working on 1 run .* The run goes on .* cancel it before you remove/);
    assert.match(others ?? '', /^2 other runs of this workspace haven't ended\. They can't continue/);
    assert.match(unendedWords({ live: 1234, others: 0 }).join(), /1,234 runs .* The runs go on/);
  });

  it('advise to save a file again, or to fetch the outputs of a run again', async () => {
    const folder = '/v';
    const problems: Problem[] = [
      { kind: 'folderMissing', folder },
      { kind: 'folderReadOnly', folder },
      { kind: 'diskFull', folder },
      { kind: 'diskFull', folder, neededBytes: 2_000_000, freeBytes: 1_000_000 },
    ];
    for (const problem of problems) {
      const cause = new UserError(problem);
      assert.match(sentenceOf(problem).text, /, then fetch the outputs again\.$/);
      await assert.rejects(
        savingFile(() => Promise.reject(cause)),
        (error) =>
          error instanceof UserError &&
          error.cause === cause &&
          sentenceOf(error.problem).text ===
            sentenceOf(problem).text.replace('fetch the outputs again', 'save the file again'),
      );
    }
    const other = new UserError({ kind: 'fileMissing', file: 'clip.mp4' });
    await assert.rejects(
      savingFile(() => Promise.reject(other)),
      (error) => error === other,
    );
  });

  it('do not repeat what the code of a lost connection says', () => {
    const lost = { kind: 'unreachable', host: 'h', code: 'ECONNRESET', detail: 'socket hang up' } as const;
    assert.match(sentenceOf(lost).text, /\(ECONNRESET\)\. .* proxy settings\.$/);
    const refused = { ...lost, code: 'ECONNREFUSED', detail: 'connect ECONNREFUSED 10.0.0.1:8080' };
    assert.match(sentenceOf(refused).text, /proxy settings\. connect ECONNREFUSED 10\.0\.0\.1:8080$/);
  });

  it('name the state of a file for screen readers, which do not read its icon', () => {
    const problem = { kind: 'ended', file: 'clip.mp4' } as const;
    const damaged = { kind: 'outputMissing', file: 'clip.mp4' } as const;
    const word = (result: FileResult | undefined, live?: RunProgress) => iconWord({ id: '1' }, result, live);
    assert.equal(word({ id: '1' }), 'done');
    assert.equal(word({ id: '1', problem: damaged }), 'failed');
    assert.equal(word({ id: '1', problem }), undefined);
    assert.equal(word(undefined, progressOf({ running: new Map([['1', { seconds: 5 }]]) })), 'running');
    assert.equal(word(undefined, progressOf()), undefined);
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
    const begun = progressOf({ running: new Map([['0001', { seconds: 0.04, speed: 683 }]]) });
    assert.equal(fileWords(file, undefined, begun), '0%', 'no speed before a second of work');
    assert.equal(
      fileWords(file, undefined, progressOf({ settling: new Set(['0001']) })),
      'fetching the output',
    );
  });
});
