/** Writes one line in human words. */
export type Log = (line: string) => void;
