/** Rows that a list shows at first, and that **Load More** adds. */
const pageRows = 100;

/** How a list of the Accounts view is shown. */
export class ListView {
  #shown = pageRows;
  #filter = '';

  /** Rows to show. */
  get shown(): number {
    return this.#shown;
  }

  /** The text that names of shown rows contain. Empty when all are shown. */
  get filter(): string {
    return this.#filter;
  }

  showMore(): void {
    this.#shown += pageRows;
  }

  /** Shows as many rows as it takes for the one at this index to be among them. */
  showIndex(index: number): void {
    while (this.#shown <= index) this.showMore();
  }

  filterBy(text: string): void {
    this.#filter = text;
    this.#shown = pageRows;
  }
}
