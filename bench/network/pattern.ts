/** Length of the pattern that all files and blobs of the link benchmark repeat. */
export const patternBytes = 1024 * 1024 + 64;

// The numbers of a linear congruential generator: the same in each process, and no zeros that a disk could leave out.
const pattern = Buffer.alloc(2 * patternBytes);
for (let index = 0, state = 24; index < patternBytes; index += 4) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  pattern.writeUInt32LE(state, index);
}
pattern.copy(pattern, patternBytes, 0, patternBytes);

/** The bytes from `position` on, at most `patternBytes` of them. */
export function patternFrom(position: number, length: number): Buffer {
  const start = position % patternBytes;
  if (length <= patternBytes) return pattern.subarray(start, start + length);
  const parts: Buffer[] = [];
  for (let done = 0; done < length; done += patternBytes) {
    const at = (position + done) % patternBytes;
    parts.push(pattern.subarray(at, at + Math.min(patternBytes, length - done)));
  }
  return Buffer.concat(parts);
}
