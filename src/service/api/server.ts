import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Disturbances } from '../disturbances/disturbances';
import { PastStates } from '../disturbances/pastStates';
import type { Log } from '../guard/log';
import { Supervisor } from '../guard/supervisor';
import { Autoscaling } from '../scheduling/autoscaling';
import { Execution } from '../scheduling/execution';
import { Faults } from '../scheduling/faults';
import { JobSchedules } from '../scheduling/jobSchedules';
import { Jobs } from '../scheduling/jobs';
import { JobTasks } from '../scheduling/jobTasks';
import type { Loaded } from '../scheduling/loading';
import { TaskTokens } from '../scheduling/managers';
import { type NodeOptions, Nodes } from '../scheduling/nodes';
import { type PoolOptions, Pools } from '../scheduling/pools';
import { Scheduler, type SchedulerOptions } from '../scheduling/scheduler';
import type { Containers } from '../tasks/containers/containers';
import type { Wire } from '../wire/wire';
import { accountRoutes } from './accountRoutes';
import { Answers } from './answers';
import { certificateRoutes } from './certificateRoutes';
import { faultRoutes } from './faultRoutes';
import { fileRoutes } from './fileRoutes';
import type { Context } from './http/context';
import { Router } from './http/router';
import { Sender } from './http/sending';
import type { Account } from './http/signature';
import { jobRoutes } from './jobRoutes';
import { nodeAccessRoutes } from './nodeAccessRoutes';
import { nodeRoutes } from './nodeRoutes';
import { poolRoutes } from './poolRoutes';
import { makeJob } from './resources/newJobs';
import { scheduleRoutes } from './scheduleRoutes';
import { taskRoutes } from './taskRoutes';

export interface ServerOptions
  extends Omit<SchedulerOptions & NodeOptions & PoolOptions, 'accountName' | 'accountUrl'> {
  readonly account: Account;
  /** Undefined where no container engine answers. */
  readonly containers?: Containers;
  /** Bearer tokens that are accepted in addition to signatures. */
  readonly tokens: readonly string[];
  /** 0 lets the system choose. */
  readonly port: number;
  readonly faults: boolean;
  readonly log: Log;
}

export interface Server {
  readonly url: string;
  /** Milliseconds since the last request; 0 while tasks wait or run. */
  idleMs(): number;
  /** `isOurs` tells whether the data folder is still the service's: another's processes are left alone. */
  close(options: { readonly isOurs: boolean }): Promise<void>;
}

const router = new Router([
  ...accountRoutes,
  ...certificateRoutes,
  ...poolRoutes,
  ...nodeRoutes,
  ...nodeAccessRoutes,
  ...jobRoutes,
  ...scheduleRoutes,
  ...taskRoutes,
  ...fileRoutes,
  ...faultRoutes,
]);

/**
 * Starts the Batch service of one data folder on loopback. Its `close` closes the journal. If it rejects, nothing of it
 * is left, and the journal is still open.
 */
export async function startServer(options: ServerOptions, { journal, state }: Loaded): Promise<Server> {
  const { account, tokens, log } = options;
  const faults = new Faults(options.faults);
  let url = '';
  const surroundings = { ...options, accountName: account.name, accountUrl: () => url };
  const supervisor = new Supervisor(log);
  const nodes = new Nodes(state, surroundings, faults, supervisor, log);
  const pools = new Pools(state, surroundings, nodes, faults, supervisor);
  const taskTokens = new TaskTokens();
  const jobTasks = new JobTasks(state, surroundings, nodes, supervisor);
  const jobs = new Jobs(state, nodes, pools, jobTasks, supervisor);
  const jobSchedules = new JobSchedules(
    state,
    jobs,
    pools,
    supervisor,
    () => Date.now() + faults.clockOffsetMs,
  );
  const execution = new Execution({
    ...{ state, nodes, jobs, jobTasks, supervisor },
    options: surroundings,
    tokens: taskTokens,
  });
  const autoscaling = new Autoscaling(state, pools, supervisor);
  const scheduler = new Scheduler(
    { state, pools, nodes, jobs, jobTasks, execution, autoscaling, supervisor },
    surroundings,
  );
  const disturbances = new Disturbances(state, nodes, faults, supervisor);
  const pastStates = new PastStates(state, faults, supervisor);
  const context: Context = {
    state,
    scheduler,
    pools,
    nodes,
    jobs,
    jobSchedules,
    autoscaling,
    faults,
    disturbances,
    pastStates,
    supervisor,
    log,
    containers: options.containers,
    storage: options.storage,
    accountName: account.name,
    base: () => url,
  };
  jobSchedules.onDue = (schedule, jobId) => {
    makeJob(context, jobId, structuredClone(schedule.wire.jobSpecification) as Wire, schedule);
  };
  const answers = new Answers({
    ...{ context, router, account, tokens, taskTokens, pastStates, dataDir: options.dataDir },
    sender: new Sender(faults, () => url),
  });
  /** By a clock that nobody sets. */
  let lastRequest = performance.now();

  const server = createServer((request, response) => {
    lastRequest = performance.now();
    answers.answer(request, response).catch((error) => {
      log(`Unexpected: ${error instanceof Error ? error.stack : error}`);
      response.destroy();
    });
  });
  server.keepAliveTimeout = 65_000;

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, '127.0.0.1', () => resolve());
  });
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const closeConnections = () => {
    server.close();
    server.closeAllConnections();
  };
  try {
    await options.containers?.removeLeftovers();
    await scheduler.start();
    jobSchedules.start();
  } catch (error) {
    closeConnections();
    await scheduler.close({ isOurs: false });
    throw error;
  }
  answers.start();
  return {
    url,
    idleMs: () => (scheduler.isBusy || jobSchedules.isWaiting ? 0 : performance.now() - lastRequest),
    async close({ isOurs }) {
      closeConnections();
      await scheduler.close({ isOurs });
      await options.containers?.close();
      journal.close();
    },
  };
}
