// The parts of Azurite 3.35 that the service uses; the package ships no types.

declare module 'azurite/dist/src/common/utils/constants' {
  const constants: { DEFAULT_MAX_EXTENT_SIZE: number; DEFAULT_EXTENT_GC_PROTECT_TIME_IN_MS: number };
  export default constants;
}

declare module 'azurite/dist/src/blob/utils/constants' {
  const constants: { DEFAULT_GC_INTERVAL_MS: number };
  export default constants;
}

declare module 'azurite/dist/src/blob/BlobServerFactory' {
  /** The database of LokiJS: documents in memory, written as one JSON file. */
  export interface Loki {
    readonly filename: string;
    persistenceAdapter: {
      loadDatabase(path: string, done: (text: string | Error | null) => void): void;
      saveDatabase(path: string, text: string, done: (error?: Error | null) => void): void;
    };
    autosaveDirty(): boolean;
    autosaveClearFlags(): void;
    autosaveDisable(): void;
    serialize(): string;
    getCollection(name: string): { findOne(query: { id: string }): unknown };
  }

  export interface Extent {
    readonly id: string;
    readonly locationId: string;
    readonly path: string;
    readonly size: number;
    readonly lastModifiedInMS: number;
    readonly LastModifyInMS?: number;
  }

  export interface BlobServer {
    readonly metadataStore: { readonly db: Loki };
    readonly extentMetadataStore: {
      readonly db: Loki;
      updateExtent(extent: Extent): Promise<void>;
    };
    start(): Promise<void>;
    close(): Promise<void>;
    getHttpServerAddress(): string;
  }

  export class BlobServerFactory {
    createServer(environment: object): Promise<BlobServer>;
  }
}
