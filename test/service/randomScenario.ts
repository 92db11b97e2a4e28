import { type Problem, rootProblem } from '../../src/core/errors';
import type { PoolLifetime, Until } from '../../src/core/plan/manifest';
import { randomOf } from '../random';
import { type Disturbance, disturbances } from './disobedientProxy';

/** What other clients of the account, or its machines, do to a run; and the problems of files that this explains. */
const explained = {
  terminateJob: ['ended', 'jobEnded'],
  deleteJob: ['ended', 'jobEnded', 'taskDeleted'],
  disableJob: [],
  deleteTask: ['taskDeleted', 'ended'],
  terminateTask: ['ended'],
  deletePool: ['poolUnusable', 'ended', 'jobEnded'],
  resizePool: [],
  deleteOutput: ['outputMissing', 'outputDamaged'],
  deleteInput: ['inputNotReachable'],
  deleteInputs: ['inputNotReachable', 'service'],
  preempt: [],
  breakNode: ['poolUnusable', 'ended'],
  breakLease: [],
} as const satisfies Record<string, readonly Problem['kind'][]>;

export type Deed = keyof typeof explained;

const deeds = Object.keys(explained) as Deed[];

/**
 * How a window ends before its work does. `kill`: nothing of it reaches the service any more. `cut`: one of the two services
 * cannot be reached any more. `sleep`: the machine sleeps for longer than the lease of the run lasts.
 */
const endings = ['abort', 'kill', 'cut', 'sleep', 'cancel'] as const;

export type Ending = (typeof endings)[number];

interface Timed<T> {
  readonly what: T;
  /** Number of the request of a window at which it happens. */
  readonly at: number;
}

export interface Scenario {
  readonly files: number;
  /** `h264-480p`: the videos are transcoded in parts. */
  readonly preset: 'mp3' | 'hls' | 'h264-480p';
  readonly lifetime: PoolLifetime;
  readonly spotNodes: number;
  /** What happens to requests, and to which share of them. */
  readonly disturbed: readonly Disturbance[];
  readonly share: number;
  /** How long a request is tried again. */
  readonly patienceMs: number;
  readonly deeds: readonly Timed<Deed>[];
  /** How the windows end, one after another. The last window is another one, which works to the end. */
  readonly endings: readonly Timed<Ending>[];
  /** Faults that are ordered of the local Batch service. */
  readonly service: Readonly<Record<string, unknown>>;
  readonly until: Until;
}

/** Ends all faults of the service that a scenario can order. */
export const noFaults = {
  countsLagMs: 0,
  listsLagMs: 0,
  nodeArrivalMs: 0,
  resizingMs: 0,
  interruptStartTasks: 0,
  unusable: 0,
  preemptEveryMs: 0,
};

export function scenarioOf(seed: number): Scenario {
  const random = randomOf(seed);
  const oneOf = <T>(all: readonly T[]) => all[Math.floor(random() * all.length)] as T;
  const upTo = (max: number) => Math.floor(random() * (max + 1));
  const some = <T>(count: number, make: () => T) => Array.from({ length: count }, make);
  const service: Record<string, unknown> = { seed };
  if (upTo(4) === 0) service.countsLagMs = 500 + upTo(2_000);
  if (upTo(4) === 0) service.listsLagMs = 500 + upTo(2_000);
  if (upTo(5) === 0) service.nodeArrivalMs = 300;
  if (upTo(5) === 0) service.resizingMs = 500 + upTo(2_000);
  if (upTo(5) === 0) service.interruptStartTasks = 1;
  if (upTo(5) === 0) service.unusable = 1;
  if (upTo(6) === 0) service.preemptEveryMs = 400;
  return {
    files: 1 + upTo(4),
    preset: oneOf(['hls', 'h264-480p', 'mp3', 'mp3', 'mp3', 'mp3', 'mp3']),
    lifetime: oneOf(['run', 'scaleToZero', 'keep']),
    spotNodes: 1 + upTo(2),
    disturbed: some(upTo(4), () => oneOf(disturbances)),
    share: oneOf([0.02, 0.05, 0.1, 0.25]),
    patienceMs: oneOf([300, 2_000, 5_000]),
    deeds: upTo(1) === 0 ? [] : some(1 + upTo(1), () => ({ what: oneOf(deeds), at: 1 + upTo(60) })),
    endings: some(upTo(3), () => ({ what: oneOf(endings), at: 1 + upTo(50) })),
    service,
    until: oneOf(['uploaded', 'submitted', 'fetched', 'fetched', 'fetched', 'fetched']),
  };
}

/** Whether something that was done explains the problem of a file or a run. */
export function isExplained(problem: Problem, done: ReadonlySet<Deed>): boolean {
  const { kind } = rootProblem(problem);
  return [...done].some((deed) => (explained[deed] as readonly Problem['kind'][]).includes(kind));
}

/** Whether a problem is what the disturbances of its requests bring about, or what others did. */
export function isExpected(
  problem: Problem,
  { disturbed, endings: ends }: Pick<Scenario, 'disturbed' | 'endings'>,
  done: ReadonlySet<Deed>,
): boolean {
  const isLeftByOthers = ends.some(({ what }) => what !== 'abort');
  switch (problem.kind) {
    case 'unreachable':
      return disturbed.length > 0 || isLeftByOthers;
    case 'throttled':
      return disturbed.some((each) => each === 'busy' || each === 'throttled');
    case 'unauthorized':
      return disturbed.some((each) => each === 'unauthorized' || each === 'forbidden');
    case 'service':
      return (
        (problem.status !== 409 && disturbed.some((each) => /^(failed|timedOut|busy)/.test(each))) ||
        isExplained(problem, done)
      );
    case 'runTaken':
      return done.has('breakLease') || isLeftByOthers;
    default:
      return isExplained(problem, done);
  }
}
