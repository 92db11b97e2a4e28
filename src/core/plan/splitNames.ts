// Names of the files of a split video on the nodes.

export const headFile = 'head.bin';
export const partInput = 'part.bin';
export const partList = 'parts.ffconcat';

/** Name of an encoded part on the node that joins them, and in the output container. */
export function encodedPart(index: number, extension: string): string {
  return `part-${String(index + 1).padStart(4, '0')}.${extension}`;
}

/** Name of an uploaded part on a node that needs all of them. */
export function rawName(index: number): string {
  return `part-${String(index + 1).padStart(4, '0')}.bin`;
}
