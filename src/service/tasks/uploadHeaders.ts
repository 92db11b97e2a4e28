import type { BlockBlobUploadOptions } from '@azure/storage-blob';

/** A header that an output file is uploaded with. */
export interface UploadHeader {
  readonly name: string;
  readonly value?: string;
}

export type BlobHeaders = Pick<BlockBlobUploadOptions, 'blobHTTPHeaders' | 'metadata' | 'tags' | 'tier'>;

const metadataPrefix = 'x-ms-meta-';

/** Headers that name the content: `x-ms-blob-content-type`, or else `content-type`. */
const contentHeaders = {
  blobContentType: 'content-type',
  blobContentEncoding: 'content-encoding',
  blobContentLanguage: 'content-language',
  blobCacheControl: 'cache-control',
  blobContentDisposition: 'content-disposition',
} as const;

const known = new Set([
  'x-ms-access-tier',
  'x-ms-tags',
  ...Object.values(contentHeaders).flatMap((name) => [name, blobHeader(name)]),
]);

function blobHeader(name: string): string {
  return `x-ms-blob-${name}`;
}

/**
 * The options of an upload that send these headers.
 * https://learn.microsoft.com/rest/api/storageservices/put-blob#request-headers-all-blob-types
 */
export function blobHeadersOf(headers: readonly UploadHeader[]): BlobHeaders {
  const values = new Map(headers.map(({ name, value }) => [name.toLowerCase(), value ?? '']));
  const metadata = headers
    .filter(({ name }) => name.toLowerCase().startsWith(metadataPrefix))
    .map(({ name, value }) => [name.slice(metadataPrefix.length), value ?? '']);
  const contents = Object.entries(contentHeaders).map(([option, name]) => [
    option,
    values.get(blobHeader(name)) ?? values.get(name),
  ]);
  const tags = values.get('x-ms-tags');
  const tier = values.get('x-ms-access-tier');
  return {
    blobHTTPHeaders: Object.fromEntries(contents),
    ...(metadata.length > 0 && { metadata: Object.fromEntries(metadata) }),
    ...(tags && { tags: Object.fromEntries(new URLSearchParams(tags)) }),
    ...(tier && { tier }),
  };
}

/** Why a header cannot be sent; undefined if it can. */
export function headerProblem({ name, value = '' }: UploadHeader): string | undefined {
  const folded = name.toLowerCase();
  const isMetadata = /^x-ms-meta-[a-z_][a-z0-9_]*$/.test(folded);
  if (!isMetadata && !known.has(folded))
    return `The local Batch service does not upload files with the header '${name}'.`;
  // A line break would begin another header.
  return [...value].some((character) => character < ' ' && character !== '\t')
    ? `The value of the header '${name}' contains control characters.`
    : undefined;
}
