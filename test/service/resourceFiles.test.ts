import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BatchServiceClient } from '@azure/batch';
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

const answers: Record<string, Answer[]> = {
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
        const name = (request.url ?? '').slice(1);
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
});
