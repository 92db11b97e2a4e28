import { UserError } from './errors';
import type { Preset } from './preset';

const input = ['-i', '${input}'];

/** One audio track, nothing else; title and artist kept. */
const audioOnly = [...input, '-map', '${audio}', '-vn', '-sn', '-dn', '-map_metadata', '0'];

/** libopus refuses `5.1(side)`, which AC-3 sources have; the nearest layout that it takes is chosen instead. */
const opusLayouts = ['-af', 'aformat=channel_layouts=7.1|5.1|stereo|mono'];

/** The first picture track that is not a cover, and the audio if there is any. */
const pictureAndSound = [...input, '-map', '0:V:0', '-map', '${audio}?', '-sn', '-dn'];

/**
 * At most that high, never enlarged, even in both directions. The arithmetic is min(ih, height) without a comma, which
 * would have to be escaped inside a filter. ffmpeg has turned a rotated source upright by then.
 */
function height(most: number): string {
  return `scale=w=-2:h=trunc((ih+${most}-abs(ih-${most}))/4)*2`;
}

function h264(id: string, label: string, most: number): Preset {
  return {
    id,
    label,
    needs: 'video',
    arguments: [
      ...pictureAndSound,
      ...['-vf', height(most), '-c:v', 'libx264', '-preset', 'medium', '-crf', '22', '-pix_fmt', 'yuv420p'],
      ...['-c:a', 'aac', '-b:a', '160k', '-movflags', '+faststart', '${output}'],
    ],
    extension: 'mp4',
    proof: 'video',
  };
}

/** Heights and video bitrates of the HLS ladder. */
const rungs = [
  { height: 720, bitrate: '2800k' },
  { height: 360, bitrate: '800k' },
];

function hls(withAudio: boolean): string[] {
  const split = `[0:V:0]split=${rungs.length}${rungs.map((_, index) => `[s${index}]`).join('')}`;
  const scales = rungs.map((rung, index) => `[s${index}]${height(rung.height)}[v${index}]`);
  const maps = rungs.flatMap((_, index) => [
    '-map',
    `[v${index}]`,
    ...(withAudio ? ['-map', '${audio}'] : []),
  ]);
  const rates = rungs.flatMap(({ bitrate }, index) => [`-b:v:${index}`, bitrate]);
  const streams = rungs.map((_, index) => (withAudio ? `v:${index},a:${index}` : `v:${index}`)).join(' ');
  return [
    ...[...input, '-filter_complex', [split, ...scales].join(';'), ...maps, ...rates],
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-g', '48', '-sc_threshold', '0'],
    ...(withAudio ? ['-c:a', 'aac', '-b:a', '128k'] : []),
    ...['-f', 'hls', '-hls_time', '6', '-hls_playlist_type', 'vod', '-master_pl_name', 'master.m3u8'],
    // The muxer makes the folders of a name with %v by itself, which saves a shell.
    ...['-var_stream_map', streams, '${output}/%v/index.m3u8'],
  ];
}

/**
 * The presets everyone has. They use only options and encoders that the ffmpeg of Ubuntu 22.04 (4.4), Debian 12 (5.1)
 * and Ubuntu 24.04 (6.1) have in common.
 */
export const builtInPresets: readonly Preset[] = [
  {
    id: 'mp3',
    label: 'MP3 audio',
    needs: 'audio',
    arguments: [...audioOnly, '-c:a', 'libmp3lame', '-b:a', '192k', '${output}'],
    extension: 'mp3',
    proof: 'audio',
  },
  {
    id: 'm4a',
    label: 'AAC audio (M4A)',
    needs: 'audio',
    arguments: [...audioOnly, '-c:a', 'aac', '-b:a', '192k', '-movflags', '+faststart', '${output}'],
    extension: 'm4a',
    proof: 'audio',
  },
  {
    id: 'opus',
    label: 'Opus audio',
    needs: 'audio',
    arguments: [...audioOnly, ...opusLayouts, '-c:a', 'libopus', '-b:a', '128k', '${output}'],
    extension: 'opus',
    proof: 'audio',
  },
  {
    id: 'flac',
    label: 'FLAC audio (lossless)',
    needs: 'audio',
    arguments: [...audioOnly, '-c:a', 'flac', '${output}'],
    extension: 'flac',
    proof: 'audio',
  },
  {
    id: 'wav',
    label: 'WAV audio (uncompressed)',
    needs: 'audio',
    arguments: [...audioOnly, '-c:a', 'pcm_s16le', '${output}'],
    extension: 'wav',
    proof: 'audio',
  },
  {
    id: 'speech',
    label: 'Speech, evenly loud (MP3)',
    needs: 'audio',
    arguments: [
      ...[...audioOnly, '-af', 'loudnorm=I=-16:TP=-1.5:LRA=11', '-ar', '44100', '-ac', '1'],
      ...['-c:a', 'libmp3lame', '-b:a', '96k', '${output}'],
    ],
    extension: 'mp3',
    proof: 'audio',
  },
  h264('h264-1080p', 'H.264 video, 1080p (MP4)', 1080),
  h264('h264-720p', 'H.264 video, 720p (MP4)', 720),
  h264('h264-480p', 'H.264 video, 480p (MP4)', 480),
  {
    id: 'h265',
    label: 'H.265 video (MP4)',
    needs: 'video',
    arguments: [
      ...[...pictureAndSound, '-vf', height(2160), '-c:v', 'libx265', '-preset', 'medium', '-crf', '26'],
      ...['-pix_fmt', 'yuv420p', '-tag:v', 'hvc1', '-c:a', 'aac', '-b:a', '160k', '-movflags', '+faststart'],
      '${output}',
    ],
    extension: 'mp4',
    proof: 'video',
  },
  {
    id: 'vp9',
    label: 'VP9 video (WebM)',
    needs: 'video',
    arguments: [
      ...[
        ...pictureAndSound,
        '-vf',
        height(1080),
        '-c:v',
        'libvpx-vp9',
        '-crf',
        '32',
        '-b:v',
        '0',
        '-row-mt',
        '1',
      ],
      ...[
        '-deadline',
        'good',
        '-cpu-used',
        '3',
        '-pix_fmt',
        'yuv420p',
        ...opusLayouts,
        '-c:a',
        'libopus',
        '${output}',
      ],
    ],
    extension: 'webm',
    proof: 'video',
  },
  {
    id: 'av1',
    label: 'AV1 video (MP4)',
    needs: 'video',
    arguments: [
      ...[
        ...pictureAndSound,
        '-vf',
        height(1080),
        '-c:v',
        'libaom-av1',
        '-crf',
        '32',
        '-b:v',
        '0',
        '-row-mt',
        '1',
      ],
      ...['-cpu-used', '8', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-b:a', '160k', '-movflags', '+faststart'],
      '${output}',
    ],
    extension: 'mp4',
    proof: 'video',
  },
  {
    id: 'remux',
    label: 'MP4 without re-encoding',
    needs: 'any',
    arguments: [
      ...[...input, '-map', '0:V?', '-map', '0:a?', '-dn', '-sn', '-c', 'copy', '-movflags', '+faststart'],
      '${output}',
    ],
    extension: 'mp4',
    proof: 'none',
  },
  {
    id: 'thumbnail',
    label: 'Thumbnail (JPEG)',
    needs: 'video',
    arguments: [
      ...input,
      '-map',
      '0:V:0',
      '-vf',
      'thumbnail',
      '-frames:v',
      '1',
      '-q:v',
      '3',
      '-update',
      '1',
      '${output}',
    ],
    extension: 'jpg',
    proof: 'none',
  },
  {
    id: 'contact-sheet',
    label: 'Contact sheet, 4 by 4 (JPEG)',
    needs: 'video',
    arguments: [
      ...[...input, '-map', '0:V:0', '-vf', 'fps=16/${seconds},scale=320:-2,tile=4x4'],
      ...['-frames:v', '1', '-q:v', '3', '-update', '1', '${output}'],
    ],
    extension: 'jpg',
    proof: 'none',
  },
  {
    id: 'preview',
    label: 'Animated preview (GIF)',
    needs: 'video',
    arguments: [
      ...['-t', '5', ...input, '-filter_complex'],
      '[0:V:0]fps=10,scale=480:-2:flags=lanczos,split[a][b];[a]palettegen[p];[b][p]paletteuse',
      '${output}',
    ],
    extension: 'gif',
    proof: 'none',
  },
  {
    id: 'subtitles',
    label: 'Subtitles (SRT)',
    needs: 'subtitle',
    arguments: [...input, '-map', '0:s:0', '-c:s', 'srt', '${output}'],
    extension: 'srt',
    proof: 'none',
  },
  {
    id: 'hls',
    label: 'HLS ladder, 720p and 360p (folder)',
    needs: 'video',
    arguments: hls(true),
    silentArguments: hls(false),
    extension: 'm3u8',
    folder: true,
    proof: 'none',
  },
];

/** A preset of the user's settings, or `presetInvalid` with what is wrong with it. */
export function parseUserPreset(value: unknown): Preset {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const name = typeof given.name === 'string' ? given.name.trim() : '';
  const refuse = (detail: string): never => {
    throw new UserError({ kind: 'presetInvalid', preset: name || '?', detail });
  };
  if (name === '') refuse('it has no name');
  const extension = typeof given.extension === 'string' ? given.extension.replace(/^\./, '') : '';
  if (!/^[A-Za-z0-9]{1,10}$/.test(extension)) refuse('extension: letters and digits, like mp3');
  const args = isStrings(given.arguments) ? given.arguments : refuse('arguments: an array of strings');
  if (!args.some((arg) => arg.includes('${input}'))) refuse('arguments: ${input} is missing');
  if (!args.some((arg) => arg.includes('${output}'))) refuse('arguments: ${output} is missing');
  const inputs =
    given.inputs === undefined || isStrings(given.inputs) ? given.inputs : refuse('inputs: extensions');
  const needs = (['audio', 'video', 'subtitle', 'any'] as const).find((track) => track === given.needs);
  if (given.needs !== undefined && needs === undefined) refuse('needs: audio, video, subtitle or any');
  return {
    id: `user:${name}`,
    label: name,
    needs: needs ?? 'any',
    arguments: args,
    extension,
    folder: given.folder === true,
    proof: needs === 'audio' || needs === 'video' ? (given.sameDuration === false ? 'none' : needs) : 'none',
    inputs: inputs?.map((one) => one.replace(/^\./, '').toLowerCase()),
  };
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
