/**
 * Extensions of media files, lower case and without a dot. The `when` clauses of package.json have the same list, without
 * the extensions in `ambiguousExtensions`; a test compares them.
 */
export const mediaExtensions: readonly string[] = [
  ...[
    'mp4',
    'm4v',
    'mov',
    'qt',
    'mkv',
    'mk3d',
    'webm',
    'avi',
    'wmv',
    'asf',
    'flv',
    'f4v',
    'ts',
    'mts',
    'm2ts',
  ],
  ...['mpg', 'mpeg', 'm2v', 'vob', '3gp', '3g2', 'ogv', 'mxf', 'dv', 'rm', 'rmvb'],
  ...['wav', 'wave', 'mp3', 'm4a', 'm4b', 'aac', 'flac', 'ogg', 'oga', 'opus', 'wma', 'aif', 'aiff', 'amr'],
  ...['ac3', 'eac3', 'mka', 'caf', 'au'],
];

/** Extensions that TypeScript uses too: only its content shows that such a file is a transport stream. */
export const ambiguousExtensions: readonly string[] = ['ts', 'mts'];

/** The extension of a file name, lower case and without a dot; empty for `.gitignore` and names without a dot. */
export function extensionOf(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot > 0 ? name.slice(dot + 1).toLowerCase() : '';
}
