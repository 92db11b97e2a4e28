import assert from 'node:assert/strict';
import fc from 'fast-check';
import { StagedBlocks } from '../../src/core/transfers/stagedBlocks';

const KiB = 1024;
const source = ['size', 'modified'];
const noData = new Uint8Array(0);

/** Stages a blob in blocks of these lengths, of which the last one repeats. Returns positions, lengths, and ids. */
function stage(staged: StagedBlocks, size: number, lengths: readonly number[], content = noData) {
  const blocks: { position: number; name: string; size: number; isStaged: boolean }[] = [];
  for (let position = 0; position < size; ) {
    const wanted = lengths[Math.min(blocks.length, lengths.length - 1)] ?? 64 * KiB;
    const length = Math.min(staged.lengthAt(position, wanted), size - position);
    const { id: name, isStaged } = staged.add(position, content);
    blocks.push({ position, name, size: length, isStaged });
    position += length;
  }
  return blocks;
}

const lengths = fc.array(fc.constantFrom(5120, 2560, 1280, 640, 320), { minLength: 1, maxLength: 60 });

describe('The blocks of an upload', () => {
  it('that are staged are never sent again, whatever the length of later blocks', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 80 * 1024 * KiB }),
        lengths,
        lengths,
        fc.infiniteStream(fc.boolean()),
        (size, first, second, arrived) => {
          const before = stage(
            new StagedBlocks(size, source, []),
            size,
            first.map((each) => each * KiB),
          );
          const there = before.filter(() => arrived.next().value);
          const resumed = new StagedBlocks(size, source, there);
          const after = stage(
            resumed,
            size,
            second.map((each) => each * KiB),
          );
          const reused = after.filter(({ isStaged }) => isStaged).map(({ name }) => name);
          assert.deepEqual(
            reused,
            there.map(({ name }) => name),
          );
          assert.equal(
            after.reduce((sum, block) => sum + block.size, 0),
            size,
          );
          assert.deepEqual(
            resumed.ids(),
            after.map(({ name }) => name),
          );
          assert.equal(new Set(resumed.ids().map(({ length }) => length)).size, 1);
        },
      ),
    );
  });

  it('of other content or of another version of the source are sent again', () => {
    const size = 20 * 1024 * KiB;
    const there = stage(new StagedBlocks(size, source, []), size, [5120 * KiB]);
    const other = stage(new StagedBlocks(size, source, there), size, [5120 * KiB], new Uint8Array(1));
    assert.ok(other.every(({ isStaged }) => !isStaged));
    const later = stage(new StagedBlocks(size, ['size', 'later'], there), size, [5120 * KiB]);
    assert.ok(later.every(({ isStaged }) => !isStaged));
  });

  it('of other clients are ignored', () => {
    const names = ['000001', 'AAAA', Buffer.from('zzzzzz'.padEnd(38, '0')).toString('base64'), 'é'];
    const there = names.map((name) => ({ name, size: 1 }));
    const size = 1024 * KiB;
    const blocks = stage(new StagedBlocks(size, source, there), size, [320 * KiB]);
    assert.deepEqual(
      blocks.map((block) => block.size / KiB),
      [320, 320, 320, 64],
    );
  });

  it('are no more than Storage allows, for the largest files as well', () => {
    for (const size of [15 * 2 ** 30, 20 * 2 ** 30 + 1, 4 * 2 ** 40]) {
      const blocks = stage(new StagedBlocks(size, source, []), size, [320 * KiB]);
      assert.ok(blocks.length <= 50_000, `${blocks.length} blocks of ${size} bytes`);
    }
  });
});
