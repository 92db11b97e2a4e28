import type { Bytes } from '../../files/bytes';
import { type Element, elementAt, elements, numberAt, vintAt } from './ebml';
import { type Codec, describedCodec, firstSlice, isDecodableLeading, startsDecoder } from './keyFrames';
import { type CutVideo, chooseCuts, layoutOf, type Range, type WholeReason } from './parts';

const ids = {
  header: 0x1a45dfa3,
  segment: 0x18538067,
  info: 0x1549a966,
  timestampScale: 0x2ad7b1,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  trackNumber: 0xd7,
  trackType: 0x83,
  codecId: 0x86,
  codecPrivate: 0x63a2,
  contentEncodings: 0x6d80,
  chapters: 0x1043a770,
  tags: 0x1254c367,
  cluster: 0x1f43b675,
  clusterTime: 0xe7,
  simpleBlock: 0xa3,
  blockGroup: 0xa0,
  block: 0xa1,
  referenceBlock: 0xfb,
};

/** Limits for damaged or hostile files. */
const maxHeadBytes = 16 * 1024 * 1024;
const maxClusters = 200_000;
const maxBlocksPerGroup = 2_000;
const maxTries = 200;

/** The first slice of a frame is in here. */
const frameHeadBytes = 16 * 1024;

/**
 * Cuts a Matroska or WebM file into ranges of whole clusters of about `seconds`. The file's head (all but its clusters) and
 * a range form a file; the head and all ranges form the whole file, so the audio needs no upload of its own. Resolves with
 * the reason if the video has to stay whole. https://www.rfc-editor.org/rfc/rfc9559
 */
export async function cutMatroska(
  file: Bytes,
  size: number,
  seconds: number,
): Promise<CutVideo | WholeReason> {
  const layout = await readLayout(file, size);
  if (typeof layout === 'string') return layout;
  const { clusters, video, head } = layout;
  if (video.isEncoded) return 'encrypted';
  const points = await keyClusters(file, layout);
  const first = points[0];
  if (first === undefined) return 'index';
  const end = await endTime(file, layout);
  if (end - first.seconds < 1.5 * seconds) return 'short';
  if (points.length === 1) return 'keyFrames';
  let candidates = points;
  const safe = new Set([0]);
  let cuts: KeyCluster[] = [];
  for (let tries = 0; ; ) {
    const times = candidates.map((point) => point.seconds - first.seconds);
    cuts = chooseCuts(times, end - first.seconds, seconds).map((index) => candidates[index] as KeyCluster);
    const unknown = cuts.find(({ cluster }) => !safe.has(cluster));
    if (unknown === undefined) break;
    if (++tries > maxTries) return 'openGop';
    if (await isClosed(file, layout, unknown)) safe.add(unknown.cluster);
    else candidates = candidates.filter((point) => point !== unknown);
  }
  if (cuts.length === 0) return 'openGop';
  const starts = [first, ...cuts];
  const ranges = starts.map(({ cluster }, index): Range => {
    const next = starts[index + 1];
    const to = next ? (clusters[next.cluster] as Element).at : (clusters.at(-1) as Element).end;
    // Audio may begin in clusters before the first frame.
    const begin = index === 0 ? clusters[0] : clusters[cluster];
    return { from: (begin as Element).at, to };
  });
  const parts = starts.map((start, index) => ({
    startSeconds: start.seconds - first.seconds,
    endSeconds: (starts[index + 1]?.seconds ?? end) - first.seconds,
    bytes: (ranges[index] as Range).to - (ranges[index] as Range).from,
  }));
  return {
    cuts: {
      parts,
      headBytes: head.length,
      ...(await startTimes(file, layout, first.seconds)),
      audioBegins: 'withFile',
    },
    head,
    layouts: ranges.map((range) => layoutOf(Buffer.alloc(0), [range])),
  };
}

interface VideoTrack {
  readonly number: number;
  readonly codec: Codec | undefined;
  readonly isEncoded: boolean;
}

interface Layout {
  /** EBML header, segment header, and all elements that describe the file. */
  readonly head: Buffer;
  readonly secondsPerTick: number;
  readonly video: VideoTrack;
  readonly audio: readonly number[];
  readonly clusters: readonly Element[];
}

interface KeyCluster {
  /** Index of a cluster that begins with a key frame. */
  readonly cluster: number;
  readonly seconds: number;
}

async function readLayout(file: Bytes, size: number): Promise<Layout | WholeReason> {
  const header = await elementAt(file, 0, size);
  if (header?.id !== ids.header || header.end > 4096) return 'format';
  const segment = await elementAt(file, header.end, size);
  if (segment?.id !== ids.segment) return 'index';
  const clusters: Element[] = [];
  const described: Element[] = [];
  let reached = segment.start;
  for await (const element of elements(file, segment.start, segment.end)) {
    reached = element.end;
    if (element.id === ids.cluster) {
      // A cluster of unknown size belongs to a live recording.
      if (element.hasUnknownSize || clusters.length >= maxClusters) return 'index';
      clusters.push(element);
    } else if ([ids.info, ids.tracks, ids.chapters, ids.tags].includes(element.id)) described.push(element);
  }
  // Clusters after damage can't be found by their headers.
  if (reached < Math.min(segment.end, size)) return 'index';
  const bytes = described.reduce((sum, { at, end }) => sum + end - at, 0);
  const tracks = described.find(({ id }) => id === ids.tracks);
  if (tracks === undefined || clusters.length === 0 || bytes > maxHeadBytes) return 'index';
  const entries = await readTracks(file, tracks);
  const video = entries.find(({ type }) => type === 1);
  if (video === undefined) return 'format';
  const parts = await Promise.all(
    [header, ...described].map(async ({ at, end }) => Buffer.from(await file.read(at, end - at))),
  );
  const unknownSize = Buffer.from('01ffffffffffffff', 'hex');
  const head = Buffer.concat([
    parts[0] as Buffer,
    Buffer.from('18538067', 'hex'),
    unknownSize,
    ...parts.slice(1),
  ]);
  return {
    head,
    secondsPerTick:
      (await timestampScale(
        file,
        described.find(({ id }) => id === ids.info),
      )) / 1e9,
    video,
    audio: entries.filter(({ type }) => type === 2).map(({ number }) => number),
    clusters,
  };
}

interface TrackEntry extends VideoTrack {
  readonly type: number;
}

async function readTracks(file: Bytes, tracks: Element): Promise<TrackEntry[]> {
  const entries: TrackEntry[] = [];
  for await (const entry of elements(file, tracks.start, tracks.end)) {
    if (entry.id !== ids.trackEntry) continue;
    const bytes = new Map<number, Buffer>();
    for await (const element of elements(file, entry.start, entry.end)) {
      const length = Math.min(element.end - element.start, 4096);
      bytes.set(element.id, Buffer.from(await file.read(element.start, length)));
    }
    const number = (id: number) => {
      const value = bytes.get(id) ?? Buffer.alloc(0);
      return numberAt(value, 0, Math.min(value.length, 6));
    };
    const codecId = bytes.get(ids.codecId)?.toString('latin1').replace(/\0+$/, '') ?? '';
    entries.push({
      number: number(ids.trackNumber),
      type: number(ids.trackType),
      codec: codecOf(codecId, bytes.get(ids.codecPrivate)),
      isEncoded: bytes.has(ids.contentEncodings),
    });
  }
  return entries;
}

function codecOf(id: string, description: Buffer | undefined): Codec | undefined {
  if (id === 'V_MPEG4/ISO/AVC' && description) return describedCodec('avc1', 'avcC', description);
  if (id === 'V_MPEGH/ISO/HEVC' && description) return describedCodec('hvc1', 'hvcC', description);
  return undefined;
}

async function timestampScale(file: Bytes, info: Element | undefined): Promise<number> {
  if (info === undefined) return 1_000_000;
  for await (const { id, start, end } of elements(file, info.start, info.end)) {
    if (id === ids.timestampScale)
      return numberAt(await file.read(start, Math.min(end - start, 6)), 0, end - start);
  }
  return 1_000_000;
}

interface Block {
  readonly track: number;
  /** Ticks. */
  readonly time: number;
  readonly isKey: boolean;
  /** The frame's position in the file; a video block holds one frame. */
  readonly start: number;
  readonly end: number;
}

/** The blocks of a cluster, from their headers only. */
async function* blocksOf(file: Bytes, cluster: Element): AsyncGenerator<Block> {
  let clusterTime = 0;
  for await (const element of elements(file, cluster.start, cluster.end)) {
    if (element.id === ids.clusterTime) {
      const length = Math.min(element.end - element.start, 6);
      clusterTime = numberAt(await file.read(element.start, length), 0, length);
    } else if (element.id === ids.simpleBlock) {
      const block = await readBlock(file, element, clusterTime);
      if (block) yield { ...block, isKey: (block.flags & 0x80) !== 0 };
    } else if (element.id === ids.blockGroup) {
      let isKey = true;
      let inner: Element | undefined;
      for await (const member of elements(file, element.start, element.end)) {
        if (member.id === ids.referenceBlock) isKey = false;
        if (member.id === ids.block) inner = member;
      }
      const block = inner && (await readBlock(file, inner, clusterTime));
      if (block) yield { ...block, isKey };
    }
  }
}

async function readBlock(file: Bytes, { start, end }: Element, clusterTime: number) {
  const bytes = Buffer.from(await file.read(start, Math.min(end - start, 16)));
  const track = vintAt(bytes, 0);
  if (track === undefined || track.length + 3 > bytes.length) return undefined;
  const time = clusterTime + bytes.readInt16BE(track.length);
  return {
    track: track.value,
    time,
    flags: bytes[track.length + 2] as number,
    start: start + track.length + 3,
    end,
  };
}

/** Clusters whose first video frame is a key frame; none if the video doesn't begin with one. */
async function keyClusters(file: Bytes, { clusters, video, secondsPerTick }: Layout): Promise<KeyCluster[]> {
  const found: KeyCluster[] = [];
  for (const [index, cluster] of clusters.entries()) {
    for await (const { track, time, isKey } of blocksOf(file, cluster)) {
      if (track !== video.number) continue;
      if (!isKey && found.length === 0) return [];
      if (isKey) found.push({ cluster: index, seconds: time * secondsPerTick });
      break;
    }
  }
  return found;
}

/** Whether the frames from a cluster on can be decoded without those before, and are shown after them. */
async function isClosed(
  file: Bytes,
  { clusters, video, secondsPerTick }: Layout,
  { cluster: from, seconds }: KeyCluster,
): Promise<boolean> {
  const { codec } = video;
  const key = Math.round(seconds / secondsPerTick);
  let seen = 0;
  for (const cluster of clusters.slice(from)) {
    for await (const block of blocksOf(file, cluster)) {
      if (block.track !== video.number) continue;
      const isFirst = seen === 0;
      if (block.isKey && !isFirst) return true;
      if (++seen > maxBlocksPerGroup) return true;
      if (!isFirst && block.time >= key) continue;
      if (codec === undefined) {
        if (isFirst) continue;
        return false;
      }
      const head = Buffer.from(
        await file.read(block.start, Math.min(block.end - block.start, frameHeadBytes)),
      );
      const slice = firstSlice(head, codec);
      if (slice === undefined) return false;
      if (!(isFirst ? startsDecoder(codec, slice) : isDecodableLeading(codec, slice.type))) return false;
    }
  }
  return seen > 0;
}

/** When the last frame ends, by the time between the last two frames. */
async function endTime(file: Bytes, { clusters, video, secondsPerTick }: Layout): Promise<number> {
  for (const cluster of [...clusters].reverse()) {
    const times: number[] = [];
    for await (const { track, time } of blocksOf(file, cluster)) if (track === video.number) times.push(time);
    times.sort((one, other) => one - other);
    const [before = 0, last] = times.slice(-2);
    if (last !== undefined && times.length > 1) return (2 * last - before) * secondsPerTick;
    if (times.length === 1) return before * secondsPerTick;
  }
  return 0;
}

/** Starts of the tracks, from the blocks of the first clusters. */
async function startTimes(
  file: Bytes,
  { clusters, video, audio, secondsPerTick }: Layout,
  videoStart: number,
) {
  const starts = new Map<number, number>([[video.number, videoStart]]);
  for (const cluster of clusters.slice(0, 8)) {
    for await (const { track, time } of blocksOf(file, cluster)) {
      if (!starts.has(track)) starts.set(track, time * secondsPerTick);
    }
    if (audio.every((track) => starts.has(track))) break;
  }
  const begin = Math.min(videoStart, ...audio.map((track) => starts.get(track) ?? videoStart));
  return {
    videoStartSeconds: videoStart - begin,
    audioStartSeconds: audio.map((track) => (starts.get(track) ?? begin) - begin),
  };
}
