import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

/** The current time and the passing of time. Tests pass a clock on which hours pass in seconds. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after `ms` milliseconds. Rejects with the signal's reason when the signal aborts. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = { now: () => Date.now(), pause };

/** The longest time that a Node timer can wait, in milliseconds. */
const maxTimerMs = 2 ** 31 - 1;

/** `setTimeout` as a promise that rejects with the signal's reason, where Node's own rejects with a bare AbortError. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(Math.min(ms, maxTimerMs), undefined, { signal });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
}

/**
 * Rejects with an AbortError as soon as the signal aborts, for work that does not listen to it or shares its result with
 * others. The outcome of the work is then ignored.
 */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignalLike | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const abort = () => reject(new DOMException('This operation was aborted', 'AbortError'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    const end = () => signal.removeEventListener('abort', abort);
    work.then(resolve, reject).then(end, end);
  });
}

/** What the signals of Azure's packages have in common with `AbortSignal`. */
interface AbortSignalLike {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

interface WaitOptions {
  readonly signal: AbortSignal;
  readonly minutes: number;
  /** Makes the error that is thrown after that time. */
  readonly stuck: () => Error;
  readonly clock?: Clock;
}

/** Asks until the state is reached, with growing pauses up to 10 s. For states that end by themselves. */
export async function waitFor<T>(
  ask: () => Promise<{ value: T; done: boolean }>,
  { signal, minutes, stuck, clock = systemClock }: WaitOptions,
): Promise<T> {
  const end = clock.now() + minutes * 60_000;
  for (let pauseMs = 250; ; pauseMs = Math.min(pauseMs * 1.5, 10_000)) {
    const { value, done } = await ask();
    if (done) return value;
    if (clock.now() > end) throw stuck();
    await clock.pause(pauseMs, signal);
  }
}

/** Milliseconds after which a request that was cut off has taken effect or never will. */
const lateMs = 20_000;

/**
 * Polls, with growing pauses, for the effect of a request that was cut off, until it appears or no longer can.
 * Returns whether it appeared.
 */
export async function whenArrived(
  ask: () => Promise<boolean>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<boolean> {
  const end = clock.now() + lateMs;
  for (let pauseMs = 500; ; pauseMs = Math.min(pauseMs * 2, 4_000)) {
    if (await ask()) return true;
    if (clock.now() >= end) return false;
    await clock.pause(pauseMs, signal);
  }
}

/** Work that ends when its signal aborts. */
type Work = (signal: AbortSignal) => Promise<void>;

/**
 * Runs several pieces of work at once. The first failure aborts the others, and is thrown when all of them have settled:
 * nothing goes on afterwards, and what an abort makes the others throw does not hide the cause.
 */
export async function together(signal: AbortSignal, ...works: readonly Work[]): Promise<void> {
  const stop = new AbortController();
  const own = anyOf(signal, stop.signal);
  let failure: { readonly error: unknown } | undefined;
  await Promise.all(
    works.map(async (work) => {
      try {
        await work(own);
      } catch (error) {
        failure ??= { error: own.aborted ? own.reason : error };
        stop.abort(failure.error);
      }
    }),
  );
  if (failure) throw failure.error;
}

interface Ticks {
  readonly ms: number;
  /** Until the first tick. Default: `ms`. */
  readonly firstMs?: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Runs work, and calls `tick` every `ms` until it has ended. A failure of `tick` aborts the work and is thrown. */
export async function withTicks(
  work: Work,
  tick: Work,
  { ms, firstMs = ms, clock, signal }: Ticks,
): Promise<void> {
  const ended = new AbortController();
  await together(
    signal,
    (own) => work(own).finally(() => ended.abort()),
    async (own) => {
      const either = anyOf(own, ended.signal);
      for (let pauseMs = firstMs; !ended.signal.aborted; pauseMs = ms) {
        try {
          await clock.pause(pauseMs, either);
          await tick(either);
        } catch (error) {
          if (!ended.signal.aborted) throw error;
        }
      }
    },
  );
}

/** Aborts with the first of the signals. Any number of requests may listen to it at a time: that is no leak. */
export function anyOf(...signals: AbortSignal[]): AbortSignal {
  const any = AbortSignal.any(signals);
  setMaxListeners(0, any);
  return any;
}
