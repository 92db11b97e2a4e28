import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { EventEmitter, type LogOutputChannel, type SecretStorage, window } from 'vscode';
import { UserError } from '../../src/core/errors';
import { LocalService } from '../../src/vscode/accounts/localService';
import { Secrets } from '../../src/vscode/secrets';
import { sentenceOf } from '../../src/vscode/words/sentences';

describe('The service of the local account', () => {
  const folder = mkdtempSync(join(tmpdir(), 'local-service-'));
  const empty: SecretStorage = {
    ...{ get: async () => undefined, store: async () => undefined, delete: async () => undefined },
    ...{ keys: async () => [], onDidChange: new EventEmitter<never>().event },
  };
  let log: LogOutputChannel;
  let service: LocalService;

  before(() => {
    log = window.createOutputChannel('Local service', { log: true });
    service = new LocalService(resolve('dist/service.js'), folder, new Secrets(empty), log);
  });

  after(() => {
    log.dispose();
    rmSync(folder, { recursive: true });
  });

  it('does not run if its file is not whole, as after a power failure', async () => {
    for (const text of ['', '{"ready":true,"batchUrl":"http://127', 'null', '{}']) {
      writeFileSync(join(folder, 'service.json'), text);
      assert.equal(await service.isRunning(), false, text);
    }
  });

  it('says why it did not start: the whole reason, not the last line of a log', async () => {
    // The service requires a valid name, the extension doesn't read it.
    const path = join(folder, 'credentials.json');
    const keys = { batchKey: 'a2V5', storageName: 'localstorage', storageKey: 'a2V5' };
    writeFileSync(path, JSON.stringify({ ...keys, batchName: 'not a name' }));
    const error = await service.connect(service.account).catch((failure: unknown) => failure);
    assert.ok(error instanceof UserError && error.problem.kind === 'localServiceFailed', String(error));
    assert.ok(error.problem.detail.startsWith(`${path} does not hold valid credentials`), error.message);
    assert.equal(error.problem.canReset, false);
  });

  it('can be reset where its data may be damaged', () => {
    const problem = { kind: 'localServiceFailed', detail: 'It ended.' } as const;
    assert.deepEqual(sentenceOf({ ...problem, canReset: true }), {
      text: "Couldn't start the local Batch service: It ended. If its data is damaged, reset the local Batch account, which deletes the data.",
      remedies: ['resetLocalAccount', 'showServiceLog'],
    });
    assert.deepEqual(sentenceOf(problem).remedies, ['showServiceLog']);
  });
});
