import { once } from 'node:events';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { Agent, type OutgoingHttpHeaders, request } from 'node:http';
import { join } from 'node:path';
import pLimit, { type LimitFunction } from 'p-limit';
import { blockBytes } from '../src/core/transfers/buffers';

/**
 * Plain requests for the same blocks with the same parallelism. Nothing is signed (the URL has a SAS), hashed, verified,
 * flushed to disk or retried, so no real client can be faster.
 */
export class Floor {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #limit: LimitFunction;
  readonly #base: string;
  readonly #sas: string;

  constructor(sasUrl: string, parallel: number) {
    const [base = '', sas = ''] = sasUrl.split('?');
    this.#base = base;
    this.#sas = sas;
    this.#limit = pLimit(parallel);
  }

  /** Uploads the files of a folder; `onUploaded` is called after each with its name. */
  async upload(folder: string, onUploaded: (blob: string) => void = () => undefined): Promise<void> {
    await each(await readdir(folder), async (blob) => {
      const file = await open(join(folder, blob));
      const { size } = await file.stat();
      if (size <= blockBytes) await this.#limit(() => this.#putBlob(blob, file, size));
      else await this.#putBlocks(blob, file, size);
      await file.close();
      onUploaded(blob);
    });
  }

  async download(folder: string, blobs: readonly { name: string; size: number }[]): Promise<void> {
    await each(blobs, async ({ name, size }) => {
      const file = await open(join(folder, name), 'w');
      await Promise.all(
        blocksOf(size).map(({ position, length }) =>
          this.#limit(async () => {
            const headers = { 'x-ms-range': `bytes=${position}-${position + length - 1}` };
            await write(file, position, await this.#send('GET', name, '', headers));
          }),
        ),
      );
      await file.close();
    });
  }

  async #putBlob(blob: string, file: FileHandle, size: number): Promise<void> {
    await this.#send('PUT', blob, '', { 'x-ms-blob-type': 'BlockBlob' }, await read(file, 0, size));
  }

  async #putBlocks(blob: string, file: FileHandle, size: number): Promise<void> {
    const ids = await Promise.all(
      blocksOf(size).map(({ position, length }, index) =>
        this.#limit(async () => {
          const id = Buffer.from(String(index).padStart(6, '0')).toString('base64');
          const query = `comp=block&blockid=${encodeURIComponent(id)}&`;
          await this.#send('PUT', blob, query, {}, await read(file, position, length));
          return id;
        }),
      ),
    );
    const list = ids.map((id) => `<Latest>${id}</Latest>`).join('');
    const body = Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${list}</BlockList>`);
    await this.#send('PUT', blob, 'comp=blocklist&', {}, body);
  }

  async #send(
    method: string,
    blob: string,
    query: string,
    headers: OutgoingHttpHeaders,
    body?: Buffer,
  ): Promise<Buffer[]> {
    const length = body ? { 'content-length': body.length } : {};
    const sent = request(`${this.#base}/${blob}?${query}${this.#sas}`, {
      agent: this.#agent,
      method,
      headers: { ...headers, ...length },
    });
    sent.end(body);
    const [answer] = await once(sent, 'response');
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk);
    if (answer.statusCode >= 300) throw new Error(`${answer.statusCode} ${Buffer.concat(chunks)}`);
    return chunks;
  }
}

async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const filesAtOnce = pLimit(16);
  await Promise.all(items.map((item) => filesAtOnce(() => work(item))));
}

/** 64 KiB each; larger writes are slower (docs/performance.md). */
const chunksAtOnce = 4;

async function write(file: FileHandle, position: number, data: readonly Buffer[]): Promise<void> {
  let at = position;
  for (let next = 0; next < data.length; next += chunksAtOnce) {
    at += (await file.writev(data.slice(next, next + chunksAtOnce), at)).bytesWritten;
  }
}

async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  return (await file.read(Buffer.allocUnsafe(length), 0, length, position)).buffer;
}

function blocksOf(size: number): { position: number; length: number }[] {
  return Array.from({ length: Math.ceil(size / blockBytes) }, (_, index) => {
    const position = index * blockBytes;
    return { position, length: Math.min(blockBytes, size - position) };
  });
}
