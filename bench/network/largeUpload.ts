// Uploads one file, in its own process so that its memory can be measured, and cancels the upload if told to:
// UPLOAD='{"connection":…,"path":…,"cancelAtBytes":…}' node largeUpload.js prints its figures as JSON.
import { pathToFileURL } from 'node:url';
import type { Connection } from '../../src/core/azure/account';
import { Storage } from '../../src/core/azure/storage';
import { DiskFiles } from '../../src/core/files/localFiles';
import { Transfers } from '../../src/core/transfers/transfers';
import { peakMemory } from '../peakMemory';

export interface LargeUpload {
  readonly connection: Connection;
  readonly path: string;
  /** The upload is canceled when so many bytes are done. */
  readonly cancelAtBytes?: number;
}

export interface LargeUploadFigures {
  readonly seconds: number;
  /** Seconds from the cancellation to the end of the upload. */
  readonly cancelSeconds: number;
  readonly peakMB: number;
  readonly cpuSeconds: number;
}

const {
  connection,
  path,
  cancelAtBytes = Number.POSITIVE_INFINITY,
}: LargeUpload = JSON.parse(process.env.UPLOAD ?? '{}');
const canceled = new AbortController();
const files = new DiskFiles();
const uri = pathToFileURL(path).href;
const expected = await files.stat(uri);
if (expected === undefined) throw new Error(`${path} is missing`);
let done = 0;
let canceledAt = Number.NaN;
const start = performance.now();
const upload = new Transfers(new Storage(connection), files).upload({
  uri,
  container: 'bench',
  blob: 'large.mp4',
  expected,
  onBytes(count) {
    done += count;
    if (done < cancelAtBytes || canceled.signal.aborted) return;
    canceledAt = performance.now();
    canceled.abort(new Error('canceled'));
  },
  signal: canceled.signal,
});
await upload.catch((error) => {
  if (!canceled.signal.aborted) throw error;
});
const end = performance.now();
const { userCPUTime, systemCPUTime } = process.resourceUsage();
const figures: LargeUploadFigures = {
  seconds: (end - start) / 1000,
  cancelSeconds: (end - canceledAt) / 1000,
  peakMB: peakMemory() / 2 ** 20,
  cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
};
console.log(JSON.stringify(figures));
process.exit();
