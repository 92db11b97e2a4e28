import { EventEmitter, l10n, type Pseudoterminal, ThemeIcon, window } from 'vscode';
import type { Batch } from '../../../core/azure/batch';
import { isAbort } from '../../../core/errors';
import type { TailEvent } from '../../../core/jobs/logTail';
import { background } from '../../background';
import { textOf } from '../../words/sentences';

/** Shows a log of a task in a terminal while it is written. Closing the terminal ends that. */
export function showTail(batch: Batch, jobId: string, taskId: string, name: string, log: string): void {
  const terminal = window.createTerminal({
    name: `${log} · ${name}`,
    pty: new LogTerminal(batch, jobId, taskId, log),
    iconPath: new ThemeIcon('output'),
  });
  terminal.show();
}

class LogTerminal implements Pseudoterminal {
  readonly #written = new EventEmitter<string>();
  readonly onDidWrite = this.#written.event;
  readonly #closed = new AbortController();

  constructor(
    private readonly batch: Batch,
    private readonly jobId: string,
    private readonly taskId: string,
    private readonly log: string,
  ) {}

  open(): void {
    this.#say(l10n.t('Following {0} of task {1} in job {2}…', this.log, this.taskId, this.jobId));
    background(this.#follow());
  }

  close(): void {
    this.#closed.abort();
    this.#written.dispose();
  }

  async #follow(): Promise<void> {
    const { tail } = await import('../../../core/jobs/logTail');
    const decoder = new TextDecoder('utf-8');
    try {
      for await (const event of tail(this.batch, this.jobId, this.taskId, this.log, this.#closed.signal)) {
        if (event.kind === 'data')
          this.#written.fire(printable(decoder.decode(event.data, { stream: true })));
        else this.#say(eventText(event));
      }
    } catch (error) {
      if (isAbort(error)) return;
      this.#say(textOf(error));
    }
  }

  /** Writes a line that isn't part of the log, in dim text. */
  #say(text: string): void {
    this.#written.fire(`\x1b[2m── ${text}\x1b[0m\r\n`);
  }
}

function eventText(event: Exclude<TailEvent, { kind: 'data' }>): string {
  switch (event.kind) {
    case 'restarted':
      return event.node
        ? l10n.t('The task started again on node {0}.', event.node)
        : l10n.t('The task started again.');
    case 'waiting':
      return l10n.t('The task is waiting for a node.');
    case 'ended':
      return event.exitCode === undefined
        ? l10n.t('The task has ended.')
        : l10n.t('The task has ended with exit code {0}.', event.exitCode);
  }
}

/** A log as text: its control characters are removed, and its lines begin at the left. */
function printable(text: string): string {
  return text.replace(/(?![\t\n\r])\p{Cc}/gu, '').replace(/\r?\n/g, '\r\n');
}
