import type { BlobInfo } from '../azure/storage';
import type { Files } from '../files/files';
import type { PartLayout } from '../media/cut/parts';

export interface UploadRequest {
  readonly uri: string;
  readonly container: string;
  readonly blob: string;
  /** Size in bytes and time in milliseconds when the run was planned. If they differ, the file has changed. */
  readonly expected: { readonly size: number; readonly modified: number };
  /** Upload only the audio, where the format allows it. */
  readonly audioOnly?: boolean;
  /** Upload this part of the source instead of all of it. The name identifies it. */
  readonly part?: { readonly name: string; readonly layout: PartLayout };
  /** The blob of that name, if one exists: with the same content it is not uploaded again. */
  readonly there?: BlobInfo;
  /** Receives the number of bytes that were uploaded since the last call. */
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
}

export interface DownloadRequest {
  readonly container: string;
  readonly blob: string;
  readonly uri: string;
  readonly overwrite: boolean;
  /** Size of the blob in bytes, if it is known: a small one then takes less memory. */
  readonly size?: number;
  /** Default: the files of the transfers. Others can check the content before the file gets its name. */
  readonly files?: Files;
  /**
   * Whether a download that is canceled, or that fails for a passing reason, keeps its part file for another download of the
   * same version. Default: true. Set it to false where no other download follows by itself.
   */
  readonly keepsPart?: boolean;
  /** Receives the number of bytes since the last call; negative when some are downloaded again. */
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
}
