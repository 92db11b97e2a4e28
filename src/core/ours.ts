/** Metadata by which our pools, jobs and containers are told from other people's: a name proves nothing. */
export const madeBy = {
  name: 'azureBatchTranscode',
  run: 'azureBatchTranscodeRun',
  spec: 'azureBatchTranscodeSpec',
};

/** What of a pool's or job's metadata is ours, by name; undefined where it is not there. */
export function ownMetadata(
  metadata: readonly { readonly name: string; readonly value: string }[] | undefined,
  name: keyof typeof madeBy,
): string | undefined {
  return metadata?.find((item) => item.name === madeBy[name])?.value;
}
