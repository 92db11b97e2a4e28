import { isStorageCode } from '../azure/storageCall';
import { type Problem, UserError } from '../errors';
import type { Content } from '../files/bytes';
import { type Files, type PartFile, staysBelow } from '../files/files';
import { readStatement } from '../jobs/taskLogs';
import { type Proof, proveOutput } from '../media/probe/proof';
import type { Attempt, FileResult, ManifestFile } from '../plan/manifest';
import { nameOfCopy } from '../plan/outputNames';
import { fetchFolder } from './fetchFolder';
import { concernsRun } from './fileTrouble';
import { downloadOutput, mayReplace, tellFetched } from './outputs';
import type { RunState } from './runState';

/** Outputs downloaded at a time; how many blocks are received at a time is the limit of `Transfers`. */
export const fetchesAtOnce = 16;

type Fetched = Pick<FileResult, 'problem' | 'outputUri' | 'outputBytes' | 'outputSeconds'>;

/** Problems of the output itself, which another download does not solve. */
const unprovenOutput = new Set<Problem['kind']>([
  'outputMissing',
  'outputNameUnsafe',
  'outputDamaged',
  'outputBlank',
  'sourceDamaged',
  'channelsChange',
]);

/** Whether the output of a file is at its place: until then the account has the only copy. */
export function isFetched({ problem, outputUri }: FileResult): boolean {
  return problem === undefined && outputUri !== undefined;
}

/** Whether a file failed only because its output could not be downloaded: nothing has to be transcoded again. */
export function canFetchAgain({ problem, failedAt }: FileResult): boolean {
  if (problem === undefined || failedAt !== 'download') return false;
  return !unprovenOutput.has(problem.kind);
}

/**
 * Downloads the output of a file to its folder (see `outputUri`): complete under its final name, or not at all and with the
 * reason. An output that exists there with the same content is not downloaded again. Throws what concerns the whole run.
 * `isConfirmed`: whether the task is known to have succeeded.
 */
export async function fetchOutput(
  state: RunState,
  file: ManifestFile,
  signal: AbortSignal,
  isConfirmed = true,
): Promise<Fetched> {
  const { path, output } = file;
  if (!staysBelow(output.name))
    return { problem: { kind: 'outputNameUnsafe', file: path, name: output.name } };
  try {
    return output.isFolder
      ? await fetchFolder(state, file, isConfirmed, signal)
      : await fetchFile(state, file, signal);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (!(error instanceof UserError)) throw error;
    if (isStorageCode(error, 'BlobNotFound')) return { problem: { kind: 'outputMissing', file: file.path } };
    if (await concernsRun(state, error, state.manifest.outputContainer, signal)) throw error;
    if (isStorageCode(error, 'HTTP 404')) return { problem: { kind: 'outputMissing', file: file.path } };
    return { problem: error.problem };
  }
}

/**
 * Downloads the output of a task of this attempt that was deleted: Batch uploads it when the task succeeds. Undefined if there is
 * none, or if it is incomplete or of an earlier attempt.
 */
export async function fetchOfDeleted(
  state: RunState,
  file: ManifestFile,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<Omit<FileResult, 'id'> | undefined> {
  if (!(await hasOutputOf(state, file, attempt, signal))) return undefined;
  const fetched = await fetchOutput(state, file, signal, false);
  if (fetched.problem === undefined) return fetched;
  return unprovenOutput.has(fetched.problem.kind) ? undefined : { ...fetched, failedAt: 'download' };
}

/**
 * Downloads the output that the output container has of a file whose task has not completed. Undefined for a folder to which the
 * task may have uploaded only a part of its files.
 */
export async function fetchOfUnfinished(
  state: RunState,
  file: ManifestFile,
  signal: AbortSignal,
): Promise<Omit<FileResult, 'id'> | undefined> {
  const fetched = await fetchOutput(state, file, signal, false);
  const isPart = file.output.isFolder && fetched.problem && unprovenOutput.has(fetched.problem.kind);
  return isPart ? undefined : fetched;
}

/** Whether the output container has an output of a file that a task of this attempt can have uploaded. */
async function hasOutputOf(
  { parts: { batch, storage }, manifest: { outputContainer, attempts } }: RunState,
  { id }: ManifestFile,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<boolean> {
  const earlier = attempts.slice(0, attempts.indexOf(attempt));
  const isRetried = earlier.some(({ fileIds }) => fileIds.includes(id));
  let since: Date | undefined;
  for await (const { modified } of storage.blobs(outputContainer, { prefix: `${id}/`, signal })) {
    if (!isRetried) return true;
    // By the clock of the service, as the time of the blob; the manifest can be off by half a minute.
    since ??= (await batch.job(attempt.jobId, { select: 'id,creationTime', signal }))?.creationTime;
    since ??= new Date(attempt.created);
    if (modified > since) return true;
  }
  return false;
}

async function fetchFile(state: RunState, file: ManifestFile, signal: AbortSignal): Promise<Fetched> {
  // The log is read while the output is downloaded: only the proof needs it.
  const reading = readStatement(state.parts.storage, state.manifest, file, signal);
  // The download can take long: until the proof nobody else hears of a failure.
  reading.catch(() => undefined);
  try {
    return await fetchProved(state, file, reading, signal);
  } finally {
    await reading.catch(() => undefined);
  }
}

async function fetchProved(
  state: RunState,
  file: ManifestFile,
  reading: ReturnType<typeof readStatement>,
  signal: AbortSignal,
): Promise<Fetched> {
  const { output } = file;
  let proof: Proof = {};
  const files = provingFiles(state.parts.files, async (part) => {
    const { path, seconds, commandLine } = file;
    const expected = { file: path, seconds, proof: output.proof, commandLine };
    proof = await proveOutput(part, expected, { statement: await reading, signal });
    if (proof.problem) throw new UserError(proof.problem);
  });
  for (let copy = 1; ; copy++) {
    const uri = state.parts.outputUri(file, nameOfCopy(output, copy));
    try {
      const target = { blob: output.blob, uri, files, overwrite: mayReplace(state.manifest, file) };
      const { bytes, skipped } = await downloadOutput(state, target, signal);
      tellFetched(state, file, { output: uri, bytes, skipped });
      if (proof.warning) state.tell({ kind: 'trouble', problem: proof.warning });
      return { outputUri: uri, outputBytes: bytes, outputSeconds: proof.seconds };
    } catch (error) {
      const exists = error instanceof UserError && error.problem.kind === 'outputExists';
      if (!exists || copy === 1000) throw error;
    }
  }
}

/** Files that get their final name only after `prove` has accepted their content. */
function provingFiles(files: Files, prove: (part: Content) => Promise<void>): Files {
  return {
    stat: (uri) => files.stat(uri),
    open: (uri) => files.open(uri),
    freeBytes: (uri) => files.freeBytes(uri),
    dropPart: (uri, version) => files.dropPart(uri, version),
    renameFolder: (from, to, signal) => files.renameFolder(from, to, signal),
    dropPartFolder: (uri) => files.dropPartFolder(uri),
    isInMemory: (uri) => files.isInMemory(uri),
    part: async (uri, version, options) => provingPart(await files.part(uri, version, options), prove),
  };
}

function provingPart(part: PartFile, prove: (part: Content) => Promise<void>): PartFile {
  let size = part.resumeAt;
  const { writeAndHash } = part;
  const wrote = (position: number, data: Uint8Array) => {
    size = Math.max(size, position + data.length);
  };
  return {
    resumeAt: part.resumeAt,
    read: (position, length, into) => part.read(position, length, into),
    close: () => part.close(),
    discard: () => part.discard(),
    async write(position, data) {
      await part.write(position, data);
      wrote(position, data);
    },
    writeAndHash:
      writeAndHash &&
      (async (position, data, hash) => {
        await writeAndHash(position, data, hash);
        wrote(position, data);
      }),
    async commit(options) {
      try {
        await prove({ size, read: (position, length) => part.read(position, length) });
      } catch (error) {
        await part.discard();
        throw error;
      }
      await part.commit(options);
    },
  };
}
