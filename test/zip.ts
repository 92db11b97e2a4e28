import { deflateRawSync } from 'node:zlib';

export interface ZipItem {
  readonly name: string;
  readonly text?: string | Buffer;
  /** Unix mode with the file type. */
  readonly mode?: number;
}

/** Creates a ZIP archive, also with names and modes that no program writes. */
export function zipOf(items: readonly ZipItem[]): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { name, text = '', mode = 0o100644 } of items) {
    const bytes = Buffer.from(text);
    const packed = deflateRawSync(bytes);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(20, 4);
    local.writeUInt16LE(8, 8);
    const sizes = (buffer: Buffer, at: number) => {
      buffer.writeUInt32LE(crc(bytes), at);
      buffer.writeUInt32LE(packed.length, at + 4);
      buffer.writeUInt32LE(bytes.length, at + 8);
      buffer.writeUInt16LE(Buffer.byteLength(name), at + 12);
    };
    sizes(local, 14);
    const header = Buffer.alloc(46);
    header.writeUInt32LE(0x02014b50, 0);
    header.writeUInt16LE((3 << 8) | 20, 4);
    header.writeUInt16LE(20, 6);
    header.writeUInt16LE(8, 10);
    sizes(header, 16);
    header.writeUInt32LE((mode << 16) >>> 0, 38);
    header.writeUInt32LE(offset, 42);
    parts.push(local, Buffer.from(name), packed);
    central.push(header, Buffer.from(name));
    offset += local.length + Buffer.byteLength(name) + packed.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(items.length, 8);
  end.writeUInt16LE(items.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, directory, end]);
}

/** CRC-32 as ZIP has it; early releases of Node 20 have none. */
function crc(bytes: Buffer): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return (value ^ 0xffffffff) >>> 0;
}
