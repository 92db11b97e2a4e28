import { type JobState, type State, sortedIds, type TaskState, touch } from '../scheduling/state';
import { BatchError, invalidProperty } from '../wire/errors';
import { infiniteDuration } from '../wire/time';
import type { Wire } from '../wire/wire';
import {
  afterId,
  type Context,
  etagHeaders,
  jobOf,
  page,
  type Reply,
  type Request,
  type Route,
  shown,
  taskOf,
} from './http/context';
import { acknowledged, changeable, changed, created, reading } from './http/resource';
import { validated } from './requests/validate';
import { checkTaskId } from './resources/newJobs';
import { checkPackages } from './resources/newPools';
import { makeTask } from './resources/newTasks';
import { expandsStatistics, taskStatistics } from './resources/statistics';
import { checkTask } from './resources/taskChecks';

const collectionSize = 100;

function validTask({ containers }: Context, body: Wire | undefined, version: string): Wire {
  return validated('TaskAddParameter', body, version, containers);
}

function newTask(context: Context, job: JobState, given: Wire): TaskState {
  const id = String(given.id);
  if (context.state.task(job, id)) throw new BatchError('TaskExists');
  checkTaskId(id, job.wire);
  checkTask(job, given);
  checkPackages(context, given);
  return makeTask(context, job, given);
}

/** Finds a job to which tasks can be added. The conditional headers are those of the task. */
function open(context: Context, { params }: Request): JobState {
  const job = jobOf(context, params[0] ?? '');
  switch (job.wire.state) {
    case 'completed':
      throw new BatchError('JobCompleted');
    case 'terminating':
      throw new BatchError('JobBeingTerminated');
    case 'deleting':
      throw new BatchError('JobBeingDeleted');
    default:
      return job;
  }
}

function addTask(context: Context, request: Request): Reply {
  const given = validTask(context, request.body, request.version);
  const task = newTask(context, open(context, request), given);
  const reply = created(task);
  context.state.addTask(task);
  context.scheduler.schedule();
  return reply;
}

/** Adds tasks one by one. An invalid task gets an error result and does not affect the others. */
function addCollection(context: Context, request: Request): Reply {
  const { value, ...others } = (request.body ?? {}) as { value?: Wire[] };
  // Annotations, such as `odata.metadata`, are no members.
  const unknown = Object.keys(others).find((name) => !name.includes('.'));
  if (unknown !== undefined) {
    throw new BatchError('InvalidRequestBody', {
      Reason: `The property '${unknown}' does not exist on type 'TaskAddCollectionParameter'.`,
    });
  }
  if (!Array.isArray(value)) throw new BatchError('MissingRequiredProperty', { PropertyName: 'value' });
  if (value.length > collectionSize) {
    throw invalidProperty('value', undefined, `A collection has ${collectionSize} tasks at most.`);
  }
  const job = open(context, request);
  const results = value.map((item): Wire => {
    try {
      const task = newTask(context, job, validTask(context, item, request.version));
      const { eTag, lastModified, url: location } = task.wire;
      context.state.addTask(task);
      return { status: 'Success', taskId: task.id, eTag, lastModified, location };
    } catch (error) {
      if (!(error instanceof BatchError))
        context.log(`Unexpected: ${error instanceof Error ? error.stack : error}`);
      return notAdded(item, error instanceof BatchError ? error : new BatchError('InternalError'));
    }
  });
  context.scheduler.schedule();
  return { status: 200, metadata: 'taskaddresult', body: { value: results } };
}

/** The result of a task of a collection that was refused, or not added because of an error of the service. */
function notAdded(item: Wire | undefined, { status, code, message, values }: BatchError): Wire {
  const entries = Object.entries(values).map(([key, value]) => ({ key, value }));
  return {
    status: status < 500 ? 'ClientError' : 'ServerError',
    taskId: item?.id,
    error: {
      code,
      message: { lang: 'en-US', value: message },
      ...(entries.length ? { values: entries } : {}),
    },
  };
}

const find = (context: Context, { params: [jobId = '', taskId = ''] }: Request): TaskState =>
  taskOf(context, jobId, taskId);
/** Reading a task that waits does not bring it into memory for good. */
const read = (context: Context, request: Request): { wire: Wire } => ({
  wire: taskWire(find(context, request), request),
});
const readable = changeable(read);
const existing = changeable(find);
const uncompleted = changeable(find, { completed: 'TaskCompleted' });

const saveTask = (state: State, task: TaskState): void => state.saveTask(task);

function updateTask(context: Context, request: Request): Reply {
  const { constraints } = validated('TaskUpdateParameter', request.body, request.version);
  const task = uncompleted(context, request);
  task.wire.constraints = {
    maxWallClockTime: infiniteDuration,
    retentionTime: 'P7D',
    maxTaskRetryCount: 0,
    ...(constraints as Wire | undefined),
  };
  return changed(context, saveTask, task, 200);
}

async function terminateTask(context: Context, request: Request): Promise<Reply> {
  const task = uncompleted(context, request);
  touch(task.wire);
  await context.scheduler.terminateTask(task);
  return acknowledged(task, 204, 'terminate');
}

function reactivateTask(context: Context, request: Request): Reply {
  const task = existing(context, request);
  const { state, executionInfo } = task.wire;
  if (state !== 'completed') throw new BatchError('TaskNotCompleted');
  if ((executionInfo as Wire).result === 'success') throw new BatchError('TaskSucceeded');
  open(context, request);
  if (task.subtasks) context.state.setSubtasks(task, []);
  context.state.moveTask(task, 'active', () => {
    task.wire.executionInfo = { retryCount: 0, requeueCount: 0 };
    delete task.wire.nodeInfo;
    touch(task.wire);
  });
  context.scheduler.schedule();
  return { status: 204, headers: etagHeaders(task.wire) };
}

/** Returns a task with its statistics if the request expands them. */
function taskWire(task: TaskState, { query }: Request): Wire {
  return expandsStatistics(query) ? { ...task.read(), stats: taskStatistics(task) } : task.read();
}

function list(context: Context, request: Request): Reply {
  const job = jobOf(context, request.params[0] ?? '');
  const ids = sortedIds(job);
  return page(context, request, 'tasks', function* (after) {
    for (const [id, task] of afterId(ids, after, (one) => context.state.task(job, one)))
      yield [id, task.facts, () => taskWire(task, request)];
  });
}

export const taskRoutes: Route[] = [
  ['POST', '/jobs/{}/tasks', addTask],
  ['POST', '/jobs/{}/addtaskcollection', addCollection],
  ['GET', '/jobs/{}/tasks', list],
  ['GET', '/jobs/{}/tasks/{}', reading('tasks/@Element', read)],
  ['PUT', '/jobs/{}/tasks/{}', updateTask],
  [
    'DELETE',
    '/jobs/{}/tasks/{}',
    async (context, request) => {
      await context.scheduler.deleteTask(existing(context, request));
      return { status: 200 };
    },
  ],
  ['POST', '/jobs/{}/tasks/{}/terminate', terminateTask],
  ['POST', '/jobs/{}/tasks/{}/reactivate', reactivateTask],
  [
    'GET',
    '/jobs/{}/tasks/{}/subtasksinfo',
    (context, request) => {
      readable(context, request);
      const { subtasks = [] } = find(context, request);
      const value = subtasks.map((subtask) => shown(subtask, request));
      return { status: 200, metadata: 'subtaskinfo', body: { value } };
    },
  ],
];
