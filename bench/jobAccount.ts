import { BatchServiceClient, BatchSharedKeyCredentials } from '@azure/batch';
import {
  BlobServiceClient,
  type ContainerClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { machine, type TestService } from '../test/service/harness';

/** The options of ffmpeg that every contender but this extension uses, before and after the input. */
export const ffmpegArguments = ['-v', 'error', '-nostdin', '-y', '-i'];
export const encoding = ['-vn', '-c:a', 'libmp3lame', '-b:a', '192k'];

/** The account a contender uses. */
export interface Place {
  readonly service: TestService;
  readonly batchUrl: string;
  readonly blobUrl: string;
  /** Nodes of the contender's pool, each of which runs one task at a time. */
  readonly nodes: number;
}

/** An account as the SDKs show it, with a container for inputs and one for outputs. */
export class JobAccount {
  readonly batch: BatchServiceClient;
  readonly input: ContainerClient;
  readonly output: ContainerClient;
  readonly #credential: StorageSharedKeyCredential;

  constructor(private readonly place: Place) {
    const { service, batchUrl, blobUrl } = place;
    const { batchName, batchKey, storageName, storageKey } = service.credentials;
    this.#credential = new StorageSharedKeyCredential(storageName, storageKey);
    const blobs = new BlobServiceClient(blobUrl, this.#credential);
    [this.input, this.output] = [blobs.getContainerClient('input'), blobs.getContainerClient('output')];
    this.batch = new BatchServiceClient(new BatchSharedKeyCredentials(batchName, batchKey), batchUrl);
  }

  /** URL of a container or a blob with a SAS of these permissions. */
  sasUrl({ url }: { readonly url: string }, containerName: string, permissions: string, blobName?: string) {
    const sas = generateBlobSASQueryParameters(
      {
        containerName,
        blobName,
        permissions: ContainerSASPermissions.parse(permissions),
        expiresOn: new Date(Date.now() + 2 * 3_600_000),
        protocol: SASProtocol.HttpsAndHttp,
      },
      this.#credential,
    );
    return `${url}?${sas}`;
  }

  async addJob(): Promise<void> {
    await this.batch.pool.add({ id: 'pool', ...machine, targetLowPriorityNodes: this.place.nodes });
    await this.batch.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
  }

  /** The task of an uploaded file: it downloads the file, makes an MP3, and uploads that. */
  taskOf(name: string) {
    const mp3 = mp3Of(name);
    return {
      id: idOf(name),
      commandLine: `/bin/bash -c "ffmpeg ${ffmpegArguments.join(' ')} 'in.mp4' ${encoding.join(' ')} '${mp3}'"`,
      resourceFiles: [
        { httpUrl: this.sasUrl(this.input.getBlobClient(name), 'input', 'r'), filePath: 'in.mp4' },
      ],
      outputFiles: [
        {
          filePattern: mp3,
          destination: { container: { containerUrl: this.sasUrl(this.output, 'output', 'w') } },
          uploadOptions: { uploadCondition: 'tasksuccess' as const },
        },
      ],
    };
  }
}

export function mp3Of(name: string): string {
  return name.replace('.mp4', '.mp3');
}

/** Id of the task of a file, `clip 1.mp4`; the space is no part of ids. */
function idOf(name: string): string {
  return name.replace('.mp4', '').replace(' ', '-');
}

/** The file of a task. */
export function nameOf(id: string): string {
  return `${id.replace('-', ' ')}.mp4`;
}
