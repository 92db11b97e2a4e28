import { fileURLToPath } from 'node:url';
import { aboutSource, UserError } from '../errors';
import { type Content, wholeOf } from '../files/bytes';
import type { Files } from '../files/files';
import type { MediaInfo } from '../media/mediaInfo';
import { keepLayout } from '../media/parser/audioOnlyContent';
import { cutLayouts } from '../media/parser/cutContent';
import { probeMedia } from '../media/probe/probeMedia';
import { usesVideo } from '../presets/ffmpegCommand';
import type { Preset } from '../presets/preset';
import { judge } from './judge';
import type { RefusedFile } from './manifest';
import type { PlanSource } from './plan';

/** A probe is a few small reads; more at a time only make the disk seek. */
const probesAtOnce = 8;

/** The result of probing some files. Both lists are in the order of the files. */
export interface ProbedFiles {
  readonly sources: readonly PlanSource[];
  readonly refused: readonly RefusedFile[];
}

export interface ProbeFilesOptions {
  /** Path of ffprobe, if it is there. */
  readonly ffprobe?: string;
  /** About how long the parts are into which long videos are cut, if the preset allows it. */
  readonly partSeconds?: number;
  /** Called after each file. */
  readonly onProbed?: () => void;
}

/** Probes each file, a few at a time, and judges whether the preset can work on it. */
export async function probeFiles(
  files: Files,
  chosen: readonly Pick<PlanSource, 'uri' | 'path'>[],
  preset: Preset,
  signal: AbortSignal,
  { ffprobe, partSeconds, onProbed }: ProbeFilesOptions = {},
): Promise<ProbedFiles> {
  const sources: PlanSource[] = [];
  const refused: RefusedFile[] = [];
  const options = { ffprobe, partSeconds, isUsingVideo: usesVideo(preset) };
  let next = 0;
  const probeOne = async (file: (typeof chosen)[number]): Promise<PlanSource | RefusedFile> => {
    signal.throwIfAborted();
    try {
      return await probeFile(files, file, preset, options, signal);
    } catch (error) {
      if (error instanceof UserError)
        return { uri: file.uri, path: file.path, problem: aboutSource(error.problem, file.path) };
      // No other file is begun.
      next = chosen.length;
      throw error;
    } finally {
      onProbed?.();
    }
  };
  const results: (PlanSource | RefusedFile)[] = new Array(chosen.length);
  const probeInTurn = async () => {
    for (let index = next++; index < chosen.length; index = next++) {
      results[index] = await probeOne(chosen[index] as (typeof chosen)[number]);
    }
  };
  await Promise.all(Array.from({ length: probesAtOnce }, probeInTurn));
  for (const probed of results) {
    if ('problem' in probed) refused.push(probed);
    else sources.push(probed);
  }
  return { sources, refused };
}

async function probeFile(
  files: Files,
  { uri, path }: Pick<PlanSource, 'uri' | 'path'>,
  preset: Preset,
  { ffprobe: program, partSeconds, isUsingVideo }: ProbeFilesOptions & { readonly isUsingVideo: boolean },
  signal: AbortSignal,
): Promise<PlanSource | RefusedFile> {
  const file = await files.open(uri);
  try {
    // As the upload will see it: VS Code rounds times otherwise.
    const { size, modified } = file.opened;
    const ffprobe =
      program !== undefined && uri.startsWith('file:') ? { program, path: fileURLToPath(uri) } : undefined;
    const keepsDepth = preset.arguments.some((arg) => arg.includes('${pcm}'));
    const wantsDetails = isUsingVideo || keepsDepth || preset.needs !== 'audio';
    const { media, audioOnly, invalid } = await probeMedia(wholeOf(file), { signal, ffprobe, wantsDetails });
    const problem =
      invalid === undefined
        ? judge(preset, media, { path, size })
        : ({ kind: 'notMedia', file: path, detail: invalid } as const);
    if (problem) return { uri, path, problem };
    if (audioOnly && !isUsingVideo) keepLayout({ uri, size, modified }, audioOnly);
    const cut =
      preset.split && partSeconds ? await cutSource(wholeOf(file), media, partSeconds, signal) : undefined;
    return { uri, path, size, modified, media, cut };
  } finally {
    await file.close();
  }
}

/**
 * Maximum number of parts of a file; a file that would have more gets longer parts. The task that joins them names the URL of
 * each, about 600 characters, in a request of at most 1 MB: https://learn.microsoft.com/rest/api/batchservice/task/add-collection
 */
const maxParts = 1_000;

/**
 * Maximum number of parts of a video whose format has tables; parts of a long video become longer. The video is transcoded as a
 * whole if more than 200 of its key frames must be examined (`media/cut`).
 */
const usualParts = 150;

/** How a video can be cut. Videos that are known to be short aren't read for it. */
async function cutSource(
  file: Content,
  media: MediaInfo | undefined,
  partSeconds: number,
  signal: AbortSignal,
): Promise<PlanSource['cut']> {
  const { format, seconds } = media ?? {};
  // The clock of a transport stream may wrap, or start again, and its length is what that clock says.
  if (seconds !== undefined && seconds < 1.5 * partSeconds && format !== 'mpegts') return 'short';
  const shortest = format === 'mpegts' ? 0 : (seconds ?? 0) / usualParts;
  for (let chosen = Math.max(partSeconds, shortest); ; ) {
    const cut = await cutLayouts(file, chosen, { signal });
    if (typeof cut === 'string') return cut;
    const { length } = cut.cuts.parts;
    if (length <= maxParts) return { partSeconds: chosen, cuts: cut.cuts, audioBytes: cut.audio?.size ?? 0 };
    // Parts differ in length: their number does not follow exactly.
    chosen *= (1.1 * length) / maxParts;
  }
}
