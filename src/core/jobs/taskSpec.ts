import type { Task, TaskAdd } from '../azure/batch';
import type { Attempt, Manifest, ManifestFile } from '../plan/manifest';

type OutputFile = NonNullable<TaskAdd['outputFiles']>[number];

/**
 * Name of an empty resource file that creates the output folder on the node: tasks run without a shell, and few of
 * ffmpeg's muxers create a folder. Patterns of output files do not match names that begin with a dot.
 */
export const folderMark = '.folder';

/** URLs, with a SAS, of the containers that a task reads from and writes to. */
export interface ContainerUrls {
  readonly input: string;
  readonly output: string;
  /** The output container for reading: encoded parts of split files are joined from there. */
  readonly encoded: string;
}

/** The task of one file: ffmpeg reads a blob and its output becomes a blob. So does its log, to outlive the node. */
export function taskOf(
  manifest: Manifest,
  attempt: Attempt,
  file: ManifestFile,
  urls: ContainerUrls,
): TaskAdd {
  const { output } = file;
  return {
    id: file.id,
    displayName: file.path.slice(-1024),
    commandLine: file.commandLine,
    resourceFiles: [
      { httpUrl: blobUrl(urls.input, file.inputBlob), filePath: file.nodeInput },
      ...(output.isFolder
        ? [{ httpUrl: blobUrl(urls.input, folderMark), filePath: `${output.nodePath}/${folderMark}` }]
        : []),
    ],
    outputFiles: [
      {
        filePattern: output.isFolder ? `${output.nodePath}/**/*` : output.nodePath,
        destination: { container: { containerUrl: urls.output, path: output.blob } },
        uploadOptions: { uploadCondition: 'tasksuccess' },
      },
      taskLog(attempt, file.id, urls),
    ],
    constraints: taskConstraints(manifest),
  };
}

/** Uploads ffmpeg's log, also if the task succeeds: it says what ffmpeg could decode. ffmpeg writes nothing to stdout. */
export function taskLog(attempt: Attempt, taskId: string, { output }: ContainerUrls): OutputFile {
  return {
    filePattern: '../stderr.txt',
    destination: { container: { containerUrl: output, path: logBlob(attempt, { id: taskId }) } },
    uploadOptions: { uploadCondition: 'taskcompletion' },
  };
}

export function taskConstraints({ limits }: Pick<Manifest, 'limits'>): NonNullable<TaskAdd['constraints']> {
  return {
    maxWallClockTime: `PT${limits.taskMinutes}M`,
    maxTaskRetryCount: limits.retries,
    retentionTime: 'P1D',
  };
}

/** The blob in the output container that holds the log of a task, the stderr of ffmpeg. */
export function logBlob({ jobId }: Pick<Attempt, 'jobId'>, { id }: Pick<ManifestFile, 'id'>): string {
  return `logs/${jobId}/${id}/stderr.txt`;
}

/** URL of a blob from the URL of its container with a SAS, which is valid for its blobs. */
export function blobUrl(containerUrl: string, blob: string): string {
  const url = new URL(containerUrl);
  url.pathname += `/${blob.split('/').map(encodeURIComponent).join('/')}`;
  return url.href;
}

/** When the SAS of a task's first resource file expires; undefined if there is none. */
export function sasExpiryOf({ resourceFiles }: Pick<Task, 'resourceFiles'>): Date | undefined {
  const url = resourceFiles?.[0]?.httpUrl;
  const expiry = url === undefined ? null : new URL(url).searchParams.get('se');
  return expiry === null ? undefined : new Date(expiry);
}
