import type { Bytes } from '../../files/bytes';

/** An element of a Matroska file. https://www.rfc-editor.org/rfc/rfc8794 */
export interface Element {
  readonly id: number;
  readonly at: number;
  /** Where its content begins and ends; the end of the file for an unknown size. */
  readonly start: number;
  readonly end: number;
  readonly hasUnknownSize: boolean;
}

/** Longest header: an ID of 4 bytes and a size of 8. */
const maxHeaderBytes = 12;

/** Reads the header of the element at a position. Undefined at the end, and for bytes that are no element. */
export async function elementAt(file: Bytes, at: number, limit: number): Promise<Element | undefined> {
  if (at >= limit) return undefined;
  const bytes = await file.read(at, Math.min(maxHeaderBytes, limit - at));
  const idLength = Math.clz32(bytes[0] ?? 0) - 23;
  if (idLength > 4) return undefined;
  const id = numberAt(bytes, 0, idLength);
  const size = vintAt(bytes, idLength);
  if (size === undefined) return undefined;
  const start = at + idLength + size.length;
  const end = size.isUnknown ? limit : start + size.value;
  const hasUnknownSize = size.isUnknown;
  return end > limit ? undefined : { id, at, start, end, hasUnknownSize };
}

/** The elements inside a range, up to the first that is damaged. */
export async function* elements(file: Bytes, from: number, to: number): AsyncGenerator<Element> {
  for (let at = from; ; ) {
    const element = await elementAt(file, at, to);
    if (element === undefined) return;
    yield element;
    at = element.end;
  }
}

/** A big-endian number of up to 8 bytes. */
export function numberAt(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let index = at; index < at + length; index++) value = value * 256 + (bytes[index] ?? 0);
  return value;
}

/** A variable-length integer at a position, with its length; undefined if it's damaged. All ones stand for unknown. */
export function vintAt(
  bytes: Uint8Array,
  at: number,
): { value: number; length: number; isUnknown: boolean } | undefined {
  const first = bytes[at] ?? 0;
  const length = Math.clz32(first) - 23;
  if (length > 8 || at + length > bytes.length) return undefined;
  // Without the marker first: 8 bytes with it exceed what a number holds exactly.
  const top = first & (0xff >> length);
  const value = top * 256 ** (length - 1) + numberAt(bytes, at + 1, length - 1);
  const rest = bytes.subarray(at + 1, at + length);
  return { value, length, isUnknown: top === 0xff >> length && rest.every((byte) => byte === 0xff) };
}
