import type { Content } from '../../files/bytes';
import { packetIdsFrom } from '../cut/transportPackets';
import type { MediaInfo, Track } from '../mediaInfo';
import type { AudioOnlyLayout, Parsed } from '../parser/messages';
import { ParserError, type ParserPool, parserPool } from '../parser/pool';
import { longProbeBytes, mergedTracks } from '../transportStream';
import { type FfprobeResult, probeWithFfprobe } from './ffprobe';

/** What decides whether ffprobe is asked about a file of a disk. */
export interface ProbeNeeds {
  readonly hasFfprobe: boolean;
  /** ffprobe is asked also about what the parser knows: color, field order, layouts, chapters. */
  readonly wantsDetails: boolean;
}

export interface ProbeOptions {
  readonly signal: AbortSignal;
  /** ffprobe and the path of the file, if ffprobe is there and the file is on this machine's disks. */
  readonly ffprobe?: { readonly program: string; readonly path: string };
  /** Asks ffprobe also for what the parser knows: color, field order, layouts, chapters. */
  readonly wantsDetails?: boolean;
  readonly parser?: ParserPool;
  /** What the parser has found in this version of the file already. */
  readonly parsed?: Pick<Parsed, 'media' | 'audioOnly'>;
}

export interface Probe {
  /** Undefined if neither the parser nor ffprobe could tell: the node decides. */
  readonly media?: MediaInfo;
  /** What can be uploaded instead of the whole file for a preset that uses audio only. */
  readonly audioOnly?: AudioOnlyLayout;
  /** What ffprobe said of a file that it cannot open. */
  readonly invalid?: string;
}

/** What is in a file. Throws what `file.read` throws if the file cannot be read. */
export async function probeMedia(file: Content, options: ProbeOptions): Promise<Probe> {
  if (file.size === 0) return { media: { tracks: [], knows: [] } };
  const { ffprobe, wantsDetails = false, signal } = options;
  const { media, audioOnly } = options.parsed ?? (await parse(file, options));
  if (ffprobe === undefined || isProbed(media, { hasFfprobe: true, wantsDetails }))
    return { media, audioOnly };
  const result = await probeWithFfprobe(ffprobe, media?.hasOtherAudioIds ? mergedTracks : [], signal);
  const probed = merged(media, result);
  return { ...probed, ...(probed.media && { media: await withLaterTracks(file, probed.media) }), audioOnly };
}

/** Whether what the parser found is all that there is to find: ffprobe is not asked. */
export function isProbed(media: MediaInfo | undefined, { hasFfprobe, wantsDetails }: ProbeNeeds): boolean {
  if (!hasFfprobe || media?.instead !== undefined || media?.isProtected) return true;
  return media !== undefined && isKnown(media) && !wantsDetails && !isUnusual(media);
}

/** Nothing is known of a file that the parser fails on. */
async function parse(
  file: Content,
  { signal, parser = parserPool }: ProbeOptions,
): Promise<Pick<Parsed, 'media' | 'audioOnly'>> {
  try {
    return await parser.parse('probe', file, signal);
  } catch (error) {
    if (error instanceof ParserError) return {};
    throw error;
  }
}

/** A track that is empty as far as ffprobe reads is not if there are packets of it later. */
async function withLaterTracks(file: Content, media: MediaInfo): Promise<MediaInfo> {
  const ids = media.tracks.flatMap(({ isEmpty, packetId }) => (isEmpty && packetId ? packetId : []));
  if (media.format !== 'mpegts' || ids.length === 0 || file.size <= longProbeBytes) return media;
  const later = await packetIdsFrom(file, file.size, longProbeBytes, ids);
  const tracks = media.tracks.map((track) => {
    const { isEmpty, ...rest } = track;
    return isEmpty && !later.has(track.packetId ?? 0) ? track : rest;
  });
  return { ...media, tracks };
}

function isKnown({ knows }: MediaInfo): boolean {
  return knows.includes('audio') && knows.includes('video');
}

/** Sound that an audio preset has to treat in another way than stereo or mono. */
function isUnusual({ tracks }: MediaInfo): boolean {
  const audio = tracks.filter(({ kind }) => kind === 'audio');
  return audio.length > 1 || audio.some(({ channels = 0 }) => channels > 2);
}

function merged(media: MediaInfo | undefined, result: FfprobeResult): Pick<Probe, 'media' | 'invalid'> {
  switch (result.kind) {
    case 'unknown':
      return { media };
    case 'invalid':
      return media ? { media } : { invalid: result.line };
    case 'known':
      return { media: media ? mergedMedia(media, result.media) : result.media };
  }
}

/** ffprobe lists everything that ffmpeg will see; the parser knows better how long it is. */
function mergedMedia(parsed: MediaInfo, probed: MediaInfo): MediaInfo {
  return {
    ...probed,
    seconds: parsed.seconds ?? probed.seconds,
    audioOnlyBytes: parsed.audioOnlyBytes,
    ...(parsed.hasOtherAudioIds && { hasOtherAudioIds: true }),
    tracks: probed.tracks.map((track) => {
      const other = counterpart(track, probed.tracks, parsed.tracks);
      // ffprobe finds no size in a cover of another type than the tags state.
      if (other?.isMislabeled) return other;
      const { seconds, isSpliced, isEmpty } = other ?? {};
      return {
        ...track,
        seconds: seconds ?? track.seconds,
        ...(isSpliced && { isSpliced }),
        ...(isEmpty && { isEmpty }),
      };
    }),
  };
}

/** The same track in the other list; undefined where the two lists do not agree on how many there are. */
function counterpart(track: Track, own: readonly Track[], others: readonly Track[]): Track | undefined {
  const isSame = ({ kind, isAttachedPicture = false }: Track) =>
    kind === track.kind && isAttachedPicture === (track.isAttachedPicture ?? false);
  const [here, there] = [own.filter(isSame), others.filter(isSame)];
  return here.length === there.length ? there[here.indexOf(track)] : undefined;
}
