import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { isTransportStream } from '../../src/core/media/transportStream';

/** Packets with a sync byte in each, and other bytes between. */
function packets(length: number, count: number, before = 0): Uint8Array {
  const bytes = new Uint8Array(before + length * count).fill(0x11);
  for (let packet = 0; packet < count; packet++) bytes[before + packet * length] = 0x47;
  return bytes;
}

describe('A transport stream', () => {
  it('is known by its sync bytes, whatever the length of its packets and wherever it begins', () => {
    assert.ok(isTransportStream(packets(188, 20)));
    assert.ok(isTransportStream(packets(192, 20, 4)));
    assert.ok(isTransportStream(packets(204, 20)));
    assert.ok(isTransportStream(packets(188, 20, 100)));
    assert.ok(isTransportStream(packets(188, 5)));
  });

  it('is no TypeScript, no empty file and no other media', () => {
    assert.ok(!isTransportStream(readFileSync('src/extension.ts')));
    assert.ok(!isTransportStream(Buffer.from('G'.repeat(40))));
    assert.ok(!isTransportStream(new Uint8Array()));
    const damaged = packets(188, 20);
    damaged[188 * 3] = 0;
    assert.ok(!isTransportStream(damaged));
  });
});
