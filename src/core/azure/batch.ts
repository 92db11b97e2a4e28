import type { AbortSignalLike } from '@azure/ms-rest-js';
import { BatchJobs } from './batchJobs';
import type { FilePlace, ListOptions, NodeFile } from './batchTypes';
import type { Page } from './pages';

export type * from './batchTypes';

/** The Batch calls that this extension makes: those about files here, those about pools and jobs in its base classes. */
export class Batch extends BatchJobs {
  filePage(
    place: FilePlace,
    options: ListOptions & { recursive?: boolean } = {},
    next?: string,
  ): Promise<Page<NodeFile>> {
    const { file } = this.client;
    const { recursive } = options;
    return this.page(
      'list files',
      { ...options, resource: 'taskId' in place ? place.taskId : place.nodeId },
      next,
      (list, abortSignal) =>
        'taskId' in place
          ? file.listFromTask(place.jobId, place.taskId, {
              recursive,
              fileListFromTaskOptions: list,
              abortSignal,
            })
          : file.listFromComputeNode(place.poolId, place.nodeId, {
              recursive,
              fileListFromComputeNodeOptions: list,
              abortSignal,
            }),
      (link, abortSignal) =>
        'taskId' in place
          ? file.listFromTaskNext(link, { abortSignal })
          : file.listFromComputeNodeNext(link, { abortSignal }),
    );
  }

  /** Size in bytes and time of the last change; undefined if the file does not exist. */
  async fileProperties(
    place: FilePlace,
    path: string,
    signal?: AbortSignal,
  ): Promise<{ size: number; modified: Date } | undefined> {
    const { file } = this.client;
    const properties = await this.orUndefined(
      ['HTTP 404', 'FileNotFound'],
      this.call({ operation: 'get file properties', resource: path, signal }, (abortSignal) =>
        'taskId' in place
          ? file.getPropertiesFromTask(place.jobId, place.taskId, path, { abortSignal })
          : file.getPropertiesFromComputeNode(place.poolId, place.nodeId, path, { abortSignal }),
      ),
    );
    return (
      properties && {
        size: Number(properties.contentLength ?? 0),
        modified: properties.lastModified ?? new Date(0),
      }
    );
  }

  /**
   * Reads at most `length` bytes from `position`; none if the file ends before it. Batch answers ranges with 200, so only
   * the length shows whether a service has ignored the range.
   */
  async readFile(
    place: FilePlace,
    path: string,
    position: number,
    length: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const { file } = this.client;
    const ocpRange = `bytes=${position}-${position + length - 1}`;
    const read = async (abortSignal: AbortSignalLike) => {
      const { readableStreamBody } =
        'taskId' in place
          ? await file.getFromTask(place.jobId, place.taskId, path, {
              fileGetFromTaskOptions: { ocpRange },
              abortSignal,
            })
          : await file.getFromComputeNode(place.poolId, place.nodeId, path, {
              fileGetFromComputeNodeOptions: { ocpRange },
              abortSignal,
            });
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of readableStreamBody ?? []) {
        chunks.push(Buffer.from(chunk));
        bytes += chunk.length;
        if (bytes >= length) break;
      }
      return Buffer.concat(chunks).subarray(0, length);
    };
    const empty: Uint8Array = new Uint8Array();
    return (
      (await this.orUndefined(
        ['InvalidRange', 'HTTP 416'],
        this.call<Uint8Array>({ operation: 'read file', resource: path, signal }, read),
      )) ?? empty
    );
  }
}
