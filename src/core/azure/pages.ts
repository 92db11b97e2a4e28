/** The items of one reply, and the link to the next page. */
export interface Page<T> {
  readonly items: T[];
  readonly next?: string;
}

/** Yields all items of a list, page by page. */
export async function* everyItem<T>(page: (next?: string) => Promise<Page<T>>): AsyncGenerator<T> {
  let next: string | undefined;
  do {
    const reply = await page(next);
    yield* reply.items;
    next = reply.next;
  } while (next !== undefined);
}

/** Escapes text for a string literal of an OData filter. */
export function quoted(text: string): string {
  return text.replaceAll("'", "''");
}
