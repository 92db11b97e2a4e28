import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP relay that can cut, stall and refuse connections, as networks do. */
export class Relay {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #cutAfter: { direction: 'up' | 'down'; bytes: number } | undefined;
  #stallAfter: { direction: 'up' | 'down'; bytes: number } | undefined;
  #isSilent = false;
  #refuses = false;
  /** Connections made so far. */
  connections = 0;
  /** Cuts that have happened. */
  cuts = 0;
  /** Connections that have stalled. */
  stalls = 0;
  /** Bytes that have come through. */
  readonly bytes = { up: 0, down: 0 };

  private constructor(
    private readonly target: URL,
    /** Milliseconds that everything is on its way, in each direction. */
    private readonly delayMs: number,
  ) {
    this.#server = createServer((client) => this.#relay(client));
  }

  static async before(url: string, delayMs = 0): Promise<Relay> {
    const relay = new Relay(new URL(url), delayMs);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}${this.target.pathname}`;
  }

  /** Cuts every connection once so many more bytes have gone through. */
  cutAfter(direction: 'up' | 'down', bytes: number): void {
    this.#cutAfter = { direction, bytes };
  }

  /** Once so many more bytes have gone through, the connection that moves the next ones forwards nothing more; others do. */
  stallAfter(direction: 'up' | 'down', bytes: number): void {
    this.#stallAfter = { direction, bytes };
  }

  cutNow(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Forwards nothing from now on, without closing connections. */
  goSilent(): void {
    this.#isSilent = true;
  }

  /** Forwards new connections again. Earlier ones stay silent. */
  speakAgain(): void {
    this.#isSilent = false;
  }

  refuse(refuses: boolean): void {
    this.#refuses = refuses;
    if (refuses) this.cutNow();
  }

  async close(): Promise<void> {
    this.cutNow();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #relay(client: Socket): void {
    this.connections++;
    if (this.#refuses) {
      client.resetAndDestroy();
      return;
    }
    const service = connect(Number(this.target.port), this.target.hostname);
    let isDead = false;
    const pass = (from: Socket, to: Socket, direction: 'up' | 'down') => {
      this.#sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.on('data', (chunk) => {
        isDead ||= this.#isSilent || this.#isStalled(direction, chunk.length);
        if (isDead) return;
        this.bytes[direction] += chunk.length;
        if (this.#isCut(direction, chunk.length)) {
          this.cuts++;
          this.cutNow();
          return;
        }
        if (this.delayMs > 0) {
          setTimeout(() => to.write(chunk), this.delayMs);
          return;
        }
        if (to.write(chunk)) return;
        from.pause();
        to.once('drain', () => from.resume());
      });
    };
    pass(client, service, 'up');
    pass(service, client, 'down');
  }

  #isStalled(direction: 'up' | 'down', length: number): boolean {
    const stall = this.#stallAfter;
    if (stall?.direction !== direction) return false;
    stall.bytes -= length;
    if (stall.bytes > 0) return false;
    this.#stallAfter = undefined;
    this.stalls++;
    return true;
  }

  #isCut(direction: 'up' | 'down', length: number): boolean {
    const cut = this.#cutAfter;
    if (cut?.direction !== direction) return false;
    cut.bytes -= length;
    if (cut.bytes > 0) return false;
    this.#cutAfter = undefined;
    return true;
  }
}
