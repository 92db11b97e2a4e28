/** Types alone: all that the heat map and its host have in common. */

/** One node of a pool, as it is shown. */
export interface Cell {
  readonly id: string;
  readonly state: string;
  /** The state in the user's language. */
  readonly word: string;
  readonly isDedicated: boolean;
  readonly tasks: number;
}

/** Strings of the page, which come with it in the user's language. */
export interface Strings {
  readonly title: string;
  readonly empty: string;
  readonly node: string;
  readonly state: string;
  readonly kind: string;
  readonly tasks: string;
  readonly dedicated: string;
  readonly spot: string;
  readonly asTable: string;
  readonly asMap: string;
}

export type ToPage =
  | { readonly type: 'nodes'; readonly cells: readonly Cell[]; readonly asOf: string }
  | { readonly type: 'problem'; readonly text: string };

export type ToHost = { readonly type: 'ready' } | { readonly type: 'reveal'; readonly id: string };
