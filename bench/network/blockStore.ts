// A small store of block blobs for benchmarks: it counts the bytes that it receives and forgets them, and sends a pattern.
// STORE='{"host":"10.77.0.2"}' node blockStore.js prints {"port":…,"rawPort":…} and runs until its input ends.
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createRawServer, type Socket } from 'node:net';
import { patternBytes, patternFrom } from './pattern';

interface Blob {
  readonly size: number;
  readonly etag: string;
  readonly modified: string;
  /** Base64. */
  readonly md5?: string;
  readonly metadata: Record<string, string>;
}

interface Block {
  readonly id: string;
  readonly size: number;
}

/** Names of blobs, `container/blob`. */
const blobs = new Map<string, Blob>();
const uncommitted = new Map<string, Map<string, Block>>();

const writeBytes = 256 * 1024;

/** Blocks that were received, and how many of them were there already. */
const received = { blocks: 0, repeated: 0 };

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '', 'http://store');
  const [, , container = '', ...rest] = url.pathname.split('/');
  const blob = rest.length > 0 ? `${container}/${decodeURIComponent(rest.join('/'))}` : undefined;
  const operation = url.searchParams.get('comp') ?? '';
  response.setHeader('x-ms-request-id', randomUUID());
  response.setHeader('x-ms-version', '2022-11-02');
  const end = (status: number, headers: Record<string, string> = {}, body = '') => {
    response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  if (blob === undefined) {
    request.resume();
    if (operation === 'stats') return end(200, {}, JSON.stringify(received));
    if (operation === 'list') return end(200, { 'content-type': 'application/xml' }, listOf(container));
    return end(request.method === 'PUT' ? 201 : request.method === 'DELETE' ? 202 : 200, versionHeaders());
  }
  if (request.method === 'PUT' && operation === 'block') {
    const size = await count(request);
    const id = url.searchParams.get('blockid') ?? '';
    const blocks = uncommitted.get(blob) ?? new Map<string, Block>();
    received.blocks++;
    if (blocks.has(id)) received.repeated++;
    uncommitted.set(blob, blocks.set(id, { id, size }));
    return end(201);
  }
  if (request.method === 'PUT') {
    const size = operation === 'blocklist' ? await committed(request, blob) : await count(request);
    const made = { ...versionOf(request), size };
    blobs.set(blob, made);
    return end(201, { etag: made.etag, 'last-modified': made.modified });
  }
  request.resume();
  if (request.method === 'GET' && operation === 'blocklist') {
    const blocks = [...(uncommitted.get(blob)?.values() ?? [])];
    if (blocks.length === 0 && !blobs.has(blob)) return end(404, { 'x-ms-error-code': 'BlobNotFound' });
    return end(200, { 'content-type': 'application/xml' }, blockListOf(blocks));
  }
  const there = blobs.get(blob);
  if (there === undefined) return end(404, { 'x-ms-error-code': 'BlobNotFound' });
  if (request.method === 'DELETE') {
    blobs.delete(blob);
    return end(202);
  }
  const wanted = request.headers['if-match'];
  if (wanted !== undefined && wanted !== '*' && wanted !== there.etag)
    return end(412, { 'x-ms-error-code': 'ConditionNotMet' });
  return send(request, response, there);
}

async function count(request: IncomingMessage): Promise<number> {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(request, 'end');
  return bytes;
}

async function committed(request: IncomingMessage, blob: string): Promise<number> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const blocks = uncommitted.get(blob) ?? new Map<string, Block>();
  let size = 0;
  for (const [, id = ''] of Buffer.concat(chunks)
    .toString()
    .matchAll(/<(?:Latest|Uncommitted)>([^<]+)</g)) {
    const block = blocks.get(id);
    if (block === undefined) throw new Error(`unknown block ${id}`);
    size += block.size;
  }
  uncommitted.delete(blob);
  return size;
}

function versionHeaders(): Record<string, string> {
  return { etag: `"${randomUUID()}"`, 'last-modified': new Date().toUTCString() };
}

function versionOf({ headers }: IncomingMessage): Omit<Blob, 'size'> {
  const metadata = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith('x-ms-meta-') ? [[name, String(value)]] : [],
  );
  return {
    etag: `"${randomUUID()}"`,
    modified: new Date().toUTCString(),
    md5: headers['x-ms-blob-content-md5']?.toString() ?? headers['content-md5']?.toString(),
    metadata: Object.fromEntries(metadata),
  };
}

async function send(request: IncomingMessage, response: ServerResponse, blob: Blob): Promise<void> {
  const { size, etag, modified, md5, metadata } = blob;
  const range = /bytes=(\d+)-(\d*)/.exec(
    String(request.headers['x-ms-range'] ?? request.headers.range ?? ''),
  );
  const from = Number(range?.[1] ?? 0);
  const to = Math.min(size, range?.[2] ? Number(range[2]) + 1 : size);
  const headers: Record<string, string | number> = {
    ...metadata,
    etag,
    'last-modified': modified,
    'x-ms-blob-type': 'BlockBlob',
    'x-ms-creation-time': modified,
    'accept-ranges': 'bytes',
    'content-type': 'application/octet-stream',
  };
  if (range && from >= size) {
    response.writeHead(416, { ...headers, 'content-length': 0, 'x-ms-error-code': 'InvalidRange' });
    response.end();
    return;
  }
  if (range) headers['content-range'] = `bytes ${from}-${to - 1}/${size}`;
  if (md5) headers[range ? 'x-ms-blob-content-md5' : 'content-md5'] = md5;
  if (request.headers['x-ms-range-get-content-md5'] === 'true')
    headers['content-md5'] = createHash('md5')
      .update(patternFrom(from, to - from))
      .digest('base64');
  response.writeHead(range ? 206 : 200, { ...headers, 'content-length': to - from });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  for (let position = from; position < to && !response.destroyed; position += writeBytes) {
    if (!response.write(patternFrom(position, Math.min(writeBytes, to - position)))) await drained(response);
  }
  response.end();
}

async function drained(stream: ServerResponse | Socket): Promise<void> {
  if (stream.destroyed) return;
  await new Promise<void>((resolve) => {
    const go = () => {
      stream.off('drain', go).off('close', go);
      resolve();
    };
    stream.once('drain', go).once('close', go);
  });
}

function listOf(container: string): string {
  const items = [...blobs].flatMap(([key, { size, etag, modified, md5 }]) => {
    if (!key.startsWith(`${container}/`)) return [];
    const hash = md5 ? `<Content-MD5>${md5}</Content-MD5>` : '<Content-MD5/>';
    return `<Blob><Name>${key.slice(container.length + 1)}</Name><Properties><Creation-Time>${modified}</Creation-Time><Last-Modified>${modified}</Last-Modified><Etag>${etag.slice(1, -1)}</Etag><Content-Length>${size}</Content-Length><Content-Type>application/octet-stream</Content-Type>${hash}<BlobType>BlockBlob</BlobType><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState></Properties></Blob>`;
  });
  return `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://store/" ContainerName="${container}"><Blobs>${items.join('')}</Blobs><NextMarker/></EnumerationResults>`;
}

function blockListOf(blocks: readonly Block[]): string {
  const items = blocks.map(({ id, size }) => `<Block><Name>${id}</Name><Size>${size}</Size></Block>`);
  return `<?xml version="1.0" encoding="utf-8"?><BlockList><CommittedBlocks/><UncommittedBlocks>${items.join('')}</UncommittedBlocks></BlockList>`;
}

/** Sends without end to a connection that begins with `d`; from any other it takes everything. */
async function raw(socket: Socket): Promise<void> {
  socket.on('error', () => socket.destroy());
  const [first] = await once(socket, 'data');
  if (String(first).startsWith('d')) {
    const chunk = patternFrom(0, Math.min(writeBytes, patternBytes));
    while (!socket.destroyed) if (!socket.write(chunk)) await drained(socket);
  } else {
    let bytes = first.length;
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    socket.on('end', () => socket.end(String(bytes)));
  }
}

const { host = '127.0.0.1' }: { host?: string } = JSON.parse(process.env.STORE ?? '{}');
const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    // A client that cancels aborts its requests.
    if (!request.destroyed) console.error(error);
    response.destroy();
  });
});
// As Azure, it keeps the connections of clients that pause.
server.keepAliveTimeout = 60_000;
server.requestTimeout = 0;
const rawServer = createRawServer({ allowHalfOpen: true }, (socket) => {
  raw(socket).catch(() => socket.destroy());
});
await Promise.all([once(server.listen(0, host), 'listening'), once(rawServer.listen(0, host), 'listening')]);
const portOf = (address: unknown) => (address as AddressInfo).port;
console.log(JSON.stringify({ port: portOf(server.address()), rawPort: portOf(rawServer.address()) }));
process.stdin.resume().once('end', () => process.exit());
