import type { Preset } from './preset';

/*
 * Only options and encoders that the ffmpeg of Ubuntu 22.04 (4.4), Debian 12 (5.1) and Ubuntu 24.04 (6.1) have in
 * common. Arguments are written as words with blanks between; none of them has a blank inside.
 */
function words(text: string): string[] {
  return text.split(' ');
}

interface AudioPreset {
  readonly filters?: string;
  /** A cover is kept. */
  readonly cover?: boolean;
}

/** One audio track and nothing else but its cover, with the title and what else is known of the source. */
function audio(
  id: string,
  label: string,
  extension: string,
  encoding: string,
  { filters = '${audioSync},${audioLayout}', cover = false }: AudioPreset = {},
): Preset {
  const options = `${cover ? '${cover} ' : ''}${extension === 'opus' ? '' : '${tags} '}`;
  return {
    id,
    label,
    needs: 'audio',
    arguments: words(`-i \${input} -map \${audio} ${options}-af ${filters} ${encoding} \${output}`),
    extension,
    proof: 'audio',
  };
}

interface VideoEncoding {
  readonly video: string;
  readonly audio: string;
  /** After the picture is scaled. */
  readonly color: string;
  readonly pixelFormat: string;
}

/** The first video track that is not a cover, and the audio if there is any. */
function video(
  id: string,
  label: string,
  extension: string,
  limit: number,
  { video, audio, color, pixelFormat }: VideoEncoding,
): Preset {
  const filters = `\${deinterlace},\${frameRate},\${fit:${limit}}${color}`;
  const picture = `-i \${input} -map 0:V:0 -map \${audio}? \${timing} -vf ${filters} ${video} -pix_fmt ${pixelFormat}`;
  const start = extension === 'mp4' ? ' -movflags +faststart' : '';
  return {
    id,
    label,
    needs: 'video',
    arguments: words(`${picture} -af \${audioSync},\${audioLayout} ${audio}${start} \${output}`),
    extension,
    severalAudioTracks: true,
    proof: 'video',
    split: true,
  };
}

const aac = '-c:a aac -b:a 192k';
const toSdr = { color: ',${tonemap}', pixelFormat: 'yuv420p' };
const keepHdr = { color: '', pixelFormat: '${pixelFormat}' };
const x264 = { video: '-c:v libx264 -preset medium -crf 22', audio: aac, ...toSdr };
const x265 = { video: '-c:v libx265 -preset medium -crf 26 ${hdr10} -tag:v hvc1', audio: aac, ...keepHdr };
const av1 = { video: '-c:v libaom-av1 -crf 32 -b:v 0 -cpu-used 8 -row-mt 1', audio: aac, ...keepHdr };
const vp9 = {
  video: '-c:v libvpx-vp9 -crf 32 -b:v 0 -deadline good -cpu-used 3 -row-mt 1',
  audio: '-c:a libopus -b:a 128k',
  ...toSdr,
};

/**
 * Viewers take every JPEG for BT.601 in full range (JFIF), and ffmpeg changes the range only. By way of RGB, because ffmpeg
 * 7.0 does not convert from one YUV matrix to another here.
 */
const jpegColor = 'scale,format=rgb24,scale=out_color_matrix=bt601:out_range=pc,format=yuvj420p';

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

/**
 * To one level, within 1 LU of −16 LUFS, with true peaks below −1.5 dB after MP3 has added to them. One pass of
 * `loudnorm` stays 2 LU below for a voice, whose peaks stand far above its level: they are pressed together between two.
 * From ffmpeg 6.1 on, `loudnorm` makes invalid numbers of silence that is shorter than 3 seconds, which end the encoder.
 */
const evenSpeech =
  '${audioSync},${mono},loudnorm=I=-16:TP=-2:LRA=7,aresample=48000,' +
  'acompressor=threshold=0.2:ratio=4:attack=1:release=60,loudnorm=I=-15.6:TP=-2.5:LRA=7,' +
  "aformat=channel_layouts=mono:sample_rates=44100,aeval='if(isnan(val(0)),0,val(0))'";

/** The built-in presets. The first is the default. */
export const builtInPresets: readonly Preset[] = [
  audio('mp3', 'MP3 audio', 'mp3', '-c:a libmp3lame -b:a 192k -id3v2_version 3', { cover: true }),
  audio('m4a', 'AAC audio (M4A)', 'm4a', `${aac} -movflags +faststart`, { cover: true }),
  audio('opus', 'Opus audio', 'opus', '-c:a libopus -b:a 128k'),
  audio('flac', 'FLAC audio (lossless)', 'flac', '-c:a flac', { cover: true }),
  // The header of a WAV file overflows at 4 GiB; RF64 is a WAV file with larger fields.
  audio('wav', 'WAV audio (uncompressed)', 'wav', '-c:a ${pcm} -rf64 auto', { filters: '${audioSync}' }),
  audio(
    'speech',
    'Speech, normalized loudness (MP3)',
    'mp3',
    // The filter resamples to 192 kHz and doesn't resample back.
    '-ar 44100 -ac 1 -c:a libmp3lame -b:a 96k -id3v2_version 3',
    { filters: evenSpeech },
  ),
  audio(
    'speech-recognition',
    'Audio for speech recognition (16 kHz mono WAV)',
    'wav',
    '-ar 16000 -ac 1 -c:a pcm_s16le -rf64 auto',
    { filters: '${audioSync},${mono}' },
  ),
  video('h264-1080p', 'H.264 video, 1080p (MP4)', 'mp4', 1080, x264),
  video('h264-720p', 'H.264 video, 720p (MP4)', 'mp4', 720, x264),
  video('h264-480p', 'H.264 video, 480p (MP4)', 'mp4', 480, x264),
  // Hardware decoders support at most 4K.
  video('h264-source', 'H.264 video, source size (MP4)', 'mp4', 2160, x264),
  video('h265', 'H.265 video (MP4)', 'mp4', 2160, x265),
  video('vp9', 'VP9 video (WebM)', 'webm', 1080, vp9),
  video('av1', 'AV1 video (MP4)', 'mp4', 1080, av1),
  {
    id: 'remux',
    label: 'MP4 without re-encoding',
    needs: 'any',
    arguments: words('${genpts} -i ${input} ${streams} -movflags +faststart ${output}'),
    extension: 'mp4',
    severalAudioTracks: true,
    proof: 'any',
  },
  // The most typical one of the first fifty key pictures: the very first is often black. Read without the others, it may
  // have a time before the file's beginning, at which ffmpeg drops it.
  picture(
    'thumbnail',
    'Thumbnail (JPEG)',
    'jpg',
    `\${keyFrames} -i \${input} -map 0:V:0 -vf \${sample},\${deinterlace},\${fit:720},\${tonemap},thumbnail=50,setpts=0,${jpegColor} -frames:v 1 -q:v 3 -update 1`,
  ),
  picture(
    'contact-sheet',
    'Contact sheet, 4 by 4 (JPEG)',
    'jpg',
    `\${keepFilters} -i \${input} -map 0:V:0 -vf \${oneSize},\${deinterlace},\${spread:16},\${fitWidth:320},\${tonemap},tile=4x4,${jpegColor} -frames:v 1 -q:v 3 -update 1`,
  ),
  picture(
    'preview',
    'Animated preview (GIF)',
    'gif',
    '-t 5 ${keepFilters} -i ${input} -filter_complex [0:V:0]${oneSize},${deinterlace},${fps:10},${fit:360},${tonemap},split[a][b];[a]palettegen[p];[b][p]paletteuse',
  ),
  {
    id: 'subtitles',
    label: 'Subtitles (SRT)',
    needs: 'subtitle',
    arguments: words('-i ${input} -map ${subtitle} -c:s srt ${output}'),
    extension: 'srt',
    proof: 'none',
  },
  {
    id: 'hls',
    label: 'HLS, 720p and 360p (folder)',
    needs: 'video',
    arguments: words('-i ${input} ${ladder} ${output}/%v/index.m3u8'),
    extension: 'm3u8',
    folder: true,
    proof: 'video',
  },
];
