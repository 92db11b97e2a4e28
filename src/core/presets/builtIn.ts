import type { Preset } from './preset';

/*
 * Only options and encoders that the ffmpeg of Ubuntu 22.04 (4.4), Debian 12 (5.1) and Ubuntu 24.04 (6.1) have in
 * common. Arguments are written as words with blanks between; none of them has a blank inside.
 */
function words(text: string): string[] {
  return text.split(' ');
}

/** Silence where the source has a gap, so that the output is as long as its source and in step with its pictures. */
const inStep = 'aresample=async=1';

/** libopus refuses `5.1(side)`, which AC-3 sources have; the nearest layout that it takes is chosen instead. */
const opusFilters = `${inStep},aformat=channel_layouts=7.1|5.1|stereo|mono`;

/** One audio track and nothing else, with the title and what else is known of the source. */
function audio(id: string, label: string, extension: string, encoding: string, filters = inStep): Preset {
  return {
    id,
    label,
    needs: 'audio',
    arguments: words(`-i \${input} -map \${audio} -af ${filters} ${encoding} \${output}`),
    extension,
    proof: 'audio',
  };
}

/**
 * The shorter side at most that long: 1080p is 1920 by 1080 lying and 1080 by 1920 standing. Never enlarged, both
 * sides even, as encoders want them. ffmpeg has turned a rotated source upright by then.
 */
function fit(most: number): string {
  const side = (name: string) => `'max(2,trunc(${name}*min(1,${most}/min(iw,ih))/2+0.01)*2)'`;
  return `scale=w=${side('iw')}:h=${side('ih')}`;
}

interface VideoEncoding {
  readonly video: string;
  readonly audio: string;
  readonly filters?: string;
}

/** The first picture track that is not a cover, and the audio if there is any. */
function video(
  id: string,
  label: string,
  extension: string,
  most: number,
  { video, audio, filters = inStep }: VideoEncoding,
): Preset {
  const picture = `-i \${input} -map 0:V:0 -map \${audio}? -vf ${fit(most)} ${video} -pix_fmt yuv420p`;
  const start = extension === 'mp4' ? ' -movflags +faststart' : '';
  return {
    id,
    label,
    needs: 'video',
    arguments: words(`${picture} -af ${filters} ${audio}${start} \${output}`),
    extension,
    severalAudioTracks: true,
    proof: 'video',
  };
}

const aac = '-c:a aac -b:a 192k';
const x264 = { video: '-c:v libx264 -preset medium -crf 22', audio: aac };
const x265 = { video: '-c:v libx265 -preset medium -crf 26 -tag:v hvc1', audio: aac };
const av1 = { video: '-c:v libaom-av1 -crf 32 -b:v 0 -cpu-used 8 -row-mt 1', audio: aac };
const vp9 = {
  video: '-c:v libvpx-vp9 -crf 32 -b:v 0 -deadline good -cpu-used 3 -row-mt 1',
  audio: '-c:a libopus -b:a 128k',
  filters: opusFilters,
};

function picture(id: string, label: string, extension: string, making: string): Preset {
  return {
    id,
    label,
    needs: 'video',
    arguments: words(`${making} \${output}`),
    extension,
    proof: 'none',
  };
}

/** The shorter sides of the HLS ladder, and what a second of each may take. */
const rungs = [
  { most: 720, bitrate: '2800k' },
  { most: 360, bitrate: '800k' },
];

function ladder(withAudio: boolean): string[] {
  const each = (write: (rung: (typeof rungs)[number], index: number) => string, between = ' ') =>
    rungs.map(write).join(between);
  const split = `[0:V:0]split=${rungs.length}${each((_, index) => `[s${index}]`, '')}`;
  const scaled = each(({ most }, index) => `[s${index}]${fit(most)}[v${index}]`, ';');
  const maps = each((_, index) => `-map [v${index}]${withAudio ? ' -map ${audio}' : ''}`);
  const rates = each(({ bitrate }, index) => `-b:v:${index} ${bitrate}`);
  const streams = each((_, index) => (withAudio ? `v:${index},a:${index}` : `v:${index}`));
  return [
    ...words(`-i \${input} -filter_complex ${split};${scaled} ${maps} ${rates}`),
    ...words('-c:v libx264 -preset veryfast -pix_fmt yuv420p -sc_threshold 0'),
    // Pieces of all rungs begin at the same pictures, whatever their rate.
    ...words('-force_key_frames expr:gte(t,n_forced*2)'),
    ...(withAudio ? words(`-af ${inStep} -c:a aac -b:a 128k`) : []),
    ...words('-f hls -hls_time 6 -hls_playlist_type vod -hls_flags independent_segments'),
    // The muxer makes the folders of a name with %v by itself.
    ...words('-master_pl_name master.m3u8 -var_stream_map'),
    streams,
    '${output}/%v/index.m3u8',
  ];
}

/** The presets everyone has; the first is the default. */
export const builtInPresets: readonly Preset[] = [
  audio('mp3', 'MP3 audio', 'mp3', '-c:a libmp3lame -b:a 192k -id3v2_version 3'),
  audio('m4a', 'AAC audio (M4A)', 'm4a', `${aac} -movflags +faststart`),
  audio('opus', 'Opus audio', 'opus', '-c:a libopus -b:a 128k', opusFilters),
  audio('flac', 'FLAC audio (lossless)', 'flac', '-c:a flac'),
  audio('wav', 'WAV audio (uncompressed)', 'wav', '-c:a pcm_s16le'),
  audio(
    'speech',
    'Speech, evenly loud (MP3)',
    'mp3',
    // The filter works at 192 kHz and leaves it at that.
    '-ar 44100 -ac 1 -c:a libmp3lame -b:a 96k -id3v2_version 3',
    `${inStep},loudnorm=I=-16:TP=-1.5:LRA=11`,
  ),
  video('h264-1080p', 'H.264 video, 1080p (MP4)', 'mp4', 1080, x264),
  video('h264-720p', 'H.264 video, 720p (MP4)', 'mp4', 720, x264),
  video('h264-480p', 'H.264 video, 480p (MP4)', 'mp4', 480, x264),
  video('h265', 'H.265 video (MP4)', 'mp4', 2160, x265),
  video('vp9', 'VP9 video (WebM)', 'webm', 1080, vp9),
  video('av1', 'AV1 video (MP4)', 'mp4', 1080, av1),
  {
    id: 'remux',
    label: 'MP4 without re-encoding',
    needs: 'any',
    arguments: words('-i ${input} -map 0:V? -map 0:a? -c copy -movflags +faststart ${output}'),
    extension: 'mp4',
    severalAudioTracks: true,
    proof: 'none',
  },
  // Of the first fifty key pictures the most typical one: the very first is often black.
  picture(
    'thumbnail',
    'Thumbnail (JPEG)',
    'jpg',
    `-skip_frame nokey -i \${input} -map 0:V:0 -vf ${fit(720)},thumbnail=50 -frames:v 1 -q:v 3 -update 1`,
  ),
  picture(
    'contact-sheet',
    'Contact sheet, 4 by 4 (JPEG)',
    'jpg',
    '-i ${input} -map 0:V:0 -vf fps=16/${seconds},scale=320:-2,tile=4x4 -frames:v 1 -q:v 3 -update 1',
  ),
  picture(
    'preview',
    'Animated preview (GIF)',
    'gif',
    `-t 5 -i \${input} -filter_complex [0:V:0]fps=10,${fit(360)},split[a][b];[a]palettegen[p];[b][p]paletteuse`,
  ),
  {
    id: 'subtitles',
    label: 'Subtitles (SRT)',
    needs: 'subtitle',
    arguments: words('-i ${input} -map 0:s:0 -c:s srt ${output}'),
    extension: 'srt',
    proof: 'none',
  },
  {
    id: 'hls',
    label: 'HLS ladder, 720p and 360p (folder)',
    needs: 'video',
    arguments: ladder(true),
    silentArguments: ladder(false),
    extension: 'm3u8',
    folder: true,
    proof: 'video',
  },
];
