import { readdirSync, readFileSync } from 'node:fs';

/** Ids of the processes below one, whose command line has this argument. */
export function descendantsOf(ancestor: number, argument: string): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const stat = readIfThere(`/proc/${name}/stat`);
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && (parent === ancestor || (parent > 1 && isBelow(parent)));
  };
  return processesWith(argument).filter(isBelow);
}

/** Ids of the processes that start programs for a service. */
export function startersOf(service: number): number[] {
  return ['starter.pl', 'starter.js'].flatMap((script) => descendantsOf(service, script));
}

/** Ids of all processes of the machine whose command line has this argument. */
export function processesWith(argument: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) =>
      readIfThere(`/proc/${pid}/cmdline`)
        .split('\0')
        .some((part) => part.endsWith(argument)),
    );
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
