import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { commands, l10n, Uri, workspace } from 'vscode';
import { findFfmpeg } from '../accounts/ffmpeg';
import { longWork } from '../longWork';

/** Creates a short sample video, in the workspace folder if there is one, and reveals it. */
export async function createSample(): Promise<Uri> {
  const ffmpeg = await findFfmpeg();
  const [folder] = workspace.workspaceFolders ?? [];
  const isOnDisk = folder?.uri.scheme === 'file';
  const place = isOnDisk ? folder.uri.fsPath : await mkdtemp(join(tmpdir(), 'azure-batch-sample-'));
  const path = await freePath(place);
  await longWork(l10n.t('Creating a sample video'), (_, signal) =>
    promisify(execFile)(ffmpeg, [...sampleArguments, path], { signal }),
  );
  const uri = Uri.file(path);
  if (isOnDisk) await commands.executeCommand('revealInExplorer', uri);
  return uri;
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
