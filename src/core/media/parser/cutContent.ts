import type { Content } from '../../files/bytes';
import type { PartLayout, VideoCuts, WholeReason } from '../cut/parts';
import { ParserError, type ParserPool, parserPool } from './pool';

/** What is uploaded of a video that is cut into parts. */
export interface CutLayouts {
  readonly cuts: VideoCuts;
  /** The head that each part needs before it, if any. */
  readonly head?: Uint8Array;
  readonly parts: readonly PartLayout[];
  /** The file without its video, if the parts don't contain the audio and there is some. */
  readonly audio?: PartLayout;
}

/**
 * Cuts a video into parts of about `seconds`, in the parser process. The same file always gives the same parts. Resolves with
 * the reason if the video has to stay whole; `index` also if the parser fails or reaches a limit.
 */
export async function cutLayouts(
  file: Content,
  seconds: number,
  { signal, parser = parserPool }: { readonly signal?: AbortSignal; readonly parser?: ParserPool } = {},
): Promise<CutLayouts | WholeReason> {
  try {
    const { cut = 'index', audioOnly } = await parser.parse({ cutSeconds: seconds }, file, signal);
    if (typeof cut === 'string') return cut;
    return { cuts: cut.cuts, head: cut.head, parts: cut.layouts, audio: audioOnly };
  } catch (error) {
    if (error instanceof ParserError) return 'index';
    throw error;
  }
}
