/** The blob tables of Azurite, in its folder: what blobs there are, and the files that hold their bytes. */
export const blobTable = '__azurite_db_blob__.json';
export const extentTable = '__azurite_db_blob_extent__.json';
/** Folder of the files that hold the bytes of blobs. */
export const extentFolder = '__blobstorage__';
/** A table as it was before it was last saved. */
export const previousOf = (table: string) => `${table}.previous`;

/** From the service to the process that runs Azurite. The key travels here rather than in its environment. */
export type StorageOrder =
  | { readonly kind: 'start'; readonly folder: string; readonly port: number; readonly account: string }
  | { readonly kind: 'save'; readonly id: number };

/** From the process that runs Azurite to the service. */
export type StorageReply =
  | { readonly kind: 'listening'; readonly url: string }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'saved'; readonly id: number; readonly error?: string }
  | { readonly kind: 'trouble'; readonly message: string };
