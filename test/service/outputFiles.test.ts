import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { uploadOutputFiles } from '../../src/service/tasks/outputFiles';
import { TaskFailure } from '../../src/service/tasks/taskFailure';

describe('Output files', function () {
  this.timeout(60_000);
  let folder: string;
  let taskDir: string;
  let server: Server;
  /** Requests that get no answer, from the first one on. */
  let unanswered: number;
  let requests: string[];

  beforeEach(async () => {
    requests = [];
    folder = await mkdtemp(join(tmpdir(), 'output-files-'));
    taskDir = folder;
    await mkdir(join(taskDir, 'wd'));
    server = createServer((request, reply) => {
      const isAnswered = requests.push(new URL(request.url ?? '/', 'http://localhost').pathname) > unanswered;
      request.resume().once('end', () => {
        if (isAnswered) reply.writeHead(201, { etag: '0x1' }).end();
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true });
  });

  /** Uploads a file with some time for each silence. Resolves to the code of the failure, if any. */
  async function uploaded(size: number, silenceMs: number, filePattern = 'out'): Promise<string | undefined> {
    await writeFile(join(taskDir, 'wd', 'out'), Buffer.alloc(size));
    const containerUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/account/out`;
    const uploadOptions = { uploadCondition: 'tasksuccess' };
    const files = [{ filePattern, destination: { container: { containerUrl } }, uploadOptions }];
    const workingDir = join(taskDir, 'wd');
    const env = { AZ_BATCH_TASK_DIR: taskDir, AZ_BATCH_TASK_WORKING_DIR: workingDir };
    const place = { taskDir, workingDir, env };
    return uploadOutputFiles(files, place, 0, new AbortController().signal, silenceMs).then(
      () => undefined,
      (error: unknown) => {
        if (error instanceof TaskFailure) return error.info.code;
        throw error;
      },
    );
  }

  it('are sent again, small and in blocks, when a server falls silent', async () => {
    unanswered = 1;
    assert.equal(await uploaded(10, 3_000), undefined);
    assert.deepEqual(requests, ['/account/out/out', '/account/out/out']);
    requests = [];
    assert.equal(await uploaded(9 * 1024 * 1024, 3_000), undefined);
    // Two blocks and their list, and what got no answer.
    assert.ok(requests.length >= 4, String(requests.length));
  });

  it('are found in a folder whose name has the characters of patterns', async () => {
    unanswered = 0;
    taskDir = join(taskDir, 'job [1]*?', 'task');
    await mkdir(join(taskDir, 'wd'), { recursive: true });
    for (const pattern of ['o*', 'out', '$AZ_BATCH_TASK_DIR/wd/*', '${AZ_BATCH_TASK_WORKING_DIR}/out'])
      assert.equal(await uploaded(10, 10_000, pattern), undefined);
    assert.deepEqual(requests, Array(4).fill('/account/out/out'));
  });

  it('fail the task after some tries, instead of waiting for its time limit', async () => {
    unanswered = Number.POSITIVE_INFINITY;
    assert.equal(await uploaded(10, 200), 'FileUploadMiscError');
    assert.equal(requests.length, 4);
  });
});
