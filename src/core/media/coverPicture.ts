/** Signatures of picture formats, as Latin-1 text, by ffmpeg's name of their decoder. */
const signatures: readonly (readonly [codec: string, RegExp])[] = [
  ['mjpeg', /^\xff\xd8\xff/],
  ['png', /^\x89PNG\r\n/],
  ['gif', /^GIF8[79]a/],
  ['bmp', /^BM/],
  ['webp', /^RIFF.{4}WEBP/s],
];

/** Frame headers of JPEG, which have the size: baseline, extended, and progressive. */
const jpegFrames = [0xc0, 0xc1, 0xc2];

/** A cover as the tags of a file hold it. */
export interface CoverPicture {
  readonly data: Uint8Array;
  /** Type that the tags state, which is often wrong: programs write `image/png` for JPEG. */
  readonly mimeType: string;
}

/** ffmpeg's name of the codec that the tags state. */
export function statedCodec({ mimeType }: CoverPicture): string {
  return /^image\/jpe?g$/i.test(mimeType) ? 'mjpeg' : mimeType.toLowerCase().replace(/^image\//, '');
}

/**
 * ffmpeg's name of the codec of a cover by its content, or the stated codec if the content is not recognized. Undefined if no
 * decoder finds a picture size in it: ffmpeg then writes no output at all.
 */
export function coverCodec(cover: CoverPicture): string | undefined {
  const { data } = cover;
  const head = Buffer.from(data.subarray(0, 16)).toString('latin1');
  const codec = signatures.find(([, pattern]) => pattern.test(head))?.[0];
  if (codec === 'mjpeg') return hasJpegFrame(data) ? codec : undefined;
  const stated = statedCodec(cover);
  return codec ?? (stated === 'mjpeg' || stated === 'png' ? undefined : stated);
}

function hasJpegFrame(data: Uint8Array): boolean {
  for (let at = data.indexOf(0xff); at >= 0; at = data.indexOf(0xff, at + 1)) {
    if (jpegFrames.includes(data[at + 1] ?? 0)) return true;
  }
  return false;
}
