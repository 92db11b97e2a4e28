import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Batch } from '../../src/core/azure/batch';
import { Storage } from '../../src/core/azure/storage';
import { type Problem, UserError } from '../../src/core/errors';
import { DiskFiles } from '../../src/core/files/localFiles';
import type { FileResult, Manifest } from '../../src/core/plan/manifest';
import { manifestBlob } from '../../src/core/records/manifestStore';
import { canFetchAgain } from '../../src/core/runs/fetch';
import { Run } from '../../src/core/runs/run';
import type { RunParts } from '../../src/core/runs/runState';
import { Transfers } from '../../src/core/transfers/transfers';
import { randomOf } from '../random';
import { type DisobedientProxy, disobedientProxy } from './disobedientProxy';
import { eventually, type TestService } from './harness';
import { breakLease, doDeed } from './othersDeeds';
import { checkAccount, checkCleanUp, checkFiles, type Played, preciousText } from './randomChecks';
import { type Deed, type Ending, isExpected, isExplained, noFaults, type Scenario } from './randomScenario';
import { manifestOf, partsOf } from './runSetup';

const never = new AbortController().signal;

/** Milliseconds that a window waits for the lease of another one, which lasts 15 seconds. */
const waitMs = 20_000;

/** How often a user opens a run again when all faults have ended, until it is done. */
const maxTries = 4;

/** A window, with its own ways to Batch and Storage. */
interface Window {
  readonly batch: DisobedientProxy;
  readonly blobs: DisobedientProxy;
  readonly parts: RunParts;
}

/** Plays random scenarios: a run through several windows, in an account with faults. */
export class RandomRuns {
  #expected: Buffer | undefined;
  /** What happened in the scenario that is played. */
  #story: string[] = [];
  /** What the windows do that slept in it. */
  #sleepers: Promise<string>[] = [];

  constructor(
    private readonly service: TestService,
    private readonly root: string,
    private readonly samples: {
      readonly short: string;
      /** For videos in parts: 12 seconds. */
      readonly long: string;
    },
  ) {}

  /** Plays a scenario. Throws, with what happened, if a check fails afterwards. */
  async play(seed: number, scenario: Scenario): Promise<void> {
    this.#sleepers = [];
    this.#story = [`seed ${seed}: ${JSON.stringify(scenario)}`];
    const folder = join(this.root, `seed-${seed}`);
    mkdirSync(folder);
    const paths = Array.from({ length: scenario.files }, (_, index) => join(folder, `clip ${index}.mp4`));
    const { preset, lifetime, spotNodes } = scenario;
    const isSplit = preset === 'h264-480p';
    for (const path of paths) copyFileSync(isSplit ? this.samples.long : this.samples.short, path);
    const precious = join(folder, preset === 'mp3' ? 'clip 0.mp3' : 'clip 0.txt');
    writeFileSync(precious, preciousText);
    const options = { preset, lifetime, spotNodes, monitorMinutes: 10 };
    const manifest = await manifestOf(paths, { ...options, ...(isSplit && { partSeconds: 4 }) });
    const done = new Set<Deed>(scenario.service.unusable ? ['breakNode'] : []);
    const windows: Window[] = [];
    try {
      await this.#play(seed, { manifest, folder, precious, scenario, done }, done, windows);
    } catch (error) {
      const all = windows.flatMap(({ batch, blobs }, index) =>
        [...batch.disturbed, ...blobs.disturbed].map(
          ({ line, by }) => `  window ${index + 1}: ${by} ${line}`,
        ),
      );
      // What is left must not fail the next scenario, too.
      await this.service.fault(noFaults);
      await checkCleanUp(this.service).catch(() => undefined);
      throw new Error([...this.#story, ...all, String(error)].join('\n'), { cause: error });
    } finally {
      await this.service.fault(noFaults);
      for (const { batch, blobs } of windows) await Promise.all([batch.close(), blobs.close()]);
    }
  }

  async #play(seed: number, played: Played, done: Set<Deed>, windows: Window[]): Promise<void> {
    const { manifest, scenario } = played;
    const { storage } = partsOf(this.service).parts;
    const foreign = `transcode-of-others-${seed}`;
    await storage.createContainer(foreign, {}, never);
    await this.service.fault(scenario.service);
    const random = randomOf(seed + 1_000_000);
    let isCanceled = false;
    for (const ending of [...scenario.endings, undefined]) {
      const window = await this.#openWindow(scenario, random);
      windows.push(window);
      const outcome = await this.#workIn(window, { manifest, scenario, done }, ending);
      this.#story.push(`window ${windows.length} (${ending?.what ?? 'to the end'}): ${outcome}`);
      isCanceled ||= outcome === 'canceled';
    }
    for (const outcome of await Promise.all(this.#sleepers)) this.#story.push(`after its sleep: ${outcome}`);
    await this.service.fault(noFaults);
    await eventually(
      async () => windows.every(({ batch, blobs }) => batch.isIdle && blobs.isIdle),
      (areIdle) => areIdle,
    );
    const isMade = await this.#isMade(manifest);
    const { results, wasCanceled } = isMade
      ? await this.#finish(played, isCanceled)
      : { results: new Map<string, FileResult>(), wasCanceled: true };
    const mayBeUnfinished = wasCanceled || !isMade;
    this.#expected = await checkFiles(played, results, { mayBeUnfinished, expected: this.#expected });
    await checkAccount(this.service, manifest, results, mayBeUnfinished);
    await checkCleanUp(this.service);
    if ((await storage.containerMetadata(foreign, never)) === undefined)
      throw new Error('a container of others was deleted');
    await storage.deleteContainer(foreign, never);
  }

  async #openWindow({ disturbed, share, patienceMs }: Scenario, random: () => number): Promise<Window> {
    const { connection, ready } = this.service;
    const [batch, blobs] = [await disobedientProxy(ready.batchUrl), await disobedientProxy(ready.blobUrl)];
    for (const proxy of [batch, blobs]) {
      proxy.disturb = (line) => {
        // It can happen only for a moment after the creation of a resource.
        const isOfOne = /^GET \/(jobs|pools)\//.test(line);
        if (disturbed.includes('notYet') && isOfOne && random() < 0.3) return 'notYet';
        return random() < share ? disturbed[Math.floor(random() * disturbed.length)] : undefined;
      };
    }
    const account = { ...connection.account, batchUrl: batch.url, blobUrl: blobs.url };
    const own = { ...connection, account };
    const storage = new Storage(own, { patienceMs });
    const parts = {
      ...partsOf({ connection: own }).parts,
      batch: new Batch(own, { patienceMs }),
      storage,
      transfers: new Transfers(storage, new DiskFiles()),
    };
    return { batch, blobs, parts };
  }

  /** Creates or opens the run in a window and works on it until the window ends. Returns what came of it. */
  async #workIn(
    { batch, blobs, parts }: Window,
    { manifest, scenario, done }: Pick<Played, 'manifest' | 'scenario'> & { readonly done: Set<Deed> },
    ending: Scenario['endings'][number] | undefined,
  ): Promise<string> {
    const isMade = await this.#isMade(manifest);
    const stop = new AbortController();
    let run: Run | undefined;
    let canceling: Promise<unknown> | undefined;
    let others: Promise<unknown> = Promise.resolve();
    const beside = (work: () => Promise<unknown>) => {
      others = Promise.all([others, work()]);
    };
    let leave: (how: string) => void = () => undefined;
    const left = new Promise<string>((resolve) => {
      leave = resolve;
    });
    const end: Record<Ending, () => void> = {
      abort: () => stop.abort(),
      kill: () => {
        batch.kill();
        blobs.kill();
        stop.abort();
        leave('killed');
      },
      cut: () => (scenario.files % 2 === 0 ? batch : blobs).kill(),
      sleep: () => {
        const wake = [batch.sleep(), blobs.sleep()];
        beside(async () => {
          await breakLease(this.service, manifest);
          await pause(1_000);
          for (const each of wake) each();
        });
        // Another window knows of the run once it is made.
        if (run) leave('asleep');
      },
      cancel: () => {
        canceling = run?.cancel(AbortSignal.timeout(60_000));
        canceling?.catch(() => undefined);
      },
    };
    let isEnding = false;
    const onRequest = () => {
      const count = batch.count + blobs.count;
      for (const { what, at } of scenario.deeds) {
        if (at !== count || done.has(what)) continue;
        done.add(what);
        beside(async () => {
          this.#story.push(`others: ${what} ${await doDeed(this.service, what, manifest)}`);
        });
      }
      if (ending?.at !== count || isEnding) return;
      isEnding = true;
      end[ending.what]();
    };
    batch.onRequest = onRequest;
    blobs.onRequest = onRequest;
    const works = async () => {
      try {
        run = isMade
          ? await Run.open(parts, manifest.outputContainer, stop.signal, { waitMs })
          : await Run.create(parts, structuredClone(manifest), stop.signal);
        const until = ending === undefined ? 'fetched' : scenario.until;
        const summary = await run.advance(until, stop.signal, { isAsked: false });
        await canceling;
        return canceling ? 'canceled' : JSON.stringify(summary);
      } catch (error) {
        const [canceled] = canceling ? await Promise.allSettled([canceling]) : [];
        if (canceled?.status === 'fulfilled') return 'canceled';
        return whatEnded(error, (problem) => isExpected(problem, scenario, done));
      } finally {
        await others;
        await run?.close();
      }
    };
    const working = works();
    // Of a window that was killed, nothing reaches the service any more. One that sleeps wakes while others work.
    const outcome = await Promise.race([working, left]);
    if (outcome === 'asleep') this.#sleepers.push(working);
    if (ending?.what === 'kill' || ending?.what === 'cut') await breakLease(this.service, manifest);
    return outcome;
  }

  async #isMade({ outputContainer }: Manifest): Promise<boolean> {
    const { storage } = partsOf(this.service).parts;
    return (await storage.readText(outputContainer, manifestBlob, never)) !== undefined;
  }

  /** Opens the run until all is done, in an account without faults. */
  async #finish(
    { manifest, done }: Pick<Played, 'manifest' | 'done'>,
    isCanceled: boolean,
  ): Promise<{ results: ReadonlyMap<string, FileResult>; wasCanceled: boolean }> {
    const { parts } = partsOf(this.service);
    for (let tries = 1; ; tries++) {
      const run = await Run.open(parts, manifest.outputContainer, never, { waitMs });
      const { results } = run;
      const wasCanceled = isCanceled || run.manifest.canceled !== undefined;
      try {
        const summary = await run.advance('fetched', never, { isAsked: false });
        this.#story.push(`at last: ${JSON.stringify(summary)}`);
        const isDone = summary.unfinished === 0 && ![...results.values()].some(canFetchAgain);
        if (isDone || tries === maxTries) return { results, wasCanceled };
      } catch (error) {
        this.#story.push(`at last: ${whatEnded(error, (problem) => isExplained(problem, done))}`);
        if (tries === maxTries) throw error;
      } finally {
        await run.close();
      }
    }
  }
}

/** What an error says. Throws errors that nothing explains. */
function whatEnded(error: unknown, isTrue: (problem: Problem) => boolean): string {
  if (error instanceof Error && error.name === 'AbortError') return 'stopped';
  if (!(error instanceof UserError)) throw error;
  const text = JSON.stringify(error.problem);
  if (!isTrue(error.problem)) throw new Error(`nothing explains ${text}`, { cause: error });
  return text;
}
