import pLimit from 'p-limit';
import { UserError } from '../errors';
import { wholeOf } from '../files/bytes';
import type { Files } from '../files/files';
import { judge, probeMedia } from '../media/probe';
import type { Preset } from '../presets/preset';
import type { RefusedFile } from './manifest';
import type { PlanSource } from './plan';

/** A look is a few small reads; more at a time only make the disk seek. */
const looksAtOnce = 8;

/** What a look at some files told. */
export interface Look {
  readonly sources: readonly PlanSource[];
  readonly refused: readonly RefusedFile[];
}

/**
 * Looks at each file, a few at a time: what is in it, and whether the preset can work on it. Both lists are in the order
 * of the files.
 */
export async function probeFiles(
  files: Files,
  chosen: readonly Pick<PlanSource, 'uri' | 'path'>[],
  preset: Preset,
  signal: AbortSignal,
  onLooked: () => void = () => undefined,
): Promise<Look> {
  const limit = pLimit(looksAtOnce);
  const sources: PlanSource[] = [];
  const refused: RefusedFile[] = [];
  const lookAtOne = async ({ uri, path }: (typeof chosen)[number]): Promise<PlanSource | RefusedFile> => {
    signal.throwIfAborted();
    try {
      const file = await files.open(uri);
      try {
        // As the upload will see it: VS Code rounds times otherwise.
        const { size, modified } = file.opened;
        const media = await probeMedia(wholeOf(file), signal);
        const problem = judge(preset, media, { path, size });
        return problem ? { uri, path, problem } : { uri, path, size, modified, media };
      } finally {
        await file.close();
      }
    } catch (error) {
      if (error instanceof UserError) return { uri, path, problem: error.problem };
      throw error;
    } finally {
      onLooked();
    }
  };
  for (const seen of await Promise.all(chosen.map((file) => limit(() => lookAtOne(file))))) {
    if ('problem' in seen) refused.push(seen);
    else sources.push(seen);
  }
  return { sources, refused };
}
