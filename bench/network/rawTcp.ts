// Moves bytes over plain TCP connections, the floor of a link: RAW='{"host":…,"port":…,"direction":"up",…}' node rawTcp.js
// prints {"seconds":…}.
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface RawOptions {
  readonly host: string;
  readonly port: number;
  readonly direction: 'up' | 'down';
  readonly bytes: number;
  readonly connections: number;
}

const { host, port, direction, bytes, connections }: RawOptions = JSON.parse(process.env.RAW ?? '{}');
const chunk = Buffer.alloc(64 * 1024);
let left = bytes;

/** Each connection takes what is next, so that a slow one delays nothing. */
async function upload(): Promise<void> {
  const socket = connect({ host, port, allowHalfOpen: true });
  await once(socket, 'connect');
  while (left > 0) {
    left -= chunk.length;
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  // The other side answers when it has everything.
  socket.end();
  await once(socket, 'data');
  socket.destroy();
}

async function download(): Promise<void> {
  const socket = connect({ host, port });
  socket.write('d');
  for await (const data of socket) {
    left -= data.length;
    if (left <= 0) break;
  }
  socket.destroy();
}

const start = performance.now();
const all = Array.from({ length: connections }, direction === 'up' ? upload : download);
const isOver = async () => {
  while (left > 0) await delay(5);
};
await (direction === 'up' ? Promise.all(all) : Promise.race([Promise.all(all), isOver()]));
console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000 }));
process.exit();
