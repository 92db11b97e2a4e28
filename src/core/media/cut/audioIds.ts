import type { Bytes } from '../../files/bytes';
import { type Program, packetLength, readProgram } from './transportPackets';

/** Places in a file at which its tables are read again. */
const tableSamples = 8;
/** The tables are repeated at least this often. */
const lastTableBytes = 2 * 1024 * 1024;
/** Bytes to which the place of a change is narrowed down: an interval of the tables at usual rates. */
const changeBytes = 128 * 1024;
/** Tables that are read at most: a recording with more than a few changes is left as it is. */
const maxTables = 128;

type Table = Pick<Program, 'video' | 'audio' | 'entries'>;

/**
 * Whether the audio of a transport stream goes on with other packet ids, as after a break of a recording, while its video
 * keeps its own. False if ffmpeg's `-merge_pmt_versions` would join tracks that do not belong together, and for files that are
 * no transport stream or whose tables can't be read.
 */
export async function audioIdsChange(file: Bytes, size: number): Promise<boolean> {
  const packetBytes = await packetLength(file, size);
  if (packetBytes === undefined) return false;
  let tablesLeft = maxTables;
  const tableAt = async (at: number) => {
    if (tablesLeft === 0) return undefined;
    tablesLeft--;
    const program = await readProgram(file, size, packetBytes, Math.floor(at / packetBytes) * packetBytes);
    return typeof program === 'string' ? undefined : program;
  };
  const first = await tableAt(0);
  if (first === undefined) return false;
  const samples = Array.from(
    { length: tableSamples },
    (_, index) => (size * (index + 1)) / (tableSamples + 1),
  );
  const tables: Table[] = [first];
  let before: Placed = { at: 0, table: first };
  for (const at of [...samples, Math.max(0, size - lastTableBytes)]) {
    const table = at > before.at ? await tableAt(at) : undefined;
    if (table === undefined) continue;
    if (table.video !== first.video) return false;
    const after = { at, table };
    tables.push(...(await tablesBetween(before, after, tableAt)), table);
    before = after;
  }
  return tablesLeft > 0 && audioGoesOn(tables);
}

interface Placed {
  readonly at: number;
  readonly table: Table;
}

/** The tables in the order in which they replace each other between two that differ: a change may take several. */
async function tablesBetween(
  before: Placed,
  after: Placed,
  tableAt: (at: number) => Promise<Table | undefined>,
): Promise<Table[]> {
  if (after.at - before.at <= changeBytes || isSame(before.table, after.table)) return [];
  const at = (before.at + after.at) / 2;
  const table = await tableAt(at);
  if (table === undefined) return [];
  const middle = { at, table };
  return [
    ...(await tablesBetween(before, middle, tableAt)),
    table,
    ...(await tablesBetween(middle, after, tableAt)),
  ];
}

function isSame(one: Table, other: Table): boolean {
  return textOf(one) === textOf(other);
}

function textOf({ entries }: Table): string {
  return entries.map(({ pid, coding, component }) => [pid, coding, component].join()).join(';');
}

/**
 * Whether consecutive tables replace audio by audio, and ffmpeg would merge only tracks that belong together. ffmpeg maps a new
 * packet id to the track with the same component tag in the previous table, or else with the same position, whatever its kind: it
 * can continue a subtitle with audio, or a language that has not ended with another language.
 */
function audioGoesOn(tables: readonly Table[]): boolean {
  // The packet id with which each track began.
  const tracks = new Map(tables[0]?.entries.map(({ pid }) => [pid, pid]));
  let isReplaced = false;
  for (const [index, table] of tables.entries()) {
    const before = tables[index - 1];
    if (before === undefined) continue;
    for (const [position, entry] of table.entries.entries()) {
      if (tracks.has(entry.pid)) continue;
      const old = continuedBy(entry, position, before);
      tracks.set(entry.pid, tracks.get(old?.pid ?? entry.pid) ?? entry.pid);
      if (old === undefined) continue;
      if (old.coding !== entry.coding) return false;
      if (!table.audio.includes(entry.pid)) continue;
      // If the number of tracks changes, the position does not tell which one continues.
      if (table.audio.length !== before.audio.length) return false;
      isReplaced = true;
    }
    const present = new Set(table.entries.map(({ pid }) => tracks.get(pid)));
    if (present.size < table.entries.length) return false;
  }
  return isReplaced;
}

/** Returns the track of a table that ffmpeg continues with a given track of the next table. */
function continuedBy(
  { component }: Table['entries'][number],
  position: number,
  { entries }: Table,
): Table['entries'][number] | undefined {
  const atPosition = entries[position];
  if (component === undefined || atPosition?.component === component) return atPosition;
  return entries.find((entry) => entry.component === component);
}
