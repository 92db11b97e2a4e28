/** Types alone: all that the heat map and its host have in common. */

/** What a node did in a minute: `i`dle, `r`unning, `s`tarting, `f`ailed, `g`one, `?` unknown; a blank before it existed. */
export type Minute = 'i' | 'r' | 's' | 'f' | 'g' | '?' | ' ';

/** One node of a pool, as it is shown. */
export interface Cell {
  readonly id: string;
  readonly state: string;
  /** The state in the user's language. */
  readonly word: string;
  readonly isDedicated: boolean;
  readonly runningSlots: number;
  /** The start task failed, whatever the state of the node. */
  readonly startTaskFailed: boolean;
  /** The last 60 minutes, the oldest first, a `Minute` each. */
  readonly hour: string;
  /** The last hour in words: `40 minutes idle, 20 minutes running`. */
  readonly hourText: string;
}

/** Strings of the page, which come with it in the user's language. */
export interface Strings {
  readonly title: string;
  readonly empty: string;
  readonly node: string;
  readonly state: string;
  readonly kind: string;
  readonly slots: string;
  readonly slotsOf: string;
  readonly hour: string;
  readonly dedicated: string;
  readonly spot: string;
  readonly asTable: string;
  readonly asMap: string;
  readonly startTaskFailed: string;
  readonly showStartTaskLog: string;
  readonly reveal: string;
  readonly slotLegend: string;
  readonly hourLegend: string;
  readonly minutes: { readonly [Name in Exclude<Minute, ' '>]: string };
}

export type ToPage =
  | {
      readonly type: 'nodes';
      readonly cells: readonly Cell[];
      readonly slotsPerNode: number;
      /** How many nodes there are, and when that was. */
      readonly asOf: string;
      /** What all nodes did in the last hour. */
      readonly hour: string;
    }
  | { readonly type: 'problem'; readonly text: string };

export type ToHost =
  | { readonly type: 'ready' }
  | { readonly type: 'reveal'; readonly id: string }
  | { readonly type: 'showStartTaskLog'; readonly id: string };
