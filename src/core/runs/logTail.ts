import { setTimeout as delay } from 'node:timers/promises';
import type { Batch, Task } from '../azure/batch';
import { UserError } from '../errors';

/** What following a log tells. */
export type TailEvent =
  | { readonly kind: 'data'; readonly data: Uint8Array }
  /** The task began anew: after a retry, or elsewhere after its node was lost. What follows is from the beginning. */
  | { readonly kind: 'restarted'; readonly node: string | undefined }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'ended'; readonly exitCode: number | undefined };

const readBytes = 256 * 1024;
const shortestPauseMs = 1_000;
const longestPauseMs = 5_000;

/**
 * Follows a log of a task until the task has ended: only what is new is asked for, and while nothing is, ever more
 * rarely. A log of any length costs the memory of one range.
 */
export async function* tail(
  batch: Batch,
  jobId: string,
  taskId: string,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<TailEvent> {
  let position = 0;
  let pause = shortestPauseMs;
  let life: string | undefined;
  let isWaiting = false;
  for (;;) {
    // Asked before the log is read: what was written before the end is then read after it.
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
    pause = isNew ? shortestPauseMs : Math.min(pause * 1.5, longestPauseMs);
    await delay(pause, undefined, { signal });
  }

  /** Nothing where the file is not there yet, or its node not any more. */
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

/** What tells one life of a task from the next: undefined while it has not begun. */
function lifeOf({ executionInfo: info }: Task): string | undefined {
  return info?.startTime
    ? `${info.startTime.toISOString()} ${info.retryCount ?? 0} ${info.requeueCount ?? 0}`
    : undefined;
}
