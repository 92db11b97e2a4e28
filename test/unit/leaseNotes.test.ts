import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isClaimedHere, LeaseNote } from '../../src/core/records/leaseNotes';
import { temporaryFolder } from '../media';

describe('The notes of leases', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  before(async () => {
    folder = await temporaryFolder('lease-notes');
  });
  after(() => folder.remove());

  /** Rewrites the only note of a run. */
  function change(runId: string, changed: object): void {
    const name = readdirSync(folder.path).find((file) => file.startsWith(runId)) ?? '';
    const note = JSON.parse(readFileSync(join(folder.path, name), 'utf8'));
    writeFileSync(join(folder.path, name), JSON.stringify({ ...note, ...changed }));
  }

  it('tell that a run is claimed while the process of its note lives', async () => {
    const note = new LeaseNote(folder.path, 'living', randomUUID());
    assert.equal(await isClaimedHere(folder.path, 'living'), false);
    await note.write();
    assert.equal(await isClaimedHere(folder.path, 'living'), true);
    assert.equal(await isClaimedHere(folder.path, 'other'), false);
    assert.deepEqual(await note.left(), []);
    await note.remove();
    assert.equal(await isClaimedHere(folder.path, 'living'), false);
  });

  it('give the leases of processes of this machine that have ended, and remove only these notes', async () => {
    const leaseId = randomUUID();
    const note = new LeaseNote(folder.path, 'ended', leaseId);
    await note.write();
    const { pid } = spawnSync(process.execPath, ['--version']);
    change('ended', { pid });
    assert.equal(await isClaimedHere(folder.path, 'ended'), false);
    assert.deepEqual(await note.left(), [leaseId]);
    change('ended', { host: 'another-machine.example' });
    assert.deepEqual(await note.left(), []);
    await note.removeLeft();
    assert.equal(readdirSync(folder.path).filter((name) => name.startsWith('ended')).length, 1);
  });

  it('of another process with the same id, or one that sleeps, count until they are not renewed for a minute', async () => {
    const leaseId = randomUUID();
    const note = new LeaseNote(folder.path, 'silent', leaseId);
    await note.write();
    const file = join(folder.path, `silent.${leaseId}.json`);
    const at = (seconds: number) => utimesSync(file, new Date(), new Date(Date.now() + seconds * 1000));
    for (const seconds of [-30, 30]) {
      at(seconds);
      assert.equal(await isClaimedHere(folder.path, 'silent'), true, `${seconds} s`);
    }
    for (const seconds of [-90, 3600]) {
      at(seconds);
      assert.equal(await isClaimedHere(folder.path, 'silent'), false, `${seconds} s`);
      assert.deepEqual(await note.left(), [leaseId]);
    }
    await note.touch();
    assert.equal(await isClaimedHere(folder.path, 'silent'), true);
    // As earlier versions wrote it, once.
    change('silent', { isTouched: undefined });
    at(-90);
    assert.equal(await isClaimedHere(folder.path, 'silent'), true);
    change('silent', { isTouched: true });
    at(-90);
    await note.removeLeft();
    assert.ok(!existsSync(file));
    await note.touch();
    assert.ok(!existsSync(file));
  });

  it('are read without a folder, and while one is incomplete', async () => {
    assert.equal(await isClaimedHere(join(folder.path, 'missing'), 'run'), false);
    writeFileSync(join(folder.path, 'partial.00000000-0000-4000-8000-000000000000.json'), '{"pi');
    assert.equal(await isClaimedHere(folder.path, 'partial'), false);
  });
});
