import { displaySize, isHdr } from './filters/videoFilters';
import { isSilent, type SourceFacts } from './sourceFacts';

/** The shorter sides of the renditions, in pixels. */
const rungs = [720, 360];

/**
 * Seconds of the shortest output. Below half a second, ffmpeg states a target duration of 0, and from 8.0 on it leaves the
 * renditions out of the master playlist.
 */
const minSeconds = 0.6;

/** A rendition must be smaller than the next larger one by this factor. */
const minStep = 1.25;

/**
 * The shorter sides of the renditions of a source. None is larger than the source; if the source is smaller than the
 * largest rendition, the first one has the size of the source. All of them if the size is unknown.
 */
export function rungsOf(shorterSide: number | undefined): readonly number[] {
  const [top = 0, ...lower] = rungs;
  if (shorterSide === undefined) return rungs;
  const first = Math.min(top, shorterSide);
  return [first, ...lower.filter((rung) => rung * minStep <= first)];
}

/** Bits per second by the shorter side: 2,800k at 720, 800k at 360, interpolated between them. */
function bitrate(rung: number): string {
  return `${Math.max(2, Math.round((2800 * (rung / 720) ** 1.807) / 50)) * 50}k`;
}

/** Shows the last picture of a very short video longer. */
function holdLast(seconds: number | undefined): string {
  if (seconds === undefined || seconds >= minSeconds) return '';
  return `tpad=stop_mode=clone:stop_duration=${(minSeconds - seconds).toFixed(3)},`;
}

/** Options of the renditions, their audio, and the muxer's names for them. */
export function ladder({ media, video }: SourceFacts): string[] {
  const size = displaySize(video);
  const sides = rungsOf(size && Math.min(size.width, size.height));
  const withAudio = !isSilent(media);
  const each = <T>(write: (side: number, index: number) => T) => sides.map(write);
  // Tone mapping is slow, and quicker for a small picture.
  const first = isHdr(video) ? `\${fit:${sides[0]}},\${tonemap},` : '';
  const split = `[0:V:0]\${deinterlace},\${frameRate},${first}${holdLast(video?.seconds ?? media?.seconds)}split=${sides.length}${each((_, index) => `[s${index}]`).join('')}`;
  const scaled = each((side, index) => `[s${index}]\${fit:${side}}[v${index}]`).join(';');
  return [
    ...['-filter_complex', `${split};${scaled}`],
    ...each((_, index) => ['-map', `[v${index}]`, ...(withAudio ? ['-map', '${audio}'] : [])]).flat(),
    ...each((side, index) => [`-b:v:${index}`, bitrate(side)]).flat(),
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-sc_threshold', '0'],
    // Segments of all renditions begin at the same pictures, whatever the frame rate.
    ...['-force_key_frames', 'expr:gte(t,n_forced*2)'],
    ...(withAudio ? ['-af', '${audioSync},${audioLayout}', '-c:a', 'aac', '-b:a', '128k'] : []),
    ...['-f', 'hls', '-hls_time', '6', '-hls_playlist_type', 'vod', '-hls_flags', 'independent_segments'],
    // The muxer makes the folders of a name with %v by itself.
    ...['-master_pl_name', 'master.m3u8', '-var_stream_map'],
    each((_, index) => (withAudio ? `v:${index},a:${index}` : `v:${index}`)).join(' '),
  ];
}
