import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Outcome } from './taskRunner';

// Subtasks of multi-instance tasks as the API lists them. A subtask completes with its coordination command: the command
// line of the task runs in the primary alone. https://learn.microsoft.com/rest/api/batchservice/task/list-subtasks

/** The subtasks that start on these nodes; the primary, which would be 0, is not among them. */
export function newSubtasks(nodeInfos: readonly Wire[], state: 'preparing' | 'running'): Wire[] {
  const now = timestamp();
  return nodeInfos.map((nodeInfo, index) => ({
    id: index + 1,
    nodeInfo,
    ...(state === 'running' ? { startTime: now } : {}),
    state,
    stateTransitionTime: now,
  }));
}

/** A subtask whose node has been prepared. */
export function startedSubtask(subtask: Wire): Wire {
  return { ...moved(subtask, 'running'), startTime: timestamp() };
}

/** A subtask with how it has ended. */
export function endedSubtask(subtask: Wire, { exitCode, failureInfo }: Outcome): Wire {
  return {
    ...moved(subtask, 'completed'),
    endTime: timestamp(),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(failureInfo ? { failureInfo } : {}),
    result: failureInfo ? 'failure' : 'success',
  };
}

export function isEnded({ state }: Wire): boolean {
  return state === 'completed';
}

function moved(subtask: Wire, state: string): Wire {
  return {
    ...subtask,
    state,
    stateTransitionTime: timestamp(),
    previousState: subtask.state,
    previousStateTransitionTime: subtask.stateTransitionTime,
  };
}
