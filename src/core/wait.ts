import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

interface Waiting {
  readonly signal: AbortSignal;
  readonly minutes: number;
  /** The error when it lasts longer. */
  readonly stuck: () => Error;
}

/** Asks until it is done, each time after a longer pause (up to 10 s): for states that pass by themselves. */
export async function waitFor<T>(
  ask: () => Promise<{ value: T; done: boolean }>,
  { signal, minutes, stuck }: Waiting,
): Promise<T> {
  const end = Date.now() + minutes * 60_000;
  for (let pause = 250; ; pause = Math.min(pause * 1.5, 10_000)) {
    const { value, done } = await ask();
    if (done) return value;
    if (Date.now() > end) throw stuck();
    await delay(pause, undefined, { signal });
  }
}

/** Aborts with the first of them. As many requests as there are at a time may listen to it, which is no leak. */
export function anyOf(...signals: AbortSignal[]): AbortSignal {
  const any = AbortSignal.any(signals);
  setMaxListeners(0, any);
  return any;
}
