import type { RetryNotice } from '../azure/retry';
import type { Problem, Service } from '../errors';
import type { NodeNumbers } from '../jobs/poolWatch';
import type { FileProgress } from '../jobs/taskProgress';
import type { FileResult, RefusedFile } from '../plan/manifest';
import type { Piece } from '../plan/pieces';
import type { PlanNote } from '../plan/plan';

/** Events of a run while it goes on: log lines, numbers, and the results of files. */
export type RunEvent =
  | { readonly kind: 'step'; readonly step: Step }
  | { readonly kind: 'progress'; readonly progress: RunProgress }
  | { readonly kind: 'file'; readonly result: FileResult };

/** A line of the run's log, as data. Its sentence is in `src/vscode/words/story.ts`. */
export type Step =
  | {
      readonly kind: 'started';
      readonly run: string;
      readonly files: number;
      /** The label of the preset in English, and its id. */
      readonly preset: string;
      readonly presetId: string;
      readonly at: Date;
    }
  | { readonly kind: 'noted'; readonly note: PlanNote }
  | { readonly kind: 'resumed'; readonly run: string; readonly at: Date }
  | { readonly kind: 'containerCreated'; readonly container: string }
  | { readonly kind: 'containerDeleted'; readonly container: string }
  /** Only the audio of these files is uploaded: `bytes` of the `of` bytes that they have. */
  | { readonly kind: 'picturesLeft'; readonly files: number; readonly bytes: number; readonly of: number }
  | { readonly kind: 'uploading'; readonly file: string; readonly container: string }
  | { readonly kind: 'alreadyUploaded'; readonly file: string; readonly container: string }
  | { readonly kind: 'poolCreated'; readonly pool: string; readonly dedicated: number; readonly spot: number }
  | { readonly kind: 'poolReused'; readonly pool: string; readonly dedicated: number; readonly spot: number }
  | { readonly kind: 'jobCreated'; readonly job: string; readonly autoPool: boolean }
  | { readonly kind: 'tasksAdded'; readonly count: number; readonly job: string }
  /** The pool gets these nodes once Azure lets it be changed. */
  | { readonly kind: 'poolBusy'; readonly pool: string; readonly dedicated: number; readonly spot: number }
  /** The run has no task on a pool that it had asked for nodes of. */
  | { readonly kind: 'nodesTakenBack'; readonly pool: string }
  | { readonly kind: 'resizeRetried'; readonly pool: string; readonly nextTryMinutes: number }
  | { readonly kind: 'tasksRenewed'; readonly count: number; readonly job: string }
  | { readonly kind: 'transfersRetried'; readonly count: number; readonly job: string }
  | { readonly kind: 'jobReplaced'; readonly job: string; readonly by: string }
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

/** The numbers of a run at one moment. The same object is updated in place. */
export interface RunProgress {
  phase: 'uploading' | 'pool' | 'tasks' | 'fetching' | 'done';
  upload: { files: number; filesTotal: number; bytes: number; bytesTotal: number };
  nodes: NodeNumbers & { readonly target: number };
  tasks: { active: number; running: number; completed: number; failed: number; total: number };
  fetch: { bytes: number };
  /** Progress of running tasks by the id of their file. For a split file, over all its parts. */
  running: Map<string, FileProgress>;
  /** Ids of files whose tasks have completed and whose outputs are not fetched. */
  settling: Set<string>;
  /** Pieces of split files, by the id of the file: its parts, and last its audio if that has a task. */
  pieces: Map<string, PieceState[]>;
}

/** One piece of a split file. */
export interface PieceState {
  readonly piece: Piece;
  /** Seconds of the source; the audio has all of them. */
  readonly startSeconds: number;
  readonly endSeconds: number;
  state: 'waiting' | 'running' | 'done' | 'failed';
  /** While it runs. */
  progress?: FileProgress;
  node?: string;
}

export interface RunSummary {
  readonly runId: string;
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Paths of the first files of the run, at most three. */
  readonly firstFiles: readonly string[];
  /** The first files that failed or were refused, at most three. */
  readonly firstFailed: readonly Pick<RefusedFile, 'path' | 'problem'>[];
  /** Files without a result: their tasks go on although they are no longer watched. */
  readonly unfinished: number;
  /** The job of the last attempt, and for how many minutes it is watched. */
  readonly job: string;
  readonly monitorMinutes: number;
  readonly elapsedMs: number;
  readonly nodeHours: number;
}
