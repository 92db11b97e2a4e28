import { type Problem, UserError } from '../errors';
import type { Content } from '../files/bytes';
import type { Files, PartFile } from '../files/files';
import { proveOutput } from '../media/probe';
import type { FileResult, ManifestFile } from '../plan/manifest';
import { folderMark } from './job';
import type { Run } from './run';

type Fetched = Pick<FileResult, 'problem' | 'outputUri' | 'outputBytes' | 'outputSeconds'>;

/** One output's own trouble; anything else concerns the whole run and ends it. */
const ownTrouble = new Set<Problem['kind']>([
  'outputMissing',
  'outputDamaged',
  'outputExists',
  'transferDamaged',
  'fileDenied',
  'fileFailed',
  'folderReadOnly',
  'diskFull',
]);

/** Troubles that fetching again may end, without transcoding again. */
export const fetchTrouble = new Set<Problem['kind']>([
  'fileDenied',
  'fileFailed',
  'folderReadOnly',
  'diskFull',
  'transferDamaged',
]);

/**
 * Brings the output of a file beside its source: complete under its final name, or not at all, and with the reason.
 * An output that is there already, with the same content, is not fetched again.
 */
export async function fetchOutput(run: Run, file: ManifestFile, signal: AbortSignal): Promise<Fetched> {
  try {
    return file.output.isFolder ? await fetchFolder(run, file, signal) : await fetchFile(run, file, signal);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { problem } = error;
    if (
      problem.kind === 'service' &&
      /^(Blob|Resource|HTTP 404)/.test(problem.code) &&
      problem.status === 404
    ) {
      return { problem: { kind: 'outputMissing', file: file.path } };
    }
    if (!ownTrouble.has(problem.kind)) throw error;
    return { problem };
  }
}

async function fetchFile(run: Run, file: ManifestFile, signal: AbortSignal): Promise<Fetched> {
  const { output } = file;
  let seconds: number | undefined;
  const files = provingFiles(run.parts.files, async (part) => {
    const proof = await proveOutput(part, { file: file.path, seconds: file.seconds, proof: output.proof });
    if (proof.problem) throw new UserError(proof.problem);
    seconds = proof.seconds;
  });
  const { uri, bytes } = await download(
    run,
    file,
    output.blob,
    (name) => run.parts.outputUri(file, name),
    output.name,
    signal,
    files,
  );
  return { outputUri: uri, outputBytes: bytes, outputSeconds: seconds };
}

/** The playlist comes last: a folder that has it is complete. */
async function fetchFolder(run: Run, file: ManifestFile, signal: AbortSignal): Promise<Fetched> {
  const { output } = file;
  const { storage, files } = run.parts;
  const blobs: string[] = [];
  for await (const { name } of storage.blobs(run.manifest.outputContainer, {
    prefix: `${output.blob}/`,
    signal,
  })) {
    if (!name.endsWith(`/${folderMark}`)) blobs.push(name);
  }
  if (blobs.length === 0) return { problem: { kind: 'outputMissing', file: file.path } };
  blobs.sort(
    (one, other) => Number(/\.m3u8$/.test(one)) - Number(/\.m3u8$/.test(other)) || one.localeCompare(other),
  );
  let total = 0;
  for (const blob of blobs) {
    const path = blob.slice(output.blob.length + 1);
    const place = (name: string) => run.parts.outputUri(file, `${output.name}/${name}`);
    total += (await download(run, file, blob, place, path, signal, files)).bytes;
  }
  return { outputUri: run.parts.outputUri(file, output.name), outputBytes: total };
}

async function download(
  run: Run,
  file: ManifestFile,
  blob: string,
  place: (name: string) => string,
  name: string,
  signal: AbortSignal,
  files: Files,
): Promise<{ uri: string; bytes: number }> {
  const { manifest, progress } = run;
  for (let copy = 1; ; copy++) {
    const uri = place(numbered(name, copy));
    try {
      const { bytes, skipped } = await run.parts.transfers.download({
        container: manifest.outputContainer,
        blob,
        uri,
        files,
        overwrite: manifest.onConflict === 'overwrite',
        onBytes: (count) => {
          progress.fetch.bytes += count;
          run.tellProgress();
        },
        signal,
      });
      run.tell(
        skipped
          ? { kind: 'alreadyFetched', file: file.path, output: uri }
          : { kind: 'fetched', file: file.path, output: uri, bytes },
      );
      return { uri, bytes };
    } catch (error) {
      const exists = error instanceof UserError && error.problem.kind === 'outputExists';
      if (!exists || copy === 1000) throw error;
    }
  }
}

/** `clip.mp3`, `clip (2).mp3`, … */
function numbered(name: string, copy: number): string {
  if (copy === 1) return name;
  const dot = name.lastIndexOf('.');
  return dot > 0 ? `${name.slice(0, dot)} (${copy})${name.slice(dot)}` : `${name} (${copy})`;
}

/** Files whose parts get their final name only when they have proved what they are. */
function provingFiles(files: Files, prove: (part: Content) => Promise<void>): Files {
  return {
    stat: (uri) => files.stat(uri),
    open: (uri) => files.open(uri),
    freeBytes: (uri) => files.freeBytes(uri),
    dropPart: (uri, version) => files.dropPart(uri, version),
    part: async (uri, version) => provingPart(await files.part(uri, version), prove),
  };
}

function provingPart(part: PartFile, prove: (part: Content) => Promise<void>): PartFile {
  let size = part.resumeAt;
  return {
    resumeAt: part.resumeAt,
    read: (position, length, into) => part.read(position, length, into),
    close: () => part.close(),
    discard: () => part.discard(),
    async write(position, data) {
      await part.write(position, data);
      size = Math.max(size, position + data.length);
    },
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
