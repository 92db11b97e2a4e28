/** Items of one reply, and the link to the next, for lists that are shown page by page. */
export interface Page<T> {
  readonly items: T[];
  readonly next?: string;
}

/** All items of a list, page by page, for callers that need every one. */
export async function* everyItem<T>(page: (next?: string) => Promise<Page<T>>): AsyncGenerator<T> {
  let next: string | undefined;
  do {
    const reply = await page(next);
    yield* reply.items;
    next = reply.next;
  } while (next !== undefined);
}

/** A string literal's inside in an OData filter. */
export function quoted(text: string): string {
  return text.replaceAll("'", "''");
}
