import { readdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism, constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endDaemons, endRecorded, endTree, forget, groupMembers, groupsWith } from './processTree';
import { openNodeStarter, openPerlStarter, type StarterProcess } from './starterProcess';
import type { StartOrder, StartReply } from './startOrders';

export type ProcessRequest = Omit<StartOrder, 'id'>;

export interface ProcessEnd {
  /** As a shell reports it: 128 and the signal's number if a signal ended it. */
  readonly exitCode: number;
}

export interface RunningProcess {
  readonly done: Promise<ProcessEnd>;
  /** Ends the process with everything it started. */
  kill(): void;
}

export interface RunningGroup extends RunningProcess {
  /** Ends what a process with `keepsGroup` has left running, and itself. Resolves once that has ended. */
  endGroup(): Promise<void>;
}

/** Between SIGTERM and SIGKILL. */
const graceMs = 2_000;
/** After SIGKILL, a process that the system does not end (it waits for a device) counts as ended. */
const unendingMs = 3_000;
/** Between two checks of a process group that is ending. */
const groupPollMs = 10;
/** When a starter has died, a program that it was about to start begins within this time. */
const unreportedMs = 500;
const unreportedPollMs = 50;

/** How a program ends with the process that started it. */
const lostEnd: ProcessEnd = { exitCode: 128 + constants.signals.SIGKILL };

interface Started {
  readonly pid: number;
  readonly ended: Promise<ProcessEnd>;
}

interface Waiting {
  readonly order: Omit<StartOrder, 'id'>;
  readonly started: (pid: number) => void;
  readonly refused: (error: Error) => void;
  readonly ended: (end: ProcessEnd) => void;
  pid?: number;
}

/** The Perl interpreter that starts programs; Node.js does where there is none that works. */
let perl: string | undefined;

/** Has programs started with this Perl interpreter, if it works. To be called before the first program is started. */
export function startWith(interpreter: string | undefined): void {
  perl = interpreter;
}

/** A small process that starts programs for this one; `starter.ts` says why. */
class Starter {
  readonly #waiting = new Map<number, Waiting>();
  /** Process groups that stay when the process that began them has ended. */
  readonly #groups = new Set<number>();
  #process: StarterProcess | undefined;
  #orders = 0;
  #starting = 0;

  /** Number of programs that it has been asked to start and that have not started yet. */
  get starting(): number {
    return this.#starting;
  }

  async start(order: Omit<StartOrder, 'id'>): Promise<Started> {
    const id = this.#orders++;
    let ended: (end: ProcessEnd) => void = () => undefined;
    const end = new Promise<ProcessEnd>((resolve) => {
      ended = resolve;
    });
    this.#starting++;
    const pid = await new Promise<number>((started, refused) => {
      this.#waiting.set(id, { order, started, refused, ended });
      this.#send(id, order);
    }).finally(() => this.#starting--);
    if (order.keepsGroup) this.#groups.add(pid);
    return { pid, ended: end };
  }

  endGroup(pid: number): void {
    this.#groups.delete(pid);
    endTree(pid, 'SIGKILL');
    // A starter that has ended has taken its groups with it.
    this.#process?.send({ endGroup: pid }, () => undefined);
  }

  #send(id: number, order: Omit<StartOrder, 'id'>): void {
    this.#process ??= this.#open();
    this.#process.send({ ...order, id }, (error) => this.#refuse(id, error));
  }

  #open(): StarterProcess {
    const events = {
      reply: (reply: StartReply) => this.#hear(reply),
      lost: (error: Error, isUnusable: boolean) => this.#lose(opened, error, isUnusable),
    };
    const opened = perl === undefined ? openNodeStarter(events) : openPerlStarter(perl, events);
    return opened;
  }

  #hear(reply: StartReply): void {
    const waiting = this.#waiting.get(reply.id);
    switch (reply.kind) {
      case 'started':
        // The last replies of a starter that was killed can arrive after its end was noticed.
        if (waiting === undefined) endTree(reply.pid, 'SIGKILL');
        else {
          waiting.pid = reply.pid;
          waiting.started(reply.pid);
        }
        return;
      case 'refused':
        this.#refuse(reply.id, Object.assign(new Error(reply.message), { code: reply.code }));
        return;
      case 'ended':
        waiting?.ended(reply);
        this.#waiting.delete(reply.id);
    }
  }

  #refuse(id: number, error: Error): void {
    this.#waiting.get(id)?.refused(error);
    this.#waiting.delete(id);
  }

  /**
   * Ends what it had started: nothing would report how that ends by itself. What a Perl interpreter that doesn't work was
   * to start is started by Node.js.
   */
  #lose(lost: StarterProcess, error: Error, isUnusable: boolean): void {
    if (this.#process !== lost) return;
    this.#process = undefined;
    if (isUnusable) {
      perl = undefined;
      for (const [id, { order }] of this.#waiting) this.#send(id, order);
      return;
    }
    for (const group of this.#groups) endTree(group, 'SIGKILL');
    this.#groups.clear();
    for (const { order, pid, refused, ended } of this.#waiting.values()) {
      if (pid !== undefined) {
        endTree(pid, 'SIGKILL');
        if (!order.keepsGroup) forget(order.recordFolder, pid);
        ended(lostEnd);
      } else {
        const refuse = () => refused(error);
        endUnreported(order).then(refuse, refuse);
      }
    }
    this.#waiting.clear();
  }
}

/** Ends what a starter may have started for an order before it died: only the environment of the program tells. */
async function endUnreported({ env }: Omit<StartOrder, 'id'>): Promise<void> {
  const { AZ_BATCH_TASK_DIR: taskDir } = env;
  if (taskDir === undefined) return;
  for (let waited = 0; waited < unreportedMs; waited += unreportedPollMs) {
    for (const group of await groupsWith(`AZ_BATCH_TASK_DIR=${taskDir}`)) endTree(group, 'SIGKILL');
    await delay(unreportedPollMs);
  }
}

/** A starter waits until the program that it starts runs, so that others start programs meanwhile. */
const starters: Starter[] = [];
const maxStarters = Math.max(2, Math.min(availableParallelism(), 4));

/** The starter with the least to start; a new one if each has something to start. */
function freeStarter(): Starter {
  const [first, ...others] = starters;
  const best = others.reduce((one, other) => (other.starting < one.starting ? other : one), first ?? open());
  return best.starting === 0 || starters.length >= maxStarters ? best : open();
}

function open(): Starter {
  const starter = new Starter();
  starters.push(starter);
  return starter;
}

/** Starts a program in a process group of its own. Rejects if it cannot be started (`ENOENT`, `EACCES`). */
export async function startProcess(order: ProcessRequest): Promise<RunningGroup> {
  const starter = freeStarter();
  const { pid, ended } = await starter.start(order);
  let isOver = false;
  let giveUp: (end: ProcessEnd) => void = () => undefined;
  const givenUp = new Promise<ProcessEnd>((resolve) => {
    giveUp = resolve;
  });
  const kill = () => {
    if (isOver) return;
    endTree(pid, 'SIGTERM');
    setTimeout(() => {
      if (isOver) return;
      endTree(pid, 'SIGKILL');
      setTimeout(giveUp, unendingMs, lostEnd).unref();
    }, graceMs).unref();
  };
  const done = Promise.race([ended, givenUp]).then((end) => {
    isOver = true;
    return end;
  });
  const endGroup = async () => {
    starter.endGroup(pid);
    const end = Date.now() + unendingMs;
    while (Date.now() < end && (await groupMembers(pid)).length > 0) await delay(groupPollMs);
    forget(order.recordFolder, pid);
  };
  return { done, kill, endGroup };
}

/** Ends the process groups and daemons that tasks left running, also those of a previous run of the service. */
export async function killLeftovers(recordFolder: string): Promise<void> {
  const dataDir = dirname(resolve(recordFolder));
  const names = await readdir(recordFolder).catch(() => []);
  for (const name of names) {
    const pid = Number(name);
    const recorded = await readFile(join(recordFolder, name), 'utf8').catch(() => '');
    if (Number.isInteger(pid)) await endRecorded(pid, recorded, dataDir);
    await rm(join(recordFolder, name), { force: true });
  }
  await endDaemons(dataDir);
}
