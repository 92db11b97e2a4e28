import { numbered } from '../../../core/files/files';

/** A file to save: its name, and the name of the task, node or container that it comes from. */
export interface FileToSave {
  readonly name: string;
  readonly owner: string;
}

/**
 * The names under which files are saved in one folder, all different, also where a file system ignores case. Files of equal
 * names begin with their owner: `task-1 stderr.txt`. If that is not enough, they get numbers: `task-1 stderr (2).txt`.
 */
export function savedNames(files: readonly FileToSave[]): string[] {
  const counts = new Map<string, number>();
  for (const { name } of files) counts.set(keyOf(name), (counts.get(keyOf(name)) ?? 0) + 1);
  const taken = new Set<string>();
  return files.map(({ name, owner }) => {
    const wanted = (counts.get(keyOf(name)) ?? 0) > 1 ? `${owner} ${name}` : name;
    let free = wanted;
    for (let number = 2; taken.has(keyOf(free)); number++) free = numbered(wanted, number);
    taken.add(keyOf(free));
    return free;
  });
}

function keyOf(name: string): string {
  return name.normalize().toLowerCase();
}
