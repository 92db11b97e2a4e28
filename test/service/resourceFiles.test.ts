import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BatchServiceClient } from '@azure/batch';
import { fetchResourceFiles, type ResourceFile } from '../../src/service/tasks/resourceFiles';
import { TaskFailure } from '../../src/service/tasks/taskFailure';
import { eventually, machine, prepare, TestService } from './harness';

const content = Buffer.alloc(300_000, 'resource');

/** What a server does with a request for a path, the first, the second, … time; the last goes on. */
type Answer = (request: IncomingMessage, reply: ServerResponse) => void;

const whole: Answer = (_, reply) => reply.end(content);
const refuses: Answer = (request) => request.socket.resetAndDestroy();
const status =
  (code: number): Answer =>
  (_, reply) =>
    reply.writeHead(code).end();
const cutsMidway: Answer = (request, reply) => {
  reply.writeHead(200, { 'content-length': content.length });
  reply.write(content.subarray(0, 100_000), () => setTimeout(() => request.socket.resetAndDestroy(), 20));
};

const silent: Answer = () => undefined;
const fallsSilent: Answer = (_, reply) => {
  reply.writeHead(200, { 'content-length': content.length });
  reply.write(content.subarray(0, 100_000));
};
const listOfOne: Answer = (_, reply) => {
  const blob =
    '<Name>file</Name><Properties><Last-Modified>Fri, 27 Nov 2026 11:00:00 GMT</Last-Modified><Etag>0x1</Etag></Properties>';
  reply
    .writeHead(200, { 'content-type': 'application/xml' })
    .end(
      `<?xml version="1.0"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/" ContainerName="one"><Blobs><Blob>${blob}</Blob></Blobs><NextMarker/></EnumerationResults>`,
    );
};

const answers: Record<string, Answer[]> = {
  slow: [silent, fallsSilent, whole],
  silent: [silent],
  stalled: [fallsSilent],
  'account/unlisted/': [silent],
  'account/slow/': [silent, listOfOne],
  'account/slow/file': [fallsSilent, whole],
  'account/stalled/': [listOfOne],
  'account/stalled/file': [fallsSilent],
  passing: [refuses, cutsMidway, status(503), whole],
  gone: [status(404)],
  denied: [status(403)],
  odd: [status(409)],
  broken: [refuses],
  busy: [status(503)],
};

describe('Resource files from a server that misbehaves', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;
  let server: Server;
  const asked = new Map<string, number>();

  prepare(
    async () => {
      asked.clear();
      server = createServer((request, reply) => {
        // The list of a container counts as its folder.
        const name = (request.url ?? '').slice(1).replace(/\?.*comp=list.*/, '/');
        const times = asked.get(name) ?? 0;
        asked.set(name, times + 1);
        const turns = answers[name] ?? [];
        turns[Math.min(times, turns.length - 1)]?.(request, reply);
      });
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
      service = await TestService.start();
      client = service.client('2025-06-01');
      await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: 4 });
      await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
    },
    async () => {
      await service.close();
      server.close();
    },
  );

  async function outcome(name: string) {
    const { port } = server.address() as AddressInfo;
    await client.task.add('job', {
      id: name,
      commandLine: '/bin/sh -c "wc -c < file && cksum < file"',
      resourceFiles: [{ httpUrl: `http://127.0.0.1:${port}/${name}`, filePath: 'file' }],
    });
    const task = await eventually(
      () => client.task.get('job', name),
      ({ state }) => state === 'completed',
    );
    return { code: task.executionInfo?.failureInfo?.code, requests: asked.get(name) };
  }

  it('are asked for again when the connection is reset, cut midway or the server busy, and arrive whole', async () => {
    assert.deepEqual(await outcome('passing'), { code: undefined, requests: 4 });
    const stdout = await client.file.getFromTask('job', 'passing', 'stdout.txt');
    const chunks: Buffer[] = [];
    for await (const chunk of stdout.readableStreamBody ?? []) chunks.push(Buffer.from(chunk));
    assert.match(Buffer.concat(chunks).toString(), new RegExp(`^\\s*${content.length}\\b`));
  });

  it('fail the task with Batch’s own code, at once where asking again is no use', async () => {
    const { gone, denied, odd } = {
      gone: 'BlobNotFound',
      denied: 'BlobAccessDenied',
      odd: 'BlobDownloadMiscError',
    };
    assert.deepEqual(await outcome('gone'), { code: gone, requests: 1 });
    assert.deepEqual(await outcome('denied'), { code: denied, requests: 1 });
    assert.deepEqual(await outcome('odd'), { code: odd, requests: 1 });
  });

  it('fail the task after some tries where it goes on', async () => {
    const code = 'BlobDownloadMiscError';
    assert.deepEqual(await outcome('broken'), { code, requests: 4 });
    assert.deepEqual(await outcome('busy'), { code, requests: 4 });
  });

  describe('that falls silent', () => {
    let folder: string;

    beforeEach(async () => {
      asked.clear();
      folder = await mkdtemp(join(tmpdir(), 'resource-files-'));
    });
    afterEach(() => rm(folder, { recursive: true }));

    /** Resolves to the code of the failure, if any, of files that a server has 100 ms to go on with. */
    async function fetched(file: (url: string) => ResourceFile): Promise<string | undefined> {
      const { port } = server.address() as AddressInfo;
      const files = [file(`http://127.0.0.1:${port}`)];
      return fetchResourceFiles(files, folder, new AbortController().signal, undefined, 100).then(
        () => undefined,
        (error: unknown) => {
          if (error instanceof TaskFailure) return error.info.code;
          throw error;
        },
      );
    }
    const blob = (name: string) => fetched((url) => ({ httpUrl: `${url}/${name}`, filePath: 'file' }));
    const container = (name: string) => fetched((url) => ({ storageContainerUrl: `${url}/account/${name}` }));

    it('are asked for again, and arrive whole', async () => {
      assert.equal(await blob('slow'), undefined);
      assert.ok((await readFile(join(folder, 'file'))).equals(content));
      await rm(join(folder, 'file'));
      assert.equal(await container('slow'), undefined);
      assert.ok((await readFile(join(folder, 'file'))).equals(content));
    });

    it('fail the task after some tries, instead of waiting for its time limit', async () => {
      assert.equal(await blob('silent'), 'BlobDownloadTimedOut');
      assert.equal(await blob('stalled'), 'BlobDownloadTimedOut');
      assert.equal(await container('unlisted'), 'ResourceContainerListMiscError');
      assert.equal(await container('stalled'), 'BlobDownloadTimedOut');
      const counts = ['silent', 'stalled', 'account/unlisted/', 'account/stalled/file'];
      assert.deepEqual(
        counts.map((name) => asked.get(name)),
        [4, 4, 4, 4],
      );
    });
  });
});
