import { type FileResult, type Manifest, type TimeSpan, taskRunsOf } from '../plan/manifest';

/** What one file did, on its lane. */
export interface Bar {
  readonly file: string;
  /** Milliseconds since the timeline began. */
  readonly start: number;
  readonly end: number;
  readonly isFailed: boolean;
}

export interface Lane {
  /** `upload` and `fetch`: transfers of this machine, side by side. `slot`: a task slot of a node, one task at a time. */
  readonly kind: 'upload' | 'fetch' | 'slot';
  /** The node of a slot. */
  readonly node?: string;
  /** From 1, where a node has several. */
  readonly slot?: number;
  readonly bars: readonly Bar[];
}

/** When the files of a run were uploaded, transcoded and fetched. */
export interface Timeline {
  /** Milliseconds since 1970. */
  readonly start: number;
  readonly lengthMs: number;
  readonly lanes: readonly Lane[];
}

/**
 * The timeline of a run: uploads and fetches first, then a lane for each task slot of each node that was used, in the
 * order in which the nodes began to work. Undefined if no times are known.
 */
export function timelineOf({ files }: Manifest, results: readonly FileResult[]): Timeline | undefined {
  const paths = new Map(files.map(({ id, path }) => [id, path]));
  const spans = results.flatMap((result) => {
    const { id, uploaded, fetched } = result;
    const file = paths.get(id) ?? id;
    const isFailed = result.problem !== undefined;
    return [
      ...spanOf('upload', uploaded, { file, isFailed: result.failedAt === 'upload' }),
      ...taskRunsOf(result).flatMap(({ startTime, endTime, node = '' }) =>
        spanOf('slot', startTime && endTime ? { start: startTime, end: endTime } : undefined, {
          file,
          isFailed: isFailed && result.failedAt !== 'download',
          node,
        }),
      ),
      ...spanOf('fetch', fetched, { file, isFailed: result.failedAt === 'download' }),
    ];
  });
  if (spans.length === 0) return undefined;
  const start = Math.min(...spans.map((span) => span.start));
  const end = Math.max(...spans.map((span) => span.end));
  const moved = spans
    .map((span) => ({ ...span, start: span.start - start, end: span.end - start }))
    .sort((one, other) => one.start - other.start);
  const nodes = [...new Set(moved.filter(({ kind }) => kind === 'slot').map(({ node }) => node))];
  const lanes: Lane[] = [
    ...transferLanes('upload', moved),
    ...transferLanes('fetch', moved),
    ...nodes.flatMap((node) => slotLanes(node, moved)),
  ];
  return { start, lengthMs: Math.max(end - start, 1), lanes };
}

interface Span extends Bar {
  readonly kind: Lane['kind'];
  readonly node?: string;
}

function spanOf(
  kind: Lane['kind'],
  span: TimeSpan | undefined,
  facts: { file: string; isFailed: boolean; node?: string },
): Span[] {
  const [start, end] = [Date.parse(span?.start ?? ''), Date.parse(span?.end ?? '')];
  return Number.isFinite(start) && Number.isFinite(end)
    ? [{ kind, ...facts, start, end: Math.max(start, end) }]
    : [];
}

function transferLanes(kind: 'upload' | 'fetch', spans: readonly Span[]): Lane[] {
  const bars = spans.filter((span) => span.kind === kind).map(barOf);
  return bars.length > 0 ? [{ kind, bars }] : [];
}

/** Batch does not say which slot a task had: each task takes the first that is free. */
function slotLanes(node: string | undefined, spans: readonly Span[]): Lane[] {
  const slots: Bar[][] = [];
  for (const span of spans.filter((one) => one.kind === 'slot' && one.node === node)) {
    const free = slots.find((bars) => (bars.at(-1)?.end ?? 0) <= span.start);
    if (free) free.push(barOf(span));
    else slots.push([barOf(span)]);
  }
  return slots.map((bars, index) => ({
    kind: 'slot',
    node,
    slot: slots.length > 1 ? index + 1 : undefined,
    bars,
  }));
}

function barOf({ file, start, end, isFailed }: Span): Bar {
  return { file, start, end, isFailed };
}

export interface TimelineWords {
  readonly title: string;
  readonly description: string;
  readonly laneName: (lane: Lane) => string;
  /** `0:21` */
  readonly time: (ms: number) => string;
  /** Of a bar, shown when the pointer rests on it. */
  readonly barName: (bar: Bar) => string;
}

const width = 860;
const nameWidth = 150;
const rowHeight = 22;
const barHeight = 14;
const axisHeight = 24;

/** Lanes that are drawn. The table has them all. */
const maxLanes = 60;

/**
 * Uploads, tasks, and fetches differ in color. Failed ones are striped, so that they can be told apart in high
 * contrast, too.
 */
const style = [
  '.tl-text{font:12px sans-serif;fill:var(--vscode-editor-foreground,#333)}',
  '.tl-line{stroke:var(--vscode-editor-foreground,#333);stroke-opacity:.25}',
  '.tl-bar{stroke:var(--vscode-editor-foreground,#333);stroke-width:.5}',
  '.tl-upload{fill:var(--vscode-charts-blue,#3794ff)}',
  '.tl-fetch{fill:var(--vscode-charts-purple,#b180d7)}',
  '.tl-slot{fill:var(--vscode-charts-green,#89d185)}',
  '.tl-failed{fill:url(#tl-stripes)}',
  '.tl-stripe{stroke:var(--vscode-charts-red,#e51400);stroke-width:4}',
].join('');

/** An SVG of a timeline in one line, which Markdown passes on as it is. Texts are escaped. */
export function timelineSvg({ lanes, lengthMs }: Timeline, words: TimelineWords): string {
  const shown = lanes.slice(0, maxLanes);
  const height = axisHeight + shown.length * rowHeight + 4;
  const x = (ms: number) => Math.round((nameWidth + (ms / lengthMs) * (width - nameWidth - 10)) * 10) / 10;
  const ticks = ticksOf(lengthMs).map(
    (ms) =>
      `<line class="tl-line" x1="${x(ms)}" x2="${x(ms)}" y1="16" y2="${height}"/>` +
      `<text class="tl-text" x="${x(ms)}" y="12" text-anchor="middle">${escaped(words.time(ms))}</text>`,
  );
  const rows = shown.map((lane, index) => {
    const y = axisHeight + index * rowHeight;
    const bars = lane.bars.map((bar) => {
      const barWidth = Math.max(Math.round((x(bar.end) - x(bar.start)) * 10) / 10, 1.5);
      const kind = bar.isFailed ? 'failed' : lane.kind;
      const name = `<title>${escaped(words.barName(bar))}</title>`;
      return `<rect class="tl-bar tl-${kind}" x="${x(bar.start)}" y="${y}" width="${barWidth}" height="${barHeight}">${name}</rect>`;
    });
    const label = `<text class="tl-text" x="0" y="${y + 11}">${escaped(words.laneName(lane))}</text>`;
    return label + bars.join('');
  });
  const stripes =
    '<defs><pattern id="tl-stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">' +
    '<line class="tl-stripe" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="tl-title tl-description" viewBox="0 0 ${width} ${height}" width="100%" style="max-width:${width}px">`,
    `<title id="tl-title">${escaped(words.title)}</title><desc id="tl-description">${escaped(words.description)}</desc>`,
    `<style>${style}</style>${stripes}${ticks.join('')}${rows.join('')}</svg>`,
  ].join('');
}

const second = 1000;
const minute = 60 * second;
const steps = [1, 2, 5, 10, 15, 30]
  .map((n) => n * second)
  .concat([1, 2, 5, 10, 15, 30, 60, 120, 360].map((n) => n * minute));

/** At most eight marks at round times. */
function ticksOf(lengthMs: number): number[] {
  const step = steps.find((one) => lengthMs / one <= 8) ?? Math.ceil(lengthMs / 8 / minute) * minute;
  return Array.from({ length: Math.floor(lengthMs / step) + 1 }, (_, index) => index * step);
}

function escaped(text: string): string {
  return text
    .replace(/[\r\n\t]+/g, ' ')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
