import type { FfmpegStatement, InputStream } from './ffmpegLog';

/**
 * What ffmpeg says about a file whose parts it worked on one by one. The header of a part says nothing of the length of the
 * file, so the result states none. Undefined if there are no statements.
 */
export function mergeStatements(parts: readonly FfmpegStatement[]): FfmpegStatement | undefined {
  const [first] = parts;
  if (first === undefined) return undefined;
  const sum = (of: (part: FfmpegStatement) => number) => parts.reduce((total, part) => total + of(part), 0);
  return {
    format: first.format,
    isFinished: parts.every(({ isFinished }) => isFinished),
    streams: (['video', 'audio'] as const).flatMap((kind) => mergeStreams(kind, parts) ?? []),
    isReadWhole: false,
    laterTracks: new Set(parts.flatMap(({ laterTracks }) => [...laterTracks])),
    audioChanges: sum(({ audioChanges }) => audioChanges),
    overlapSeconds: sum(({ overlapSeconds }) => overlapSeconds),
    stopsAtChange: parts.some(({ stopsAtChange }) => stopsAtChange),
    damage: sum(({ damage }) => damage),
    damageLine: parts.find(({ damageLine }) => damageLine !== undefined)?.damageLine,
    concealedFrames: sum(({ concealedFrames }) => concealedFrames),
    peaks: mergeMaps(
      parts.map(({ peaks }) => peaks),
      Math.max,
    ),
    blackSeconds: mergeMaps(
      parts.map(({ blackSeconds }) => blackSeconds),
      (one, other) => one + other,
    ),
  };
}

function mergeStreams(kind: InputStream['kind'], parts: readonly FfmpegStatement[]): InputStream | undefined {
  const all = parts.flatMap((part) => part.streams.find((stream) => stream.kind === kind) ?? []);
  // The task of the audio may read the video without decoding it.
  const decoded = all.filter(({ frames }) => frames !== undefined);
  const streams = decoded.length > 0 ? decoded : all;
  if (streams.length === 0) return undefined;
  const known = (values: readonly (number | undefined)[]) =>
    values.every((value) => value !== undefined)
      ? values.reduce<number>((total, value) => total + (value ?? 0), 0)
      : undefined;
  return {
    kind,
    packets: streams.reduce((total, { packets }) => total + packets, 0),
    frames: known(streams.map(({ frames }) => frames)),
    decodeErrors: streams.reduce((total, { decodeErrors }) => total + decodeErrors, 0),
    seconds: known(streams.map(({ seconds }) => seconds)),
  };
}

function mergeMaps(
  maps: readonly ReadonlyMap<string, number>[],
  merge: (one: number, other: number) => number,
): Map<string, number> {
  const merged = new Map<string, number>();
  for (const map of maps) {
    for (const [key, value] of map) {
      const before = merged.get(key);
      merged.set(key, before === undefined ? value : merge(before, value));
    }
  }
  return merged;
}
