import pLimit from 'p-limit';
import type { Storage } from '../azure/storage';
import { type Problem, rootProblem } from '../errors';
import type { Content } from '../files/bytes';
import { proveOutput } from '../media/probe/proof';
import type { FileResult, Manifest, ManifestFile } from '../plan/manifest';
import { encodedBlob, encodedPrefix, type Piece, piecesOf, type SplitFile } from '../plan/pieces';

/** Pieces read at a time: of each, the headers. */
const provedAtOnce = 8;

/** Problems of an output that its pieces can have caused. */
const ofOutput: ReadonlySet<Problem['kind']> = new Set(['outputDamaged', 'outputBlank', 'transcodeFailed']);

type Account = { readonly storage: Storage; readonly manifest: Pick<Manifest, 'outputContainer'> };

/**
 * Deletes the encoded pieces of split files that a retry must not join again: those that cannot be read or are too short, and
 * all pieces of a file whose output was wrong although each of them seems right. The retry encodes them again, and no others.
 */
export async function deleteBadPieces(
  account: Account,
  files: readonly ManifestFile[],
  results: ReadonlyMap<string, FileResult>,
  signal: AbortSignal,
): Promise<void> {
  const { storage, manifest } = account;
  for (const { id, split } of files) {
    if (split === undefined) continue;
    const { there, bad } = await judgePieces(account, id, split, signal);
    const problem = results.get(id)?.problem;
    // The problem of a part is no problem of the others.
    const isJoined = problem !== undefined && problem.kind !== 'partFailed';
    const isWrong = isJoined && ofOutput.has(rootProblem(problem).kind);
    for (const blob of bad.length === 0 && isWrong ? there : bad)
      await storage.deleteBlob(manifest.outputContainer, blob, signal);
  }
}

/** The blobs of the pieces of a file that exist, and those of them that are not right. */
async function judgePieces(
  { storage, manifest: { outputContainer } }: Account,
  fileId: string,
  split: SplitFile,
  signal: AbortSignal,
): Promise<{ there: string[]; bad: string[] }> {
  const sizes = new Map<string, number>();
  for await (const { name, size } of storage.blobs(outputContainer, {
    prefix: encodedPrefix(fileId),
    signal,
  }))
    sizes.set(name, size);
  const limit = pLimit(provedAtOnce);
  const judge = async (piece: Piece) => {
    const blob = encodedBlob(fileId, split, piece);
    const size = sizes.get(blob);
    if (size === undefined) return [];
    const content = contentOf(storage, outputContainer, { blob, size }, signal);
    return [{ blob, isGood: await isWhole(content, split, piece, signal) }];
  };
  const judged = (await Promise.all(piecesOf(split).map((piece) => limit(judge, piece)))).flat();
  return {
    there: judged.map(({ blob }) => blob),
    bad: judged.filter(({ isGood }) => !isGood).map(({ blob }) => blob),
  };
}

async function isWhole(
  content: Content,
  { parts }: SplitFile,
  piece: Piece,
  signal: AbortSignal,
): Promise<boolean> {
  const part = piece.kind === 'part' ? parts[piece.index] : undefined;
  const { problem } = await proveOutput(
    content,
    {
      file: '',
      seconds: part && part.endSeconds - part.startSeconds,
      proof: piece.kind === 'part' ? 'video' : 'audio',
    },
    { signal },
  );
  return problem === undefined;
}

/** The content of a blob, read from the account as far as it is needed. */
function contentOf(
  storage: Storage,
  container: string,
  { blob, size }: { readonly blob: string; readonly size: number },
  signal: AbortSignal,
): Content {
  return {
    size,
    async read(position, length, into) {
      const wanted = Math.min(length, size - position);
      const data = wanted > 0 ? await storage.readRange(container, blob, position, wanted, signal) : empty;
      if (into === undefined) return data;
      into.set(data);
      return into.subarray(0, data.length);
    },
  };
}

const empty = new Uint8Array();
