import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import pLimit from 'p-limit';
import { parseArgsStringToArgv } from 'string-argv';
import { type BlobInfo, base64 } from '../azure/storage';
import { UserError } from '../errors';
import type { Content } from '../files/bytes';
import { type Files, partName, staysBelow } from '../files/files';
import { hashFile } from '../files/hashing';
import { readStatement } from '../jobs/taskLogs';
import { folderMark } from '../jobs/taskSpec';
import { proveByStatement, proveOutput } from '../media/probe/proof';
import type { FileResult, ManifestFile } from '../plan/manifest';
import { nameOfCopy } from '../plan/outputNames';
import { together } from '../wait';
import { downloadOutput, mayReplace, tellFetched } from './outputs';
import type { RunState } from './runState';

type FetchedFolder = Pick<FileResult, 'problem' | 'outputUri' | 'outputBytes' | 'outputSeconds'>;

/** Files of a folder that are downloaded at a time; how many blocks are received at a time is the limit of `Transfers`. */
const filesAtOnce = 8;

const versionLength = 16;

/**
 * Downloads an output that is a folder, as one output: it is proved before anything is downloaded, and it gets one name. A
 * new folder has a temporary name until it is complete. `isConfirmed`: whether the task is known to have succeeded, and so to
 * have uploaded all files. Otherwise only playlists can prove that none is missing.
 */
export async function fetchFolder(
  state: RunState,
  file: ManifestFile,
  isConfirmed: boolean,
  signal: AbortSignal,
): Promise<FetchedFolder> {
  const { output } = file;
  const blobs: BlobInfo[] = [];
  const prefix = `${output.blob}/`;
  for await (const blob of state.parts.storage.blobs(state.manifest.outputContainer, { prefix, signal })) {
    if (!blob.name.endsWith(`/${folderMark}`)) blobs.push(blob);
  }
  const isProvable = isConfirmed || namesPlaylist(file);
  if (blobs.length === 0 || !isProvable) return { problem: { kind: 'outputMissing', file: file.path } };
  const unsafe = blobs.map(({ name }) => name.slice(prefix.length)).find((name) => !staysBelow(name));
  if (unsafe !== undefined) return { problem: { kind: 'outputNameUnsafe', file: file.path, name: unsafe } };
  const statement = await readStatement(state.parts.storage, state.manifest, file, signal);
  const seconds = await proveFolder(state, file, blobs, signal);
  const expected = { file: file.path, seconds: file.seconds, proof: output.proof };
  const { problem, warning } = statement ? proveByStatement(statement, expected, seconds) : {};
  if (problem) throw new UserError(problem);
  if (warning) state.tell({ kind: 'trouble', problem: warning });
  const { files } = state.parts;
  for (let copy = 1; ; copy++) {
    const name = nameOfCopy(output, copy);
    const between = output.isBeside ? '.' : '/';
    const uriIn = (folder: string) => (blob: BlobInfo) =>
      state.parts.outputUri(file, `${folder}${between}${blob.name.slice(prefix.length)}`);
    const uriOf = uriIn(name);
    if (!mayReplace(state.manifest, file) && (await holdsAnother(state, blobs, uriOf, signal))) {
      if (copy === 1000) throw new UserError({ kind: 'outputExists', file: output.name });
      continue;
    }
    const folder = state.parts.outputUri(file, name);
    const isNew = !output.isBeside && (await files.stat(folder)) === undefined;
    const part = partNameOf(state, file, blobs);
    const overwrite = mayReplace(state.manifest, file);
    const { bytes, skipped } = await downloadAll(state, {
      ...{ blobs, signal, uriOf: isNew ? uriIn(part) : uriOf },
      // Nothing but this output is in the part folder.
      overwrite: isNew || overwrite,
    });
    const partFolder = state.parts.outputUri(file, part);
    const naming = isNew ? await nameFolder(files, partFolder, folder, signal) : 'named';
    if (naming !== 'named') await files.dropPartFolder(partFolder);
    if (naming === 'taken') {
      // Another window can have made the folder meanwhile, perhaps with the same content.
      copy--;
      continue;
    }
    if (naming === 'impossible') await downloadAll(state, { blobs, signal, uriOf, overwrite });
    const [first] = blobs;
    const outputUri = output.isBeside && first ? uriOf(first) : folder;
    tellFetched(state, file, { output: outputUri, bytes, skipped: skipped && !isNew });
    return { outputUri, outputBytes: bytes, outputSeconds: seconds };
  }
}

/**
 * The temporary name of a new folder beside its final one. The same blobs give the same name, so that a later fetch continues
 * with what is there.
 */
function partNameOf(
  { manifest: { outputContainer } }: RunState,
  { output: { name } }: ManifestFile,
  blobs: readonly BlobInfo[],
): string {
  const version = createHash('sha256').update(outputContainer);
  for (const { name, size, md5 } of blobs) version.update(`\n${name} ${size} ${md5}`);
  return posix.join(
    posix.dirname(name),
    partName(posix.basename(name), version.digest('hex').slice(0, versionLength)),
  );
}

/** Some file systems of virtual workspaces cannot rename folders (`impossible`), only create files in them. */
async function nameFolder(
  files: Files,
  partFolder: string,
  folder: string,
  signal: AbortSignal,
): Promise<'named' | 'taken' | 'impossible'> {
  try {
    return (await files.renameFolder(partFolder, folder, signal)) ? 'named' : 'taken';
  } catch (error) {
    // On a disk, the next fetch continues with the part folder.
    if (signal.aborted || !files.isInMemory(folder)) throw error;
    return 'impossible';
  }
}

interface FolderDownload {
  readonly blobs: readonly BlobInfo[];
  readonly uriOf: (blob: BlobInfo) => string;
  readonly overwrite: boolean;
  readonly signal: AbortSignal;
}

/** Downloads the files of a folder, its playlists last: a folder with its playlists is complete. */
async function downloadAll(
  state: RunState,
  { blobs, uriOf, overwrite, signal }: FolderDownload,
): Promise<{ bytes: number; skipped: boolean }> {
  const { files } = state.parts;
  let bytes = 0;
  let skipped = true;
  const limit = pLimit(filesAtOnce);
  for (const isLast of [false, true]) {
    const works = blobs
      .filter(({ name }) => isPlaylist(name) === isLast)
      .map((blob) => async (own: AbortSignal) => {
        const done = await downloadOutput(
          state,
          { blob: blob.name, uri: uriOf(blob), files, overwrite },
          own,
        );
        bytes += done.bytes;
        skipped &&= done.skipped;
      });
    await together(signal, ...works.map((work) => (own: AbortSignal) => limit(() => work(own))));
  }
  return { bytes, skipped };
}

/** Whether a folder has a file of the same name as a file of this output, but with other content. */
async function holdsAnother(
  { parts: { files } }: RunState,
  blobs: readonly BlobInfo[],
  uriOf: (blob: BlobInfo) => string,
  signal: AbortSignal,
): Promise<boolean> {
  for (const blob of blobs) {
    const { size, md5 } = blob;
    const uri = uriOf(blob);
    const there = await files.stat(uri);
    if (there === undefined) continue;
    if (there.isFolder || there.size !== size || md5 === undefined) return true;
    const open = await files.open(uri);
    try {
      if (base64(await hashFile(open, size, signal)) !== md5) return true;
    } finally {
      await open.close();
    }
  }
  return false;
}

/**
 * Proves that a folder of an HLS output is complete: each playlist is finished and as long as the source, and each file that
 * a playlist names exists. Resolves with the length of the longest playlist in seconds. Throws `outputDamaged`.
 */
async function proveFolder(
  { parts: { storage }, manifest }: RunState,
  file: ManifestFile,
  blobs: readonly BlobInfo[],
  signal: AbortSignal,
): Promise<number | undefined> {
  const { output, path, seconds: expected } = file;
  const sizes = new Map(blobs.map(({ name, size }) => [name, size]));
  const lengths: number[] = [];
  for (const { name } of blobs.filter((blob) => isPlaylist(blob.name))) {
    const text = (await storage.readText(manifest.outputContainer, name, signal))?.text ?? '';
    const proof = await proveOutput(contentOf(text), { file: path, seconds: expected, proof: output.proof });
    const isComplete = filesIn(text).every((uri) => sizes.get(posix.join(posix.dirname(name), uri)));
    if (proof.problem || !isComplete) {
      throw new UserError(proof.problem ?? { kind: 'outputDamaged', file: path });
    }
    if (proof.seconds !== undefined) lengths.push(proof.seconds);
  }
  if (lacksPlaylist(file, blobs)) throw new UserError({ kind: 'outputDamaged', file: path });
  return lengths.length > 0 ? Math.max(...lengths) : undefined;
}

/** Whether the command of a file writes a playlist, which names all other files of the output. */
function namesPlaylist({ commandLine }: ManifestFile): boolean {
  return commandLine.includes('.m3u8');
}

/** Whether a command writes playlists, but the output lacks its master playlist, or has no playlist if it names no master. */
function lacksPlaylist(file: ManifestFile, blobs: readonly BlobInfo[]): boolean {
  const args = parseArgsStringToArgv(file.commandLine);
  const option = args.lastIndexOf('-master_pl_name');
  const master = option === -1 ? undefined : args[option + 1];
  const isWanted = (name: string) => (master === undefined ? isPlaylist(name) : name.endsWith(`/${master}`));
  return namesPlaylist(file) && !blobs.some(({ name }) => isWanted(name));
}

function isPlaylist(name: string): boolean {
  return name.endsWith('.m3u8');
}

/** The relative URIs that an HLS playlist names, decoded: segments, other playlists, and the `URI` attributes of its tags. */
function filesIn(playlist: string): string[] {
  const lines = playlist.split(/\r?\n/).map((line) => line.trim());
  const uris = lines.flatMap((line) =>
    line.startsWith('#') ? [...line.matchAll(/\bURI="([^"]+)"/g)].map(([, uri = '']) => uri) : line,
  );
  return uris.filter((uri) => uri !== '' && !/^[a-z]+:/i.test(uri)).map(decoded);
}

function decoded(uri: string): string {
  try {
    return decodeURIComponent(uri);
  } catch {
    return uri;
  }
}

function contentOf(text: string): Content {
  const data = Buffer.from(text);
  return { size: data.length, read: async (position, length) => data.subarray(position, position + length) };
}
