/** What ffmpeg says about its work on a node, on stderr at the level `verbose`. */
export interface FfmpegStatement {
  /** ffmpeg's name of the input's format. */
  readonly format?: string;
  /** Length that the input's header states; undefined if ffmpeg estimated it, or found none. */
  readonly statedSeconds?: number;
  /** ffmpeg came to its end and printed statistics. */
  readonly isFinished: boolean;
  /** The streams of which something was read. */
  readonly streams: readonly InputStream[];
  /** Every audio and video stream of the input was read. */
  readonly isReadWhole: boolean;
  /** Kinds of the tracks that began in the middle of the input, which ffmpeg left out. */
  readonly laterTracks: ReadonlySet<InputStream['kind']>;
  /** How often the filters of the audio were made anew, because its channels or its sample rate changed. */
  readonly audioChanges: number;
  /** Seconds of audio that ffmpeg left out where a part of a recording begins before the last one ends. */
  readonly overlapSeconds: number;
  /** ffmpeg read the input only up to a change of its channels or its sample rate. */
  readonly stopsAtChange: boolean;
  /** Reports of damage in the input. */
  readonly damage: number;
  /** The first of them. */
  readonly damageLine?: string;
  /** Frames of video that were decoded around damage. */
  readonly concealedFrames: number;
  /** Loudest sample of the `source` and the `output` in dB of full scale; minus infinity for silence. */
  readonly peaks: ReadonlyMap<string, number>;
  /** Seconds of black in the `source` and the `output`. */
  readonly blackSeconds: ReadonlyMap<string, number>;
}

export interface InputStream {
  readonly kind: 'audio' | 'video';
  readonly packets: number;
  /** Undefined if the stream was copied. */
  readonly frames?: number;
  readonly decodeErrors: number;
  /** Length of what was decoded; undefined if that cannot be told. */
  readonly seconds?: number;
  /** If its sample rate changes, what was decoded is at least this long. */
  readonly minSeconds?: number;
}

/** Formats whose length is stated in a header. The length of others is estimated from bitrates and time stamps. */
const statedFormats = /^(mov|matroska|avi|flv|asf|mxf|gxf|aiff|au|tta|wv|ape|flac|wav|w64|caf|rm|dsf)\b/;

/** Lines that report damage of the input. Wordings of ffmpeg 4.4 to 7. */
const damagePatterns = [
  /^Error while decoding stream #/,
  /Error submitting (a )?packet to (the )?decoder/i,
  /Decoding error: /,
  /corrupt (input packet|decoded frame)/i,
  /Packet corrupt/,
  /concealing \d+ DC/,
  /Invalid NAL unit size/,
  /invalid as first byte of an EBML number/,
  /Element at 0x[0-9a-f]+ ending at .* exceeds containing/,
  /overread, skip/,
  /Header missing$/,
  /(error while decoding MB|Error at MB|damaged at \d)/i,
  /Truncat(ed|ing) packet|partial file/i,
  /(ChannelElement|channel element) \d+\.\d+ (missing|is not allocated)/,
  /invalid (sync code|frame header)|decode_frame\(\) failed/i,
];

/**
 * How ffmpeg ends, with the exit code 0, where the channels of a chained Ogg file change (from 8.0 on, Opus; from 9.0 on, Vorbis,
 * and where its sample rate changes): `[in#0/ogg @ 0x555d] Error during demuxing: Not yet implemented in FFmpeg, patches welcome`
 */
const notImplemented = /^\[in#0\/\S+ @ [^\]]*\] Error during demuxing: Not yet implemented in FFmpeg/;

const repeated = /^ *Last message repeated (\d+) times?$/;

/** ffmpeg writes at most this many characters with one message. */
const maxLineLength = 1024;

/**
 * The lines of a log, each cut to `maxLineLength`: media files can put text of any length and content into a log, on which
 * a pattern takes time in proportion to the square of its length.
 */
export function linesOf(log: string): string[] {
  return log.split(/[\r\n]+/).map((line) => line.slice(0, maxLineLength));
}

/** Undefined for a log without a statement about the input. */
export function parseFfmpegLog(log: string): FfmpegStatement | undefined {
  const lines = linesOf(log);
  const input = readInput(lines);
  if (input === undefined) return undefined;
  const damage = readDamage(lines);
  const { changes, sampleRates } = readAudioFilters(lines);
  const streams = readStreams(lines, input.rates, sampleRates);
  return {
    format: input.format,
    statedSeconds: input.statedSeconds,
    isFinished: lines.some((line) => line.includes('Input file #0 (')),
    streams,
    isReadWhole: streams.length >= input.rates.size,
    laterTracks: readLaterTracks(lines),
    audioChanges: changes,
    overlapSeconds: readOverlaps(lines, Math.max(...input.rates.values())),
    stopsAtChange: input.format === 'ogg' && lines.some((line) => notImplemented.test(line)),
    ...damage,
    peaks: readPeaks(lines),
    blackSeconds: readBlack(lines),
  };
}

interface InputHeader {
  readonly format: string;
  readonly statedSeconds?: number;
  /** Sample rate or frame rate by the index of the stream. */
  readonly rates: ReadonlyMap<number, number>;
}

function readInput(lines: readonly string[]): InputHeader | undefined {
  const first = lines.findIndex((line) => line.startsWith('Input #0, '));
  if (first < 0) return undefined;
  const format = /^Input #0, (.*), from /.exec(lines[first] ?? '')?.[1] ?? '';
  const rates = new Map<number, number>();
  let seconds: number | undefined;
  for (const line of lines.slice(first + 1)) {
    if (/^(Output #|Input #|Stream mapping:)/.test(line)) break;
    seconds ??= clockSeconds(/^ {2}Duration: (\d+:\d+:[\d.]+)/.exec(line)?.[1]);
    const [, index, rate] = /^ +Stream #0:(\d+).*, (\d+(?:\.\d+)?k?) (?:Hz|fps)/.exec(line) ?? [];
    if (index !== undefined && rate !== undefined) {
      rates.set(Number(index), Number.parseFloat(rate) * (rate.endsWith('k') ? 1000 : 1));
    }
  }
  const isEstimated =
    !statedFormats.test(format) || lines.some((line) => line.includes('Estimating duration from bitrate'));
  return { format, statedSeconds: isEstimated ? undefined : seconds, rates };
}

function clockSeconds(clock: string | undefined): number | undefined {
  if (clock === undefined) return undefined;
  const [hours = 0, minutes = 0, seconds = 0] = clock.split(':').map(Number);
  return hours * 3600 + minutes * 60 + seconds;
}

/** The statistics at the end: `Input stream #0:1 (audio): 432 packets read (86778 bytes); 431 frames decoded (441344 samples);` */
function readStreams(
  lines: readonly string[],
  rates: ReadonlyMap<number, number>,
  sampleRates: readonly number[],
): InputStream[] {
  return lines.flatMap((line) => {
    const match = /Input stream #0:(\d+) \((audio|video)\): (\d+) packets read/.exec(line);
    if (match === null || match[3] === '0') return [];
    const kind = match[2] as InputStream['kind'];
    const frames = numberIn(line, /(\d+) frames decoded/);
    const units = kind === 'audio' ? numberIn(line, /\((\d+) samples\)/) : frames;
    // The samples of a stream whose rate changes don't tell its length.
    const hasOtherRates = kind === 'audio' && sampleRates.length > 1;
    const rate = hasOtherRates ? undefined : rates.get(Number(match[1]));
    return {
      kind,
      packets: Number(match[3]),
      frames,
      decodeErrors: numberIn(line, /(\d+) decode errors/) ?? errorsOf(lines, Number(match[1])),
      seconds: units !== undefined && rate ? units / rate : undefined,
      ...(hasOtherRates && units !== undefined && { minSeconds: units / Math.max(...sampleRates) }),
    };
  });
}

/** Until ffmpeg 6.0 only its messages count the packets that could not be decoded. */
function errorsOf(lines: readonly string[], index: number): number {
  return count(lines, (line) => line.startsWith(`Error while decoding stream #0:${index}:`));
}

function readDamage(
  lines: readonly string[],
): Pick<FfmpegStatement, 'damage' | 'damageLine' | 'concealedFrames'> {
  const isDamage = (line: string) => damagePatterns.some((pattern) => pattern.test(line));
  const first = lines.find(isDamage);
  return {
    damage: count(lines, isDamage),
    damageLine: first?.replace(/^(\[[^\]]* @ 0x[0-9a-f]+\] ?)+/i, '').trim(),
    concealedFrames: count(lines, (line) => /concealing \d+ DC/.test(line)),
  };
}

/** `[mpegts @ 0x560b] New audio stream 0:3 at pos:472256 and DTS:15.3787s` */
function readLaterTracks(lines: readonly string[]): Set<InputStream['kind']> {
  const kinds = lines.flatMap((line) => /New (audio|video) stream \d+:\d+ at pos:/.exec(line)?.[1] ?? []);
  return new Set(kinds as InputStream['kind'][]);
}

/**
 * How often the filters of the audio were made anew, and the sample rates for which they were made.
 * ffmpeg logs `[graph_0_in_0_1 @ 0x556f] tb:1/48000 samplefmt:fltp samplerate:48000 chlayout:5.1(side)` each time. From 8.0 on,
 * all graphs have the number -1, but from 7.0 on, it logs another message from the second time on:
 * `[af#0:0 @ 0x4374] Reconfiguring filter graph because audio parameters changed to 48000 Hz, 5.1(side), fltp`
 */
function readAudioFilters(lines: readonly string[]): { changes: number; sampleRates: number[] } {
  const rates = new Set<number>();
  const made = new Map<string, number>();
  const again = new Map<string, number>();
  for (const line of lines) {
    const [, graph, rate] =
      /^\[(graph_-?\d+_in_[\d:_]+) @ [^\]]*\] tb:\S+ samplefmt:\S+ samplerate:(\d+)/.exec(line) ?? [];
    const [, filters, newRate] =
      /^\[(af\S+ @ \S+)\] Reconfiguring filter graph because audio parameters changed to (\d+) Hz/.exec(
        line,
      ) ?? [];
    for (const one of [rate, newRate]) if (one !== undefined) rates.add(Number(one));
    if (graph !== undefined && !graph.startsWith('graph_-1')) made.set(graph, (made.get(graph) ?? 0) + 1);
    if (filters !== undefined) again.set(filters, (again.get(filters) ?? 0) + 1);
  }
  const changes = Math.max(0, ...[...made.values()].map((times) => times - 1), ...again.values());
  return { changes, sampleRates: [...rates] };
}

/** Seconds by which a part of a recording may begin before the last one ends. More is another part of it. */
export const maxOverlap = 0.5;

/** Seconds of `[Parsed_aresample_0 @ 0x55d1] [SWR @ 0x7f45] discarding 3840 audio samples`, at a sample rate. */
function readOverlaps(lines: readonly string[], rate: number): number {
  let samples = 0;
  let last = 0;
  for (const line of lines) {
    const times = repeated.exec(line.trimEnd())?.[1];
    if (times === undefined) {
      const left = Number(/^(?:\[[^\]]*\] )*\[SWR @ [^\]]*\] discarding (\d+) /.exec(line)?.[1] ?? 0);
      last = left <= rate * maxOverlap ? left : 0;
    }
    samples += last * Number(times ?? 1);
  }
  return samples > 0 ? samples / rate : 0;
}

/** Counts lines, and their repetitions that ffmpeg folds into one line. */
function count(lines: readonly string[], isCounted: (line: string) => boolean): number {
  let counted = 0;
  let wasCounted = false;
  for (const line of lines) {
    const times = repeated.exec(line.trimEnd())?.[1];
    if (times !== undefined) counted += wasCounted ? Number(times) : 0;
    else {
      wasCounted = isCounted(line);
      if (wasCounted) counted++;
    }
  }
  return counted;
}

/** `[astats@source @ 0x55b0] Peak level dB: -11.988966`; the loudest of several tracks. */
function readPeaks(lines: readonly string[]): Map<string, number> {
  const peaks = new Map<string, number>();
  for (const line of lines) {
    const [, name, value] =
      /^\[astats@(\w+) @ [^\]]*\] Peak level dB: (-?(?:[\d.]+|inf|nan))/.exec(line) ?? [];
    if (name === undefined || value === undefined) continue;
    const peak = /inf|nan/.test(value) ? Number.NEGATIVE_INFINITY : Number(value);
    peaks.set(name, Math.max(peak, peaks.get(name) ?? Number.NEGATIVE_INFINITY));
  }
  return peaks;
}

/**
 * The filters print their address instead of their name, which is `Parsed_blackdetect_1` from ffmpeg 9 on, and at first their
 * options: the one of the source has a minimum duration of 0.001 (`measures.ts`).
 */
function readBlack(lines: readonly string[]): Map<string, number> {
  const names = new Map<string, string>();
  const seconds = new Map<string, number>();
  for (const line of lines) {
    const [, address = '', text = ''] = /^\[(?:Parsed_)?blackdetect\S* @ ([^\]]*)\] (.*)/.exec(line) ?? [];
    const minimum = /black_min_duration:([\d.]+)/.exec(text)?.[1];
    if (minimum !== undefined) names.set(address, Number(minimum) > 0 ? 'source' : 'output');
    const duration = /black_duration:([\d.]+)/.exec(text)?.[1];
    const name = names.get(address);
    if (duration !== undefined && name !== undefined)
      seconds.set(name, (seconds.get(name) ?? 0) + Number(duration));
  }
  return seconds;
}

function numberIn(line: string, pattern: RegExp): number | undefined {
  const text = pattern.exec(line)?.[1];
  return text === undefined ? undefined : Number(text);
}
