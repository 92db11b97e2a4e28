/** `transco…c1d2e4`: the beginning and the end, which tell ids and file names apart. */
export function shorten(text: string, length: number, head = Math.ceil((length - 1) / 2)): string {
  const characters = [...text];
  if (characters.length <= length) return text;
  return `${characters.slice(0, head).join('')}…${characters.slice(head + 1 - length).join('')}`;
}

/** `Speech, normalize…`: the beginning of a text that is wider than so many Latin letters; Chinese ones take two. */
export function cut(text: string, width: number): string {
  const characters = [...text];
  const widthOf = (count: number) =>
    characters.slice(0, count).reduce((sum, character) => sum + (character >= '\u2e80' ? 2 : 1), 0);
  if (widthOf(characters.length) <= width) return text;
  let count = characters.length;
  while (count > 1 && widthOf(count) > width - 1) count--;
  return `${characters.slice(0, count).join('').trimEnd()}…`;
}

/** The name of a file without its folders, whose paths have slashes; on Windows, other paths have a drive and backslashes. */
export function baseName(path: string): string {
  return endOfPath(path, 1) || path;
}

/** The last so many parts of a path, with slashes between them. */
export function endOfPath(path: string, parts: number): string {
  const separator = /^[A-Za-z]:\\|^\\\\/.test(path) ? /[\\/]/ : /\//;
  return path.split(separator).slice(-parts).join('/');
}

/** The folders before the name of a file; empty without any. */
export function folderOf(path: string): string {
  return path.slice(0, -baseName(path).length - 1);
}
