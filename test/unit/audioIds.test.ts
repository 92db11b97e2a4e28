import assert from 'node:assert/strict';
import { audioIdsChange } from '../../src/core/media/cut/audioIds';

const packetBytes = 188;
const tablesPid = 0x1000;
/** Packets from one pair of tables to the next. */
const interval = 20;

/** A track of a program's table: its type, packet id and descriptors. */
type Entry = readonly [type: number, pid: number, descriptors?: readonly number[]];

const video: Entry = [0x1b, 256];
const mp2 = (pid: number, descriptors?: readonly number[]): Entry => [0x03, pid, descriptors];
const aac = (pid: number): Entry => [0x0f, pid];
const ac3 = (pid: number): Entry => [0x06, pid, [0x6a, 1, 0]];
const subtitle = (pid: number): Entry => [0x06, pid, [0x59, 2, 0, 0]];
const component = (tag: number) => [0x52, 1, tag];

function packet(pid: number, payload: readonly number[]): Buffer {
  const bytes = Buffer.alloc(packetBytes, 0xff);
  bytes.set([0x47, 0x40 | (pid >> 8), pid & 0xff, 0x10, ...payload]);
  return bytes;
}

/** A section with its length, a program number and zeros for its checksum. */
function section(table: number, body: readonly number[]): number[] {
  return [0, table, 0xb0, body.length + 9, 0, 1, 0xc1, 0, 0, ...body, 0, 0, 0, 0];
}

function tables(entries: readonly Entry[]): Buffer {
  const streams = entries.flatMap(([type, pid, descriptors = []]) => [
    ...[type, 0xe0 | (pid >> 8), pid & 0xff, 0xf0, descriptors.length],
    ...descriptors,
  ]);
  return Buffer.concat([
    packet(0, section(0, [0, 1, 0xe0 | (tablesPid >> 8), tablesPid & 0xff])),
    packet(tablesPid, section(2, [0xe1, 0, 0xf0, 0, ...streams])),
  ]);
}

let reads = 0;

/** A transport stream whose tables change: the tracks of each part, and its packets if they are not as many as usual. */
function stream(...parts: readonly (readonly Entry[] | { entries: readonly Entry[]; packets: number })[]) {
  const empty = packet(0x1fff, []);
  const bytes = Buffer.concat(
    parts.flatMap((part) => {
      const { entries, packets } = 'packets' in part ? part : { entries: part, packets: 600 };
      const repeated = Buffer.concat([tables(entries), ...Array(interval - 2).fill(empty)]);
      return Array<Buffer>(Math.ceil(packets / interval)).fill(repeated);
    }),
  );
  reads = 0;
  const read = async (position: number, length: number) => {
    reads++;
    return bytes.subarray(position, position + length);
  };
  return audioIdsChange({ read }, bytes.length);
}

describe('The audio of a transport stream', () => {
  it('goes on with other packet ids if all its tracks get other ones', async () => {
    assert.ok(await stream([video, mp2(257)], [video, mp2(600)]));
    assert.ok(await stream([video, mp2(257), aac(258)], [video, mp2(600), aac(601)]));
    assert.ok(await stream([video, mp2(257), subtitle(258)], [video, mp2(600), subtitle(601)]));
    assert.ok(await stream([video, ac3(257)], [video, ac3(600), subtitle(601)]));
    assert.ok(await stream([video, mp2(257)], [video, mp2(600)], [video, mp2(257)]));
  });

  it('does not go on while its packet ids stay', async () => {
    assert.ok(!(await stream([video, mp2(257)])));
    assert.ok(!(await stream([video, mp2(257)], [video, mp2(257), mp2(258)])));
    assert.ok(!(await stream([video, mp2(257), mp2(258)], [video, mp2(258), mp2(257)])));
    assert.ok(!(await stream([video, mp2(257), mp2(258)], [video, mp2(258)])));
  });

  it('does not go on in a track that is listed before it', async () => {
    assert.ok(!(await stream([video, mp2(257)], [video, mp2(258), mp2(257)])));
    assert.ok(!(await stream([video, mp2(257)], [mp2(258), video, mp2(257)])));
    const later = [video, mp2(600)];
    assert.ok(!(await stream([video, mp2(257)], [video, mp2(258), mp2(257)], later)));
    assert.ok(!(await stream([video, mp2(257)], later, [video, mp2(258), mp2(600)])));
  });

  it('does not go on in a track of another kind or codec', async () => {
    assert.ok(!(await stream([video, mp2(257)], [video, subtitle(600), mp2(601)])));
    assert.ok(!(await stream([video, subtitle(258), mp2(257)], [video, mp2(600), subtitle(601)])));
    assert.ok(!(await stream([video, ac3(257)], [video, subtitle(600), ac3(601)])));
    assert.ok(!(await stream([video, mp2(257)], [video, aac(600)])));
  });

  it('does not go on in one of more or fewer tracks, of which any can be the old one', async () => {
    assert.ok(!(await stream([video, mp2(257)], [video, mp2(600), mp2(601)])));
    assert.ok(!(await stream([video, mp2(257), mp2(258)], [video, mp2(600)])));
  });

  it('does not go on in packets that are told apart again later', async () => {
    assert.ok(!(await stream([video, mp2(257)], [video, mp2(600)], [video, mp2(257), mp2(600)])));
  });

  it('goes on by its component tag, whatever its position', async () => {
    const [one, other] = [component(1), component(2)];
    assert.ok(
      await stream([video, mp2(257, one), aac(258)], [video, aac(258), mp2(600, one)]),
      'at another position',
    );
    assert.ok(!(await stream([video, mp2(257, one)], [video, mp2(600, other)])), 'with another tag');
  });

  it('does not go on if it is told apart for some seconds of a long recording', async () => {
    const long = (id: number) => ({ entries: [video, mp2(id)], packets: 60_000 });
    assert.ok(await stream(long(257), long(600)));
    const between = { entries: [video, mp2(600), mp2(257)], packets: 2_000 };
    assert.ok(!(await stream(long(257), between, long(600))));
  });

  it('is left as it is where it changes all the time, after a limited number of reads', async () => {
    const parts = Array.from({ length: 200 }, (_, part) => ({
      entries: [video, mp2(257 + part)],
      packets: 800,
    }));
    assert.ok(!(await stream(...parts)));
    assert.ok(reads < 1000, `${reads} reads`);
  });

  it('is left as it is where the video gets another packet id', async () => {
    assert.ok(!(await stream([video, mp2(257)], [[0x1b, 512], mp2(600)])));
  });
});
