import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentialsFromFile } from '../../src/service/credentials';

describe('The credentials of the local Batch service', () => {
  let folder: string;
  const path = () => join(folder, 'credentials.json');

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'credentials-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('are made once, with keys that only their owner can read', () => {
    const made = credentialsFromFile(folder);
    assert.equal(Buffer.from(made.batchKey, 'base64').length, 64);
    assert.notEqual(made.batchKey, made.storageKey);
    assert.equal(statSync(path()).mode & 0o077, 0);
    assert.deepEqual(credentialsFromFile(folder), made);
  });

  it('are refused if a name is not one, or a key is not Base64 and so would be empty or another', () => {
    const key = Buffer.alloc(64, 7).toString('base64');
    const valid = { batchName: 'local', batchKey: key, storageName: 'store', storageKey: key };
    writeFileSync(path(), JSON.stringify(valid));
    assert.deepEqual(credentialsFromFile(folder), valid);
    for (const wrong of [
      { batchKey: '!!' },
      { batchKey: '$' + '{KEY}' },
      { storageKey: '' },
      { storageKey: 5 },
      { batchKey: key.slice(1) },
      { batchName: 'a/b' },
      { storageName: '' },
    ]) {
      writeFileSync(path(), JSON.stringify({ ...valid, ...wrong }));
      assert.throws(() => credentialsFromFile(folder), /credentials\.json .* Base64\. Delete the file/);
    }
    for (const text of ['', '{', '[]', 'null']) {
      writeFileSync(path(), text);
      assert.throws(() => credentialsFromFile(folder), /does not hold valid credentials/);
    }
  });
});
