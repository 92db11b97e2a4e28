import { commands, type Disposable, type LogOutputChannel } from 'vscode';
import { isAbort, UserError } from '../core/errors';
import { type CommandId, section } from './contributions';
import { DisposableStore } from './disposable';
import { Lazy } from './lazy/lazy';
import type { ShownProblem } from './words/remedy';

/** Gathers the input of a command, calls `core` and shows the result. */
export type Handler = (...args: never[]) => unknown;

/** A handler for each of these commands. */
export type Handlers<Ids extends string> = { readonly [Id in Ids]: Handler };

/**
 * Handlers of these commands, which are loaded when the first of them runs. The row, file or URI that a command was called with
 * is passed on.
 */
export function loadedHandlers<Id extends CommandId>(
  ids: readonly Id[],
  load: () => Promise<Handlers<Id>>,
): Handlers<Id> {
  const handlers = new Lazy(load);
  const entries = ids.map((id) => {
    const handler = (...args: never[]) => handlers.use((all) => all[id](...args));
    return [id, handler] as const;
  });
  return Object.fromEntries(entries) as Handlers<Id>;
}

/** Registers the commands, and is the one place that catches and shows what they throw. */
export class Commands {
  readonly #messages = new Lazy(async () => {
    const { ErrorMessages } = await import('./errorMessages');
    return new ErrorMessages(this.log);
  });

  constructor(private readonly log: LogOutputChannel) {}

  /** Registers every command of this extension. */
  register(handlers: Handlers<CommandId>): Disposable {
    const store = new DisposableStore();
    for (const [id, handler] of Object.entries<Handler>(handlers)) {
      store.add(
        commands.registerCommand(`${section}.${id}`, (...args: never[]) =>
          this.attempt(() => this.#run(id, handler, args)),
        ),
      );
    }
    return store;
  }

  async #run(id: string, handler: Handler, args: never[]): Promise<unknown> {
    this.log.debug(`Command ${id} started`);
    try {
      return await handler(...args);
    } finally {
      this.log.debug(`Command ${id} ended`);
    }
  }

  /**
   * Runs work and shows its error; resolves with undefined then. Runs it again once the user has entered the keys that it
   * found missing: work reads the keys of an account before it does anything.
   */
  async attempt(work: () => Promise<unknown>): Promise<unknown> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        const isRemedied = await this.show(error);
        const isRepeatable = error instanceof UserError && error.problem.kind === 'secretMissing';
        if (!isRemedied || !isRepeatable) return undefined;
      }
    }
  }

  /** Shows an error once and logs it. Cancellation is not shown. Resolves with true if a remedy says that it has helped. */
  async show(error: unknown): Promise<boolean> {
    if (isAbort(error)) return false;
    return this.#messages.use((messages) => messages.show(error));
  }

  /** Shows a problem that was recorded earlier, with what the user can do about it. */
  async showProblem(shown: ShownProblem): Promise<void> {
    await this.#messages.use((messages) => messages.showProblem(shown));
  }
}
