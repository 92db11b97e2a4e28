import { machine } from '../test/service/harness';

export interface RandomRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

/** Random choices, the same for the same seed. */
export interface Chosen {
  /** A whole number from 0 to `max`. */
  upTo(max: number): number;
  oneOf<T>(all: readonly T[]): T;
  /** True once in so many times. */
  onceIn(times: number): boolean;
}

export function chooserOf(random: () => number): Chosen {
  const upTo = (max: number) => Math.floor(random() * (max + 1));
  return {
    upTo,
    oneOf: (all) => all[upTo(all.length - 1)] as (typeof all)[number],
    onceIn: (times) => upTo(times - 1) === 0,
  };
}

const version = 'api-version=2025-06-01';
const poolIds = ['p0', 'p0', 'p0', 'p1', 'p2', 'P0'];
const jobIds = ['j0', 'j0', 'j0', 'j1', 'j2', 'J0'];
const taskIds = ['1', '01', '2', '3', '4', '5', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'jobpreparation'];
const badIds = ['../p', '%2e%2e', '..', '.', '', 'x'.repeat(65), 'j/../../x', 'nul\u0000'];

/** What a task may do to the service that runs it. */
const scripts = [
  'true',
  'exit 3',
  'sleep 30',
  'trap : TERM; while :; do sleep 1; done',
  'mkdir d; echo 1 > d/x; ln -s d l; mkfifo p; ln -s /dev/zero z',
  'mkdir ro; touch ro/x; chmod 555 ro . ..; exit 1',
  'chmod 000 .. .; exit 1',
  'rm -rf ../*; rm -rf .; true',
  'rm -f ../stdout.txt ../fileuploadout.txt; mkfifo ../fileuploadout.txt ../stdout.txt ../stderr.txt; exit 1',
  'head -c 20000000 /dev/zero > big; (while :; do : > big; head -c 20000000 /dev/zero > big; done) & sleep 0.1',
  'ln -s / root; ln -s .. up; ln -s self self',
  'kill -9 $$',
  'kill -TERM 0',
  'sleep 60 & sleep 60 & exit 0',
  'head -c 3000000 /dev/urandom; head -c 3000000 /dev/urandom >&2',
  'for i in 1 2 3 4 5 6 7 8 9; do mkdir -p a/$i/b/c; echo $i > a/$i/b/c/f; done',
];
const commands = [
  '/bin/true',
  'no-such-program',
  '',
  '   ',
  '"',
  "'",
  '/',
  '/etc/passwd',
  '\u0000',
  `/bin/echo ${'x'.repeat(200_000)}`,
  'é🎬',
];
const patterns = [
  '*',
  '**/*',
  'd',
  'l',
  'p',
  'z',
  'big',
  'root',
  `${'*a'.repeat(40)}b`,
  '/etc/passwd',
  '../*',
  '[',
  '[!',
  '',
  '$AZ_BATCH_TASK_DIR/*.txt',
  '\u0000',
];
const durations = [
  'PT1S',
  'PT0S',
  'P1W',
  'P3Y6M4DT12H30M5S',
  'P10675199DT2H48M5.4775807S',
  'PT',
  '-PT1S',
  'x',
  'PT99999999999999H',
];
const formulas = [
  '$TargetDedicatedNodes = 1',
  '$TargetDedicatedNodes = 4 / max($RunningTasks.GetSample(1));',
  '$TargetDedicatedNodes = 0/0;',
  '$TargetDedicatedNodes = -5;',
  '$TargetDedicatedNodes = 99999999999999;',
  `$TargetDedicatedNodes = ${'('.repeat(3_500)}1${')'.repeat(3_500)};`,
  `$TargetDedicatedNodes = ${'-'.repeat(8_000)}1;`,
  'hasOwnProperty(1);',
  'constructor = 1; __proto__ = 2; $TargetDedicatedNodes = constructor;',
  'a = rand(); $TargetDedicatedNodes = a * 3; $NodeDeallocationOption = taskcompletion;',
  'v = doubleVec(1,2,3); v = doubleVec(v,v,v); $TargetDedicatedNodes = len(v);',
  '$NodeDeallocationOption = 7;',
  '"',
  '',
];
const filters = [
  "id eq 'a'",
  "state eq 'active' and startswith(id, 'j')",
  `${'('.repeat(2_500)}id eq 'a'${')'.repeat(2_500)}`,
  `${'not '.repeat(2_000)}(id eq 'a')`,
  'id',
  "'",
  'startswith(',
];
const junk: readonly unknown[] = [
  null,
  -1,
  0,
  1e308,
  2_147_483_648,
  '',
  'x',
  '\u0000',
  [],
  {},
  true,
  'x'.repeat(10_000),
  { __proto__: null, constructor: 1 },
  [[[[[]]]]],
];

/** What a round begins with: a pool with nodes and a job, if they do not exist. */
export function basis(): RandomRequest[] {
  return [
    post('/pools', { id: 'p0', ...machine, targetDedicatedNodes: 2, taskSlotsPerNode: 4 }),
    post('/jobs', { id: 'j0', poolInfo: { poolId: 'p0' }, usesTaskDependencies: true }),
  ];
}

/** A request to some route, mostly of a valid form, with members that may be anything. */
export function randomRequest(chosen: Chosen, containerUrl: string): RandomRequest {
  const id = (valid: readonly string[]) => chosen.oneOf(chosen.onceIn(12) ? badIds : valid);
  const [pool, job, task] = [id(poolIds), id(jobIds), id(taskIds)];
  const requests: readonly (() => RandomRequest)[] = [
    () => post('/pools', poolBody(chosen, pool)),
    () => post('/jobs', jobBody(chosen, job, pool)),
    ...Array.from(
      { length: 8 },
      () => () => post(`/jobs/${job}/tasks`, taskBody(chosen, task, containerUrl)),
    ),
    () => {
      const value = Array.from({ length: chosen.upTo(20) }, (_, index) =>
        taskBody(chosen, `${task}-${index}`, containerUrl),
      );
      return post(`/jobs/${job}/addtaskcollection`, { value });
    },
    () => post(`/jobs/${job}/tasks/${task}/${chosen.oneOf(['terminate', 'reactivate'])}`),
    () => post(`/jobs/${job}/${chosen.oneOf(['terminate', 'enable', 'disable'])}`, disableBody(chosen)),
    () => post(`/pools/${pool}/resize`, spoil(chosen, { targetDedicatedNodes: chosen.upTo(5) })),
    () =>
      post(`/pools/${pool}/${chosen.oneOf(['enableautoscale', 'evaluateautoscale'])}`, {
        autoScaleFormula: chosen.oneOf(formulas),
      }),
    () => post(`/pools/${pool}/${chosen.oneOf(['stopresize', 'disableautoscale', 'removenodes'])}`),
    () => ({ method: 'PATCH', path: `/pools/${pool}?${version}`, body: poolBody(chosen, pool) }),
    () => ({
      method: 'PATCH',
      path: `/jobs/${job}?${version}`,
      body: spoil(chosen, { priority: chosen.upTo(9) }),
    }),
    () => ({
      method: 'PUT',
      path: `/jobs/${job}/tasks/${task}?${version}`,
      body: { constraints: constraintsOf(chosen) },
    }),
    () =>
      get(
        chosen.oneOf([
          '/pools',
          '/jobs',
          `/jobs/${job}/tasks`,
          `/pools/${pool}/nodes`,
          '/nodecounts',
          '/supportedimages',
        ]),
      ),
    () => get(`${chosen.oneOf(['/pools', '/jobs'])}`, `$filter=${encodeURIComponent(chosen.oneOf(filters))}`),
    () => get(`/jobs/${job}/tasks/${task}/files`, 'recursive=true'),
    () =>
      get(
        `/jobs/${job}/tasks/${task}/files/${chosen.oneOf(['stdout.txt', 'wd%2Fp', 'wd/big', '..%2f..%2f..', 'fileuploadout.txt', 'wd/root/etc/passwd'])}`,
      ),
    () => ({ method: 'DELETE', path: `/jobs/${job}/tasks/${task}?${version}` }),
    () => ({
      method: 'DELETE',
      path: `/${chosen.onceIn(3) ? `pools/${pool}` : `jobs/${chosen.oneOf(['j1', 'j2'])}`}?${version}`,
    }),
  ];
  return chosen.oneOf(requests)();
}

function get(path: string, query = ''): RandomRequest {
  return { method: 'GET', path: `${path}?${version}${query === '' ? '' : `&${query}`}` };
}

function post(path: string, body?: unknown): RandomRequest {
  return { method: 'POST', path: `${path}?${version}`, body };
}

function poolBody(chosen: Chosen, id: string): unknown {
  const scale = chosen.onceIn(3)
    ? { enableAutoScale: true, autoScaleFormula: chosen.oneOf(formulas) }
    : { targetDedicatedNodes: chosen.oneOf([1, 2, 3, -1, 20_000, 1.5]) };
  const startTask = {
    commandLine: command(chosen),
    waitForSuccess: chosen.onceIn(2),
    maxTaskRetryCount: chosen.upTo(2),
  };
  return spoil(chosen, {
    id,
    ...machine,
    ...scale,
    taskSlotsPerNode: chosen.oneOf([1, 4, 8]),
    ...(chosen.onceIn(4) ? { startTask } : {}),
    ...(chosen.onceIn(8) ? { metadata: nested(chosen.oneOf([10, 500, 2_000])) } : {}),
  });
}

function jobBody(chosen: Chosen, id: string, poolId: string): unknown {
  const autoPoolSpecification = {
    autoPoolIdPrefix: chosen.oneOf(['auto', '../../../x', 'x'.repeat(30), '']),
    poolLifetimeOption: 'job',
    pool: { ...machine, targetDedicatedNodes: 1 },
  };
  return spoil(chosen, {
    id,
    poolInfo: chosen.onceIn(6) ? { autoPoolSpecification } : { poolId },
    usesTaskDependencies: true,
    onAllTasksComplete: chosen.oneOf(['noaction', 'terminatejob', 'terminateJob']),
    onTaskFailure: chosen.oneOf(['noaction', 'performexitoptionsjobaction']),
    ...(chosen.onceIn(6) ? { constraints: constraintsOf(chosen) } : {}),
    ...(chosen.onceIn(6) ? { jobPreparationTask: { commandLine: command(chosen) } } : {}),
    ...(chosen.onceIn(8) ? { jobReleaseTask: { commandLine: command(chosen) } } : {}),
  });
}

function taskBody(chosen: Chosen, id: string, containerUrl: string): unknown {
  const outputFiles = [
    {
      filePattern: chosen.oneOf(patterns),
      destination: {
        container: { containerUrl: chosen.oneOf([containerUrl, 'http://127.0.0.1:9/a/b', 'x']), path: id },
      },
      uploadOptions: { uploadCondition: chosen.oneOf(['taskcompletion', 'taskSuccess', 'taskfailure']) },
    },
  ];
  const resourceFiles = [
    {
      httpUrl: chosen.oneOf([containerUrl, 'http://127.0.0.1:9/f', 'file:///etc/passwd', 'x']),
      filePath: chosen.oneOf(['f', '../f', '/f', '.', 'a/b/c', '\u0000']),
      fileMode: chosen.oneOf(['0770', '9999', 'x', '7777']),
    },
  ];
  const first = chosen.upTo(5);
  return spoil(chosen, {
    id,
    commandLine: command(chosen),
    constraints: constraintsOf(chosen),
    ...(chosen.onceIn(2) ? { outputFiles } : {}),
    ...(chosen.onceIn(6) ? { resourceFiles } : {}),
    ...(chosen.onceIn(5)
      ? {
          dependsOn: {
            taskIds: [String(first)],
            taskIdRanges: [{ start: first, end: chosen.oneOf([first, 9, 2_147_483_647]) }],
          },
        }
      : {}),
    ...(chosen.onceIn(8) ? { requiredSlots: chosen.oneOf([0, 1, 4, 9]) } : {}),
    ...(chosen.onceIn(8)
      ? {
          exitConditions: {
            exitCodes: [{ code: 0, exitOptions: { jobAction: 'terminate' } }],
            default: { dependencyAction: 'Satisfy' },
          },
        }
      : {}),
  });
}

function constraintsOf(chosen: Chosen): unknown {
  return {
    maxWallClockTime: chosen.onceIn(8) ? chosen.oneOf(durations) : chosen.oneOf(['PT2S', 'PT3S', 'PT1M']),
    maxTaskRetryCount: chosen.onceIn(12) ? -2 : chosen.upTo(2),
    retentionTime: chosen.onceIn(8) ? chosen.oneOf(durations) : chosen.oneOf(['PT1S', 'P1D']),
  };
}

function disableBody(chosen: Chosen): unknown {
  return spoil(chosen, { disableTasks: chosen.oneOf(['requeue', 'terminate', 'wait', 'Requeue', 'x']) });
}

function command(chosen: Chosen): string {
  return chosen.onceIn(5) ? chosen.oneOf(commands) : `/bin/sh -c '${chosen.oneOf(scripts)}'`;
}

/** Once in a while, one member of a body becomes something else. */
function spoil(chosen: Chosen, body: Record<string, unknown>): unknown {
  if (!chosen.onceIn(6)) return body;
  if (chosen.onceIn(10)) return chosen.oneOf(junk);
  return { ...body, [chosen.oneOf([...Object.keys(body), 'unknownMember'])]: chosen.oneOf(junk) };
}

function nested(depth: number): unknown {
  let value: unknown = {};
  for (let level = 0; level < depth; level++) value = { value };
  return [value];
}
