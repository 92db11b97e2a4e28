/**
 * Metadata as it may travel in headers. Storage answers 403 to what is not ASCII, which then looks like a bad key; half
 * characters (lone surrogates) cannot be encoded at all and become U+FFFD.
 */
export function encodeMetadata(metadata: Record<string, string>): Record<string, string> {
  return mapValues(metadata, (value) => encodeURIComponent(value.replace(/\p{Surrogate}/gu, '\ufffd')));
}

/** What others wrote without encoding stays as it is. */
export function decodeMetadata(metadata: Record<string, string> = {}): Record<string, string> {
  return mapValues(metadata, (value) => {
    try {
      return decodeURIComponent(value);
    } catch {
      return value;
    }
  });
}

function mapValues(
  record: Record<string, string>,
  change: (value: string) => string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}
