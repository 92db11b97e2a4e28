import { endedJobCodes } from './batchCall';
import { BatchPools } from './batchPools';
import type {
  DisableJobOption,
  Job,
  JobAdd,
  JobPatch,
  ListOptions,
  Task,
  TaskAdd,
  TaskAddResult,
  TaskCounts,
} from './batchTypes';
import type { Page } from './pages';

/** Calls about jobs and their tasks. */
export class BatchJobs extends BatchPools {
  job(id: string, { signal, select }: ListOptions = {}): Promise<Job | undefined> {
    return this.orUndefined(
      'JobNotFound',
      this.call({ operation: 'get job', resource: id, signal }, (abortSignal) =>
        this.client.job.get(id, { jobGetOptions: { select }, abortSignal }),
      ),
    );
  }

  jobPage(options: ListOptions = {}, next?: string): Promise<Page<Job>> {
    return this.page(
      'list jobs',
      options,
      next,
      (list, abortSignal) => this.client.job.list({ jobListOptions: list, abortSignal }),
      (link, abortSignal) => this.client.job.listNext(link, { abortSignal }),
    );
  }

  async addJob(job: JobAdd, signal?: AbortSignal): Promise<void> {
    await this.add({ operation: 'add job', resource: job.id, signal }, (abortSignal) =>
      this.client.job.add(job, { abortSignal }),
    );
  }

  async patchJob(id: string, patch: JobPatch, signal?: AbortSignal): Promise<void> {
    await this.call({ operation: 'patch job', resource: id, signal }, (abortSignal) =>
      this.client.job.patch(id, patch, { abortSignal }),
    );
  }

  /** Ends a job. One that does not exist, has ended or is ending is no error. */
  async terminateJob(id: string, terminateReason?: string, signal?: AbortSignal): Promise<void> {
    await this.orUndefined(
      endedJobCodes,
      this.call({ operation: 'terminate job', resource: id, signal }, (abortSignal) =>
        this.client.job.terminate(id, { terminateReason, abortSignal }),
      ),
    );
  }

  async disableJob(id: string, disableTasks: DisableJobOption, signal?: AbortSignal): Promise<void> {
    await this.call({ operation: 'disable job', resource: id, signal }, (abortSignal) =>
      this.client.job.disable(id, disableTasks, { abortSignal }),
    );
  }

  async enableJob(id: string, signal?: AbortSignal): Promise<void> {
    await this.call({ operation: 'enable job', resource: id, signal }, (abortSignal) =>
      this.client.job.enable(id, { abortSignal }),
    );
  }

  /** Deletes a job. One that does not exist or is being deleted is no error. */
  async deleteJob(id: string, signal?: AbortSignal): Promise<void> {
    await this.orUndefined(
      ['JobNotFound', 'JobBeingDeleted'],
      this.remove({ operation: 'delete job', resource: id, signal }, (abortSignal) =>
        this.client.job.deleteMethod(id, { abortSignal }),
      ),
    );
  }

  /** Counts the tasks of a job by state, with one request. Can lag behind the lists. */
  async taskCounts(jobId: string, signal?: AbortSignal): Promise<TaskCounts> {
    const { taskCounts } = await this.call(
      { operation: 'count tasks', resource: jobId, signal },
      (abortSignal) => this.client.job.getTaskCounts(jobId, { abortSignal }),
    );
    return taskCounts;
  }

  task(jobId: string, taskId: string, signal?: AbortSignal): Promise<Task | undefined> {
    return this.orUndefined(
      ['TaskNotFound', 'JobNotFound'],
      this.call({ operation: 'get task', resource: taskId, signal }, (abortSignal) =>
        this.client.task.get(jobId, taskId, { abortSignal }),
      ),
    );
  }

  taskPage(jobId: string, options: ListOptions = {}, next?: string): Promise<Page<Task>> {
    return this.page(
      'list tasks',
      { ...options, resource: jobId },
      next,
      (list, abortSignal) => this.client.task.list(jobId, { taskListOptions: list, abortSignal }),
      (link, abortSignal) => this.client.task.listNext(link, { abortSignal }),
    );
  }

  /** Adds at most 100 tasks. Each has a result of its own, in any order. */
  async addTasks(jobId: string, tasks: TaskAdd[], signal?: AbortSignal): Promise<TaskAddResult[]> {
    const { value } = await this.call({ operation: 'add tasks', resource: jobId, signal }, (abortSignal) =>
      this.client.task.addCollection(jobId, tasks, { abortSignal }),
    );
    return value ?? [];
  }

  async terminateTask(jobId: string, taskId: string, signal?: AbortSignal): Promise<void> {
    await this.call({ operation: 'terminate task', resource: taskId, signal }, (abortSignal) =>
      this.client.task.terminate(jobId, taskId, { abortSignal }),
    );
  }

  async reactivateTask(jobId: string, taskId: string, signal?: AbortSignal): Promise<void> {
    await this.call({ operation: 'reactivate task', resource: taskId, signal }, (abortSignal) =>
      this.client.task.reactivate(jobId, taskId, { abortSignal }),
    );
  }

  async deleteTask(jobId: string, taskId: string, signal?: AbortSignal): Promise<void> {
    await this.orUndefined(
      'TaskNotFound',
      this.call({ operation: 'delete task', resource: taskId, signal }, (abortSignal) =>
        this.client.task.deleteMethod(jobId, taskId, { abortSignal }),
      ),
    );
  }
}
