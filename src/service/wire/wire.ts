/** A resource as JSON. */
export type Wire = { [name: string]: unknown };
