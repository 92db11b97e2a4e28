import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** https://learn.microsoft.com/azure/storage/blobs/scalability-targets */
const maxBlocks = 50_000;

/** Blocks begin at multiples of this, so that a position of six characters reaches beyond the largest blob. */
const alignment = 64 * 1024;

/** Blocks that a resumed upload may need in addition, where it fills the gaps of an earlier attempt with shorter ones. */
const spareBlocks = 10_000;

/**
 * The blocks of a blob in which an upload is staged. The id of a block contains its position, the version of its source,
 * and the CRC-32 of its content, so that a block of an earlier attempt is reused only if it is the same. Blocks of one blob
 * differ in length; their ids don't, as Storage demands.
 */
export class StagedBlocks {
  readonly #source: string;
  readonly #minBytes: number;
  /** Length of the blocks that an earlier attempt has staged, by their position. */
  readonly #lengths = new Map<number, number>();
  /** In ascending order. */
  readonly #positions: number[];
  readonly #there: ReadonlySet<string>;
  readonly #ids = new Map<number, string>();

  /** `size` is the size of the blob, `source` identifies the version of its source. */
  constructor(size: number, source: unknown, there: readonly { name: string; size: number }[]) {
    this.#source = createHash('sha256').update(JSON.stringify(source)).digest('hex').slice(0, 24);
    this.#minBytes = aligned(size / (maxBlocks - spareBlocks));
    this.#there = new Set(there.map(({ name }) => name));
    for (const { name, size: length } of there) {
      const id = Buffer.from(name, 'base64').toString();
      const position = Number.parseInt(id.slice(0, 6), 36) * alignment;
      if (!id.endsWith(this.#source) || !(position + length <= size) || length === 0) continue;
      this.#lengths.set(position, Math.max(length, this.#lengths.get(position) ?? 0));
    }
    this.#positions = [...this.#lengths.keys()].sort((one, other) => one - other);
  }

  /** Length of the block at a position, at best `bytes`: that of a block that is staged, or of the gap before one. */
  lengthAt(position: number, bytes: number): number {
    const known = this.#lengths.get(position);
    if (known !== undefined) return known;
    while (this.#positions.length > 0 && (this.#positions[0] ?? 0) <= position) this.#positions.shift();
    const next = this.#positions[0] ?? Number.POSITIVE_INFINITY;
    return Math.min(Math.max(aligned(bytes), this.#minBytes), next - position);
  }

  /** Adds a block with its content. It need not be sent if it is staged. */
  add(position: number, data: Uint8Array): { id: string; isStaged: boolean } {
    const start = (position / alignment).toString(36).padStart(6, '0');
    const check = crc32(data).toString(16).padStart(8, '0');
    const id = Buffer.from(`${start}${check}${this.#source}`).toString('base64');
    this.#ids.set(position, id);
    return { id, isStaged: this.#there.has(id) };
  }

  /** The ids of all blocks in the order of their positions. */
  ids(): string[] {
    return [...this.#ids].sort(([one], [other]) => one - other).map(([, id]) => id);
  }
}

function aligned(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / alignment)) * alignment;
}
