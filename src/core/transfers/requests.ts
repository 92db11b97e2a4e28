import type { BlobInfo } from '../azure/storage';
import type { Files } from '../files/files';
import type { PartLayout } from '../media/cut/parts';

export interface UploadRequest {
  readonly uri: string;
  readonly container: string;
  readonly blob: string;
  /** As it was when the run was planned; another size or time (in milliseconds) is a changed file. */
  readonly expected: { readonly size: number; readonly modified: number };
  /** Nobody looks at its pictures: they may stay behind. */
  readonly audioOnly?: boolean;
  /** Upload this part of the source instead of all of it. The name tells it from other parts. */
  readonly part?: { readonly name: string; readonly layout: PartLayout };
  /** The blob that is there already, if any: with the same content it is not uploaded again. */
  readonly there?: BlobInfo;
  /** Told how many bytes more have arrived. */
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
}

export interface DownloadRequest {
  readonly container: string;
  readonly blob: string;
  readonly uri: string;
  readonly overwrite: boolean;
  /** Other files than those of the transfers: ones that prove what they get before they name it. */
  readonly files?: Files;
  /** Told how many bytes more have arrived; a negative count when some have to be fetched again. */
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
}
