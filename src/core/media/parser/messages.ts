import type { DiskFile } from '../../files/files';
import type { CutVideo, WholeReason } from '../cut/parts';
import type { MediaInfo } from '../mediaInfo';

/** What the parser process is asked about a file. */
export type ParserTask = 'probe' | 'audioOnly' | 'output' | CutTask;

/** Cut a video into parts of about so many seconds. */
export interface CutTask {
  readonly cutSeconds: number;
}

/** To the parser process. Serialized by the structured clone algorithm, so that bytes stay bytes. */
export type ToParser =
  | {
      readonly kind: 'start';
      readonly job: number;
      readonly task: ParserTask;
      readonly size: number;
      /** A file that the process can read by itself. */
      readonly onDisk?: DiskFile;
    }
  | ({ readonly kind: 'startFiles'; readonly job: number } & FilesToProbe)
  | { readonly kind: 'data'; readonly job: number; readonly read: number; readonly data?: Uint8Array };

/** From the parser process. */
export type FromParser =
  | {
      readonly kind: 'read';
      readonly job: number;
      readonly read: number;
      readonly position: number;
      readonly length: number;
    }
  | { readonly kind: 'done'; readonly job: number; readonly parsed: Parsed }
  | { readonly kind: 'failed'; readonly job: number; readonly message: string }
  /** The next of the files, in their order, and undefined for those that the process could not open, read or parse. */
  | { readonly kind: 'probed'; readonly job: number; readonly files: readonly (ProbedFile | undefined)[] };

/** Files of disks that the process opens, reads and probes one after another. */
export interface FilesToProbe {
  /** `file:` URIs. */
  readonly uris: readonly string[];
  /** Answers with the layouts of files whose video tracks can be left out, as far as `maxLayoutBytes` allows. */
  readonly wantsLayouts: boolean;
}

/** Bytes of the layouts that one job of several files answers with. */
export const maxLayoutBytes = 4 * 1024 * 1024;

/** A file of a disk: what it was when the process opened it, and what the parser found. */
export interface ProbedFile extends Pick<Parsed, 'media' | 'audioOnly'> {
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

/** What the parser found in a file. */
export interface Parsed {
  /** Undefined for a format that the parser does not know or can't read. */
  readonly media?: MediaInfo;
  /** Of an MP4 or QuickTime file whose video tracks can be left out. */
  readonly audioOnly?: AudioOnlyLayout;
  /** How the video is cut, or why it isn't. */
  readonly cut?: CutVideo | WholeReason;
}

/** An MP4 or QuickTime file without its video tracks. */
export interface AudioOnlyLayout {
  /** The boxes before the media data. */
  readonly head: Uint8Array;
  /** Pairs of positions in the file, from and to, whose bytes follow the head. */
  readonly ranges: Float64Array;
  /** Bytes of the head and the ranges together. */
  readonly size: number;
}

/** What one parser process may use for one file. */
export interface ParserLimits {
  /** Milliseconds of work, without the time that it waits for bytes of the file. */
  readonly busyMs: number;
  /** Bytes of the process's resident memory. */
  readonly memoryBytes: number;
  /** Bytes of the file that are read. */
  readonly readBytes: number;
}

/** Positions in the memory that a parser process shares with its guard: each one 32-bit integer. */
export const guardState = {
  /** Another number for each file that the process works on; 0 while it works on none. */
  file: 0,
  /** Reads of the file that have not been answered. */
  reads: 1,
} as const;

export interface GuardOptions {
  readonly state: Int32Array;
  readonly limits: ParserLimits;
}
