import { readFileSync } from 'node:fs';
import { type Table, textOf } from '../table';

/** A class with fewer bytes of growth isn't listed, in bytes. */
const minGrowth = 20_000;
const maxClasses = 25;
/** Holders that are listed of each class. */
const maxHolders = 3;

/** The format of V8's heap snapshots, as the developer tools read it. */
interface Snapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[];
      readonly node_types: readonly [readonly string[], ...unknown[]];
      readonly edge_fields: readonly string[];
      readonly edge_types: readonly [readonly string[], ...unknown[]];
    };
  };
  readonly nodes: readonly number[];
  readonly edges: readonly number[];
  readonly strings: readonly string[];
}

interface Growth {
  objects: number;
  bytes: number;
}

/** Prints what has grown between two snapshots of one heap: by class, and through which property of which class it is held. */
export function growthBetween(first: string, last: string): void {
  const before = new Heap(first);
  const known = new Set<number>();
  const classes = new Map<string, Growth>();
  before.each((node) => {
    known.add(before.idOf(node));
    add(classes, before.classOf(node), -1, -before.bytesOf(node));
  });
  const after = new Heap(last);
  after.each((node) => add(classes, after.classOf(node), 1, after.bytesOf(node)));
  const grown = [...classes]
    .filter(([, { bytes }]) => bytes >= minGrowth)
    .sort(([, one], [, other]) => other.bytes - one.bytes)
    .slice(0, maxClasses);
  const listed = new Set(grown.map(([name]) => name));
  const holders = new Map<string, Map<string, Growth>>();
  after.eachEdge((holder, edge, held) => {
    const name = after.classOf(held);
    if (known.has(after.idOf(held)) || !listed.has(name)) return;
    const of = holders.get(name) ?? new Map<string, Growth>();
    holders.set(name, of);
    add(of, `${after.classOf(holder)} ${edge}`, 1, after.bytesOf(held));
  });
  const table: Table = {
    title: 'What has grown in the heap of the extension host',
    columns: [
      { key: 'bytes', label: 'bytes', digits: 0 },
      { key: 'objects', label: 'objects', digits: 0 },
    ],
    rows: grown.flatMap(([name, growth]) => [
      { way: name, figures: { ...growth } },
      ...[...(holders.get(name) ?? [])]
        .sort(([, one], [, other]) => other.objects - one.objects)
        .slice(0, maxHolders)
        .map(([holder, held]) => ({ way: `— new ones, held by ${holder}`, figures: { ...held } })),
    ]),
  };
  console.log(`\n${textOf(table)}`);
}

function add(to: Map<string, Growth>, name: string, objects: number, bytes: number): void {
  const growth = to.get(name) ?? { objects: 0, bytes: 0 };
  growth.objects += objects;
  growth.bytes += bytes;
  to.set(name, growth);
}

class Heap {
  readonly #heap: Snapshot;
  readonly #nodeSize: number;
  readonly #edgeSize: number;
  readonly #types: readonly string[];
  readonly #edgeTypes: readonly string[];
  readonly #at: Readonly<Record<string, number>>;
  readonly #edgeAt: Readonly<Record<string, number>>;

  constructor(path: string) {
    this.#heap = JSON.parse(readFileSync(path, 'utf8')) as Snapshot;
    const { meta } = this.#heap.snapshot;
    this.#nodeSize = meta.node_fields.length;
    this.#edgeSize = meta.edge_fields.length;
    [this.#types] = meta.node_types;
    [this.#edgeTypes] = meta.edge_types;
    this.#at = Object.fromEntries(meta.node_fields.map((name, index) => [name, index]));
    this.#edgeAt = Object.fromEntries(meta.edge_fields.map((name, index) => [name, index]));
  }

  /** Calls back with each object of the heap. */
  each(onNode: (node: number) => void): void {
    for (let node = 0; node < this.#heap.nodes.length; node += this.#nodeSize) onNode(node);
  }

  /** Calls back with each reference that keeps an object alive. */
  eachEdge(onEdge: (holder: number, name: string, held: number) => void): void {
    const { edges, strings } = this.#heap;
    let edge = 0;
    this.each((holder) => {
      const end = edge + this.#node(holder, 'edge_count') * this.#edgeSize;
      for (; edge < end; edge += this.#edgeSize) {
        const type = this.#edgeTypes[this.#edge(edge, 'type')] ?? '';
        if (type === 'weak') continue;
        // Elements and hidden references have a number, not a name.
        const name = this.#edge(edge, 'name_or_index');
        const isNumbered = type === 'element' || type === 'hidden';
        onEdge(holder, isNumbered ? '[…]' : `.${strings[name]}`, this.#edge(edge, 'to_node'));
      }
    });
    if (edge !== edges.length) throw new Error('The snapshot is incomplete.');
  }

  idOf(node: number): number {
    return this.#node(node, 'id');
  }

  bytesOf(node: number): number {
    return this.#node(node, 'self_size');
  }

  /** Objects by their constructor, anything else by its type. */
  classOf(node: number): string {
    const type = this.#types[this.#node(node, 'type')] ?? '';
    const name = this.#heap.strings[this.#node(node, 'name')] ?? '';
    if (type === 'object' || type === 'closure' || type === 'native') return `${type} ${name}`;
    return type === 'array' || type === 'hidden' || type === 'code' ? `${type} ${name.slice(0, 40)}` : type;
  }

  #node(node: number, field: string): number {
    return this.#heap.nodes[node + (this.#at[field] as number)] as number;
  }

  #edge(edge: number, field: string): number {
    return this.#heap.edges[edge + (this.#edgeAt[field] as number)] as number;
  }
}
