import { createServer, request as forward, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Counts {
  readonly requests: number;
  /** Request and response bodies. */
  readonly bytes: number;
  readonly maxInFlight: number;
}

/** A proxy in front of a local service that counts requests and bytes. */
export class Counter {
  #counts = { requests: 0, bytes: 0, maxInFlight: 0 };
  #inFlight = 0;

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async before(target: string): Promise<Counter> {
    const { hostname, port } = new URL(target);
    let counter: Counter;
    const server = createServer((request, response) => {
      counter.#began();
      const { method, url: path, headers } = request;
      const onward = forward({ hostname, port, method, path, headers }, (reply) => {
        const chunks: Buffer[] = [];
        reply.on('data', (chunk) => chunks.push(chunk));
        reply.on('end', () => {
          const body = Buffer.concat(chunks);
          counter.#passed(body.length);
          counter.#ended();
          // Links to further pages also go through the proxy.
          const { 'content-length': _, 'transfer-encoding': __, ...headers } = reply.headers;
          response.writeHead(reply.statusCode ?? 502, headers);
          response.end(body.toString('latin1').replaceAll(target, counter.url), 'latin1');
        });
      });
      request.on('data', (chunk) => counter.#passed(chunk.length));
      request.pipe(onward);
      onward.on('error', () => response.destroy());
    });
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    counter = new Counter(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    return counter;
  }

  /** Returns the counts since the last call. */
  take(): Counts {
    const counts = this.#counts;
    this.#counts = { requests: 0, bytes: 0, maxInFlight: this.#inFlight };
    return counts;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  #began(): void {
    this.#inFlight++;
    this.#counts.requests++;
    this.#counts.maxInFlight = Math.max(this.#counts.maxInFlight, this.#inFlight);
  }

  #passed(bytes: number): void {
    this.#counts.bytes += bytes;
  }

  #ended(): void {
    this.#inFlight--;
  }
}
