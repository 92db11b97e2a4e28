import type { Batch, Job } from '../azure/batch';

export interface NewestJobs {
  /** The newest first. */
  readonly jobs: Job[];
  /** Set when older jobs exist or may exist: jobs created before this time are not in the list. */
  readonly cutBefore?: Date;
}

export interface NewestJobsOptions {
  /** Properties of a job beside `id` and `creationTime`. */
  readonly select: string;
  /** Lists only jobs created at this time or later. */
  readonly since?: Date;
  readonly signal?: AbortSignal;
  /** Called before each request. */
  readonly onRequest?: () => void;
  readonly now?: Date;
  /** Jobs in a reply, 1 to 1000. Smaller ones are for tests. */
  readonly pageSize?: number;
}

/** Replies read for one list: 5,000 jobs. */
const maxPages = 5;

const hourMs = 3_600_000;
/** Ages, in milliseconds, that narrow a list that is too long to read in full. */
const ages = [720 * hourMs, 168 * hourMs, 24 * hourMs, hourMs];

/**
 * Lists jobs with the newest first. The service returns jobs in the order of their ids and cannot sort, so the list is
 * read in full and sorted here. Where that takes more than five requests, only jobs of the last 30 days are read, then
 * of 7 days, a day and an hour, so that the newest jobs are in the list whatever their number.
 * https://learn.microsoft.com/rest/api/batchservice/odata-filters-in-batch
 */
export async function newestJobs(batch: Batch, options: NewestJobsOptions): Promise<NewestJobs> {
  const { since, now = new Date() } = options;
  const starts = [since, ...ages.map((age) => new Date(now.getTime() - age))];
  let jobs: Job[] = [];
  for (const start of starts) {
    if (start && since && start < since) continue;
    const list = await readJobs(batch, start, options);
    jobs = list.jobs.sort(newestFirst);
    if (list.isComplete) return { jobs, cutBefore: start };
  }
  return { jobs, cutBefore: jobs.at(-1)?.creationTime ?? now };
}

async function readJobs(
  batch: Batch,
  since: Date | undefined,
  { select, signal, onRequest, pageSize = 1000 }: NewestJobsOptions,
): Promise<{ jobs: Job[]; isComplete: boolean }> {
  const filter = since && `creationTime ge DateTime'${since.toISOString()}'`;
  const jobs: Job[] = [];
  let next: string | undefined;
  for (let page = 0; page < maxPages; page++) {
    onRequest?.();
    const reply = await batch.jobPage(
      { filter, select: `id,creationTime,${select}`, pageSize, signal },
      next,
    );
    jobs.push(...reply.items);
    next = reply.next;
    if (next === undefined) return { jobs, isComplete: true };
  }
  return { jobs, isComplete: false };
}

function newestFirst(one: Job, other: Job): number {
  return (
    (other.creationTime?.getTime() ?? 0) - (one.creationTime?.getTime() ?? 0) ||
    (one.id ?? '').localeCompare(other.id ?? '')
  );
}
