import type { Content } from '../../files/bytes';
import { RangedContent } from './fileRanges';
import type { AudioOnlyLayout } from './messages';
import { ParserError, type ParserPool, parserPool } from './pool';

/** Layouts that probes found and uploads have not used yet, by source. The oldest go first: finding one again takes a millisecond. */
const layouts = new Map<string, AudioOnlyLayout>();
const maxLayoutBytes = 4 * 1024 * 1024;
let layoutBytes = 0;

export interface SourceVersion {
  readonly uri: string;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

/** Keeps what a probe found for the upload of the same source. */
export function keepLayout(source: SourceVersion, { head, ranges, size }: AudioOnlyLayout): void {
  takeLayout(source);
  // Copies: those of a message hold the whole buffer that the message was read into, 64 KiB for 5.
  const layout = { head: new Uint8Array(head), ranges: new Float64Array(ranges), size };
  layouts.set(keyOf(source), layout);
  layoutBytes += bytesOf(layout);
  for (const [key, oldest] of layouts) {
    if (layoutBytes <= maxLayoutBytes) break;
    layouts.delete(key);
    layoutBytes -= bytesOf(oldest);
  }
}

/** A file without its video tracks, as its probe found it or as it is parsed now; undefined if nothing can be left out. */
export async function audioOnlyContent(
  file: Content,
  source: SourceVersion,
  { signal, parser = parserPool }: { readonly signal?: AbortSignal; readonly parser?: ParserPool } = {},
): Promise<Content | undefined> {
  const layout = takeLayout(source) ?? (await parse(file, signal, parser));
  return layout && new RangedContent(file, layout);
}

async function parse(
  file: Content,
  signal: AbortSignal | undefined,
  parser: ParserPool,
): Promise<AudioOnlyLayout | undefined> {
  try {
    return (await parser.parse('audioOnly', file, signal)).audioOnly;
  } catch (error) {
    if (error instanceof ParserError) return undefined;
    throw error;
  }
}

function takeLayout(source: SourceVersion): AudioOnlyLayout | undefined {
  const key = keyOf(source);
  const layout = layouts.get(key);
  if (layout) layoutBytes -= bytesOf(layout);
  layouts.delete(key);
  return layout;
}

function keyOf({ uri, size, modified }: SourceVersion): string {
  return `${size} ${modified} ${uri}`;
}

function bytesOf({ head, ranges }: AudioOnlyLayout): number {
  return head.byteLength + ranges.byteLength;
}
