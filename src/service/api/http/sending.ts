import type { ReadStream } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Faults } from '../../scheduling/faults';
import { type BatchError, errorBody } from '../../wire/errors';
import { timestamp } from '../../wire/time';
import type { Reply } from './context';

/** A reply whose body is text. */
export type Rendered = Pick<Reply, 'status' | 'headers' | 'stream' | 'text'>;

/** Renders and sends replies and errors, in the JSON of OData that Batch sends. */
export class Sender {
  constructor(
    private readonly faults: Faults,
    /** The URL of the service. */
    private readonly url: () => string,
  ) {}

  /** Serialises a reply before any of it is sent, so that a failure is answered as an error. */
  render({ body, metadata, ...rest }: Reply): Rendered {
    if (body === undefined) return rest;
    const members = typeof body === 'string' ? body : JSON.stringify(body).slice(1, -1);
    const named = `"odata.metadata":${JSON.stringify(`${this.url()}/$metadata#${metadata}`)}`;
    return { ...rest, text: `{${named}${members === '' ? '' : `,${members}`}}` };
  }

  async send(request: IncomingMessage, response: ServerResponse, reply: Rendered): Promise<void> {
    const { status, text, headers = {}, stream } = reply;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.statusCode = status;
    if (stream) {
      await sendFile(response, stream, Number(headers['Content-Length'])).catch(() => response.destroy());
      return;
    }
    if (text === undefined) {
      if (status === 204) response.setHeader('Content-Length', '0');
      response.end();
      return;
    }
    if (!response.hasHeader('Content-Type'))
      response.setHeader('Content-Type', 'application/json;odata=minimalmetadata');
    const bodyCut = this.faults.takeBodyCut(`${request.method} ${request.url}`);
    if (bodyCut) sendHalf(response, text, bodyCut);
    else response.end(request.method === 'HEAD' ? undefined : text);
  }

  sendError(request: IncomingMessage, response: ServerResponse, error: BatchError, requestId: string): void {
    for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
    response.statusCode = error.status;
    if (request.method === 'HEAD' || error.status === 304) {
      response.end();
      return;
    }
    const text = JSON.stringify(errorBody(error, this.url(), requestId, timestamp()));
    response.setHeader('Content-Type', 'application/json;odata=minimalmetadata');
    response.setHeader('Content-Length', Buffer.byteLength(text));
    response.end(text);
  }
}

/** Announces the whole of a body and sends half of it. */
function sendHalf(response: ServerResponse, text: string, ending: 'close' | 'hang'): void {
  const bytes = Buffer.from(text);
  response.setHeader('Content-Length', bytes.length);
  response.write(bytes.subarray(0, bytes.length / 2), () => {
    if (ending === 'close') response.socket?.end();
  });
}

/** Throws when a file becomes shorter while it is sent: its reader would wait for the rest. */
async function sendFile(response: ServerResponse, file: ReadStream, length: number): Promise<void> {
  await pipeline(file, response, { end: false });
  if (file.bytesRead < length) throw new Error('The file has become shorter.');
  response.end();
}
