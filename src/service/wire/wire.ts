/** A resource as the JSON object of the API. */
export type Wire = { [name: string]: unknown };
