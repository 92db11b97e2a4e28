import type { RetryNotice } from '../azure/retry';
import type { Problem, Service } from '../errors';
import type { FileResult } from '../plan/manifest';
import type { PlanNote } from '../plan/plan';
import type { NodeNumbers } from './watch';

/** What a run tells while it goes on: numbers, single files, and its story line by line. */
export type RunEvent =
  | { readonly kind: 'step'; readonly step: Step }
  | { readonly kind: 'progress'; readonly progress: RunProgress }
  | { readonly kind: 'file'; readonly result: FileResult };

/** One line of the story, as the tutorial's console tells it. Said in words by `src/vscode`. */
export type Step =
  | {
      readonly kind: 'started';
      readonly run: string;
      readonly files: number;
      readonly preset: string;
      readonly at: Date;
    }
  | { readonly kind: 'noted'; readonly note: PlanNote }
  | { readonly kind: 'resumed'; readonly run: string; readonly at: Date }
  | { readonly kind: 'containerCreated'; readonly container: string }
  | { readonly kind: 'containerDeleted'; readonly container: string }
  /** Of so many files only this much is uploaded, since nobody will look at their pictures. */
  | { readonly kind: 'picturesLeft'; readonly files: number; readonly bytes: number; readonly of: number }
  | { readonly kind: 'uploading'; readonly file: string; readonly container: string }
  | { readonly kind: 'alreadyUploaded'; readonly file: string; readonly container: string }
  | { readonly kind: 'poolCreated'; readonly pool: string; readonly dedicated: number; readonly spot: number }
  | { readonly kind: 'poolReused'; readonly pool: string; readonly dedicated: number; readonly spot: number }
  | { readonly kind: 'jobCreated'; readonly job: string; readonly autoPool: boolean }
  | { readonly kind: 'tasksAdded'; readonly count: number; readonly job: string }
  | { readonly kind: 'monitoring'; readonly job: string; readonly minutes: number }
  | { readonly kind: 'trouble'; readonly problem: Problem }
  | { readonly kind: 'waiting'; readonly service: Service; readonly notice: RetryNotice }
  | { readonly kind: 'tasksCompleted'; readonly succeeded: number; readonly failed: number }
  | { readonly kind: 'fetched'; readonly file: string; readonly output: string; readonly bytes: number }
  | { readonly kind: 'alreadyFetched'; readonly file: string; readonly output: string }
  | { readonly kind: 'fileFailed'; readonly file: string; readonly problem: Problem }
  | { readonly kind: 'timeLimit'; readonly job: string; readonly minutes: number }
  | {
      readonly kind: 'ended';
      readonly at: Date;
      readonly elapsedMs: number;
      readonly succeeded: number;
      readonly total: number;
      readonly nodeHours: number;
    };

/** Where a run stands: a whole picture each time, cheap to make, replaced by the next. */
export interface RunProgress {
  phase: 'uploading' | 'pool' | 'tasks' | 'fetching' | 'done';
  upload: { files: number; filesTotal: number; bytes: number; bytesTotal: number };
  nodes: NodeNumbers & { readonly target: number };
  tasks: { active: number; running: number; completed: number; failed: number; total: number };
  fetch: { files: number; bytes: number };
  /** By the file's id. */
  running: Map<string, FileProgress>;
}

/** How far the task of a file is, while it runs. */
export interface FileProgress {
  /** Of the source, that are done. */
  readonly seconds: number;
  /** Seconds of the source for each second of the clock. */
  readonly speed?: number;
}

export interface RunSummary {
  readonly runId: string;
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Neither done nor failed: still with the service when watching ended. */
  readonly unfinished: number;
  readonly elapsedMs: number;
  readonly nodeHours: number;
}
