import type { Task } from '../azure/batch';
import type { FileProgress } from '../jobs/taskProgress';
import type { ManifestFile } from '../plan/manifest';
import { pieceOfTask, piecesOf } from '../plan/pieces';
import type { PieceState, RunProgress } from './runEvents';

/** The pieces of all split files, before any has run. */
export function piecesOfFiles(files: readonly ManifestFile[]): Map<string, PieceState[]> {
  const all = new Map<string, PieceState[]>();
  for (const { id, split } of files) {
    if (split === undefined) continue;
    const end = split.parts.at(-1)?.endSeconds ?? 0;
    all.set(
      id,
      piecesOf(split).map((piece) => {
        const part = piece.kind === 'part' ? split.parts[piece.index] : undefined;
        return {
          piece,
          startSeconds: part?.startSeconds ?? 0,
          endSeconds: part?.endSeconds ?? end,
          state: 'waiting',
        };
      }),
    );
  }
  return all;
}

/** Takes the progress of a running task into the numbers of its file. False if it isn't the task of a piece. */
export function notePieceProgress(progress: RunProgress, taskId: string, made: FileProgress): boolean {
  const found = stateOf(progress, taskId);
  if (found === undefined) return false;
  if (found.state.state === 'waiting') found.state.state = 'running';
  if (found.state.state === 'running') found.state.progress = made;
  sumUp(progress, found.fileId);
  return true;
}

/** Takes the end of a task into the numbers of its file. Undefined if it isn't the task of a piece. */
export function notePieceEnd(
  progress: RunProgress,
  { id = '', executionInfo, nodeInfo }: Task,
): { fileId: string; failed: boolean } | undefined {
  const found = stateOf(progress, id);
  if (found === undefined) return undefined;
  const failed = executionInfo?.result?.toLowerCase() !== 'success';
  found.state.state = failed ? 'failed' : 'done';
  found.state.progress = undefined;
  found.state.node = nodeInfo?.nodeId;
  sumUp(progress, found.fileId);
  return { fileId: found.fileId, failed };
}

function stateOf(progress: RunProgress, taskId: string): { fileId: string; state: PieceState } | undefined {
  const found = pieceOfTask(taskId);
  if (found === undefined) return undefined;
  const { piece, fileId } = found;
  const pieces = progress.pieces.get(fileId) ?? [];
  const state = pieces.find(({ piece: each }) =>
    each.kind === 'part' ? piece.kind === 'part' && each.index === piece.index : piece.kind === 'audio',
  );
  return state && { fileId, state };
}

/** One progress over all parts; the audio takes little time. */
function sumUp(progress: RunProgress, fileId: string): void {
  let seconds = 0;
  let speed = 0;
  for (const { piece, state, startSeconds, endSeconds, progress: made } of progress.pieces.get(fileId) ??
    []) {
    if (piece.kind === 'audio') continue;
    if (state === 'done') seconds += endSeconds - startSeconds;
    else if (state === 'running') {
      seconds += Math.min(made?.seconds ?? 0, endSeconds - startSeconds);
      speed += made?.speed ?? 0;
    }
  }
  progress.running.set(fileId, { seconds, ...(speed > 0 && { speed }) });
}
