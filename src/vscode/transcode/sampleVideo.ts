import { execFile } from 'node:child_process';
import { constants, copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { commands, l10n, Uri, workspace } from 'vscode';
import { isAbort, UserError } from '../../core/errors';
import { workingFfmpeg } from '../accounts/ffmpeg';
import { longWork } from '../longWork';

/**
 * Creates a short sample video, in the workspace folder if there is one, and reveals it. The file is complete or absent.
 * Throws `fileFailed` if it can't be created or written.
 */
export async function createSample(): Promise<Uri> {
  const { path: ffmpeg } = await workingFfmpeg();
  const [folder] = workspace.workspaceFolders ?? [];
  const temporary = await mkdtemp(join(tmpdir(), 'azure-batch-sample-'));
  const made = join(temporary, 'sample.mp4');
  if (folder?.uri.scheme !== 'file') {
    await makeSample(ffmpeg, made, made);
    return Uri.file(made);
  }
  try {
    const path = await freePath(folder.uri.fsPath);
    await makeSample(ffmpeg, made, path);
    const uri = Uri.file(path);
    await commands.executeCommand('revealInExplorer', uri);
    return uri;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Creates the video as `made` and copies it to `path`, without replacing a file. */
async function makeSample(ffmpeg: string, made: string, path: string): Promise<void> {
  try {
    await longWork(l10n.t('Creating a sample video'), (_, signal) =>
      promisify(execFile)(ffmpeg, [...sampleArguments, made], { signal }),
    );
    if (path !== made) await copyFile(made, path, constants.COPYFILE_EXCL);
  } catch (error) {
    if (isAbort(error)) throw error;
    const { stderr = '', message } = error as Error & { stderr?: string };
    const detail = stderr.trim().split('\n').at(-1) || message;
    const file = workspace.asRelativePath(path);
    throw new UserError({ kind: 'fileFailed', file, detail }, { cause: error });
  }
}

/** A test pattern and a tone of 5 s, with encoders that every build of ffmpeg has. */
const sampleArguments = [
  ...['-v', 'error', '-nostdin', '-n'],
  ...['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25', '-f', 'lavfi', '-i', 'sine=frequency=440'],
  ...['-t', '5', '-c:v', 'mpeg4', '-q:v', '4', '-c:a', 'aac'],
];

async function freePath(folder: string): Promise<string> {
  for (let copy = 1; ; copy++) {
    const path = join(folder, copy === 1 ? 'sample.mp4' : `sample ${copy}.mp4`);
    const exists = await workspace.fs.stat(Uri.file(path)).then(
      () => true,
      () => false,
    );
    if (!exists) return path;
  }
}
