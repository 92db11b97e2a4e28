import type { Batch, Task } from '../azure/batch';
import { UserError } from '../errors';
import { pause } from '../wait';

/** An event of a log that is followed. */
export type TailEvent =
  | { readonly kind: 'data'; readonly data: Uint8Array }
  /** The task started again: after a retry, or on another node. What follows is from the beginning of the log. */
  | { readonly kind: 'restarted'; readonly node: string | undefined }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'ended'; readonly exitCode: number | undefined };

const readBytes = 256 * 1024;
const minPauseMs = 1_000;
const maxPauseMs = 5_000;

/**
 * Follows a log of a task until the task has ended. Only new bytes are asked for, less often while there are none. A log of
 * any length takes the memory of one range.
 */
export async function* tail(
  batch: Batch,
  jobId: string,
  taskId: string,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<TailEvent> {
  let position = 0;
  let pauseMs = minPauseMs;
  let life: string | undefined;
  let isWaiting = false;
  for (;;) {
    // The task is asked before the log is read, so that no line before its end is missed.
    const task = await batch.task(jobId, taskId, signal);
    if (task === undefined) throw new UserError({ kind: 'taskGone', task: taskId, job: jobId });
    const now = lifeOf(task);
    if (life !== undefined && now !== undefined && now !== life) {
      position = 0;
      yield { kind: 'restarted', node: task.nodeInfo?.nodeId };
    }
    life = now ?? life;
    let isNew = false;
    for (let data = await read(position); data.length > 0; data = await read(position)) {
      position += data.length;
      isNew = true;
      isWaiting = false;
      yield { kind: 'data', data };
      if (data.length < readBytes) break;
    }
    if (task.state === 'completed') {
      yield { kind: 'ended', exitCode: task.executionInfo?.exitCode };
      return;
    }
    if (task.state === 'active' && !isWaiting) {
      isWaiting = true;
      yield { kind: 'waiting' };
    }
    pauseMs = isNew ? minPauseMs : Math.min(pauseMs * 1.5, maxPauseMs);
    await pause(pauseMs, signal);
  }

  /** Empty if the file does not exist yet, or its node no longer does. */
  async function read(from: number): Promise<Uint8Array> {
    try {
      return await batch.readFile({ jobId, taskId }, path, from, readBytes, signal);
    } catch (error) {
      const { problem } = error as { problem?: { kind: string } };
      if (problem?.kind === 'service') return new Uint8Array(0);
      throw error;
    }
  }
}

/** Differs between one start of a task and the next. Undefined before its first start. */
function lifeOf({ executionInfo: info }: Task): string | undefined {
  return info?.startTime
    ? `${info.startTime.toISOString()} ${info.retryCount ?? 0} ${info.requeueCount ?? 0}`
    : undefined;
}
