import { Turns } from '../files/turns';

/** How much of a file has been written, where its ranges are written in any order. */
export class Written {
  #end = 0;
  /** The lengths of ranges after a gap, by position. */
  readonly #ahead = new Map<number, number>();
  readonly #turns = new Turns<number>();

  /** Bytes from the beginning to the first gap. */
  get end(): number {
    return this.#end;
  }

  add(position: number, length: number): void {
    if (length === 0) return;
    this.#ahead.set(position, length);
    for (let next = this.#ahead.get(this.#end); next; next = this.#ahead.get(this.#end)) {
      this.#ahead.delete(this.#end);
      this.#end += next;
    }
    // One that waits for less must not wait for another one: it may be the one that fills the gap.
    this.#turns.admitEach((end) => end <= this.#end);
  }

  /** Resolves when no gap is before `end`. Rejects with the signal's reason when the signal aborts. */
  async reaches(end: number, signal: AbortSignal): Promise<void> {
    if (end > this.#end) await this.#turns.wait(end, signal);
  }
}
