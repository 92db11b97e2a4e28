/** The inputs of the preset matrix: small files, all of them with the same moving picture and tone. */

/** Properties of a source, however its file stores them. */
export interface Source {
  /** The file's name. */
  readonly name: string;
  /** ffmpeg's arguments that make it; `IN/` is the folder of the sources made before. */
  readonly make: readonly string[];
  readonly seconds: number;
  /** As it is shown: upright, in square pixels. */
  readonly size?: readonly [number, number];
  readonly channels?: number;
  readonly isHdr?: boolean;
  /** Pictures a second of an output, if not the source's own 25. */
  readonly rate?: number;
  /** SSIM with the original picture that outputs reach; it is low where the source itself has lost much. */
  readonly minSsim?: number;
  /** The picture shows something other than the original. */
  readonly isOtherPicture?: boolean;
  /** Seconds by which outputs may be shorter or longer. */
  readonly tolerance?: number;
  /** Degrees, clockwise, by which a player turns it. */
  readonly turn?: number;
  /** Audio tracks that a remux keeps. */
  readonly tracks?: number;
  readonly hasCover?: boolean;
}

/** The original picture: size and rate as given, one second. */
export function original(size: string, rate = 25, seconds = 1): string {
  return `testsrc2=size=${size}:rate=${rate}:duration=${seconds}`;
}

function words(text: string): string[] {
  return text.split(' ').filter(Boolean);
}

const picture = (size = '160x90', rate = 25) => ['-f', 'lavfi', '-i', original(size, rate)];
const tone = (options = '', seconds = 1) => [
  ...['-f', 'lavfi', '-i', `sine=frequency=440:duration=${seconds}:sample_rate=48000${options}`],
];
const x264 = words('-c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuv420p');
const both = [...picture(), ...tone()];
const small = [160, 90] as const;

function video(name: string, options: string, more: Partial<Source> = {}): Source {
  const size = more.size ? more.size.join('x') : '160x90';
  return {
    name,
    make: [...picture(size), ...tone(), ...words(options)],
    seconds: 1,
    size: small,
    channels: 1,
    ...more,
  };
}

function sound(name: string, filters: string, options: string, more: Partial<Source> = {}): Source {
  return { name, make: [...tone(filters), ...words(options)], seconds: 1, channels: 1, ...more };
}

/** A sound with a red cover. */
function covered(name: string, options: string): Source {
  const cover = words('-f lavfi -i color=red:size=64x64:duration=0.04 -map 0 -map 1 -frames:v 1');
  return { ...sound(name, '', ''), make: [...tone(), ...cover, ...words(options)], hasCover: true };
}

const hevc10 = words('-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -tag:v hvc1 -c:a aac');

function hdr(name: string, transfer: string): Source {
  const filters = [
    'format=gbrp,setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc',
    'zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020',
    `zscale=t=${transfer}:m=bt2020nc:r=tv:npl=203,format=yuv420p10le`,
  ];
  return {
    name,
    make: [...both, '-vf', filters.join(','), ...hevc10, '-x265-params', 'log-level=error:crf=8'],
    seconds: 1,
    size: small,
    channels: 1,
    isHdr: true,
    minSsim: 0.8,
  };
}

const interlacedFrames = words('-vf interlace=scan=tff,setfield=tff -flags +ilme+ildct');

export const videos: readonly Source[] = [
  video('tidy.mp4', `${x264.join(' ')} -c:a aac`),
  video('tidy.mov', `${x264.join(' ')} -c:a aac`),
  video('tidy.mkv', `${x264.join(' ')} -c:a aac`),
  video('fragmented.mp4', `${x264.join(' ')} -c:a aac -movflags +frag_keyframe+empty_moov`),
  video('vp8.webm', '-c:v libvpx -b:v 1M -deadline realtime -cpu-used 8 -c:a libvorbis'),
  video('vp9.webm', '-c:v libvpx-vp9 -b:v 1M -deadline realtime -cpu-used 8 -c:a libopus'),
  video('av1.mkv', '-c:v libaom-av1 -crf 20 -cpu-used 8 -c:a libopus'),
  video('hev1.mp4', '-c:v libx265 -preset ultrafast -x265-params log-level=error:crf=12 -c:a aac'),
  video('xvid.avi', '-c:v mpeg4 -q:v 2 -bf 2 -c:a libmp3lame'),
  video('h264.avi', `${x264.join(' ')} -bf 0 -c:a libmp3lame`),
  video('sorenson.flv', '-c:v flv1 -q:v 2 -ar 44100 -c:a libmp3lame', { tolerance: 0.15 }),
  video('windows.wmv', '-c:v wmv2 -q:v 2 -c:a wmav2', { tolerance: 0.15 }),
  video('mpeg2.mpg', '-c:v mpeg2video -q:v 2 -c:a mp2'),
  video('disc.vob', '-c:v mpeg2video -q:v 2 -c:a ac3'),
  video('broadcast.ts', `${x264.join(' ')} -c:a mp2`),
  video('camera.mts', `${x264.join(' ')} -c:a ac3`),
  video('late clock.ts', `${x264.join(' ')} -c:a aac -output_ts_offset 40000`),
  video('camera.mxf', '-c:v mpeg2video -q:v 2 -c:a pcm_s16le'),
  video('theora.ogv', '-c:v libtheora -q:v 10 -c:a libvorbis'),
  video('h261.mkv', '-c:v h261 -q:v 2 -c:a pcm_s16le', { size: [176, 144] }),
  video('phone.3gp', '-c:v h263 -q:v 2 -c:a aac -ar 8000', {
    size: [176, 144],
    tolerance: 0.25,
  }),
  video('prores.mov', '-c:v prores_ks -profile:v 1 -c:a pcm_s24le'),
  video('motion jpeg.avi', '-c:v mjpeg -q:v 2 -pix_fmt yuvj420p -c:a pcm_s16le'),
  video('full range.mp4', '-c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuvj420p -c:a aac'),
  video('rgb.mkv', '-c:v libx264rgb -preset ultrafast -crf 12 -c:a flac'),
  video('ten bits.mkv', '-c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuv420p10le -c:a flac'),
  video('transparent.mov', '-vf format=rgba -c:v png -c:a aac'),
  video('odd sides.mp4', '-c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuv444p -c:a aac', {
    size: [161, 91],
  }),
  video('portrait.mp4', `${x264.join(' ')} -c:a aac`, { size: [90, 160] }),
  {
    ...video('turned.mp4', ''),
    make: [...both, '-vf', 'transpose=2', ...x264, '-c:a', 'aac'],
    turn: 90,
  },
  {
    ...video('upside down.mov', ''),
    make: [...both, '-vf', 'hflip,vflip', ...x264, '-c:a', 'aac'],
    turn: 180,
  },
  {
    ...video('anamorphic.mp4', ''),
    make: [...both, '-vf', 'scale=120:90,setsar=4/3', ...x264, '-c:a', 'aac'],
  },
  {
    ...video('anamorphic.mpg', ''),
    make: [...both, '-vf', 'scale=120:90,setdar=16/9', ...words('-c:v mpeg2video -q:v 2 -c:a mp2')],
  },
  {
    ...video('interlaced.mp4', ''),
    make: [
      ...[...picture('160x96', 50), ...tone(), ...interlacedFrames, ...x264],
      ...words('-x264opts tff=1 -c:a aac'),
    ],
    size: [160, 96],
    minSsim: 0.75,
  },
  {
    ...video('interlaced.ts', ''),
    make: [
      ...[...picture('160x96', 50), ...tone()],
      ...words(
        '-vf interlace=scan=tff,setfield=tff -c:v mpeg2video -flags +ilme+ildct -top 1 -q:v 2 -c:a mp2',
      ),
    ],
    size: [160, 96],
    minSsim: 0.75,
  },
  hdr('hdr10.mov', 'smpte2084'),
  hdr('hlg.mp4', 'arib-std-b67'),
  {
    ...video('variable rate.mp4', ''),
    make: [...both, ...words("-vf select='not(mod(n,5))+lt(n,5)' -vsync vfr"), ...[...x264, '-c:a', 'aac']],
    tolerance: 0.25,
  },
  {
    ...video('slow motion.mp4', ''),
    make: [...picture('160x90', 120), ...tone(), ...x264, '-c:a', 'aac'],
    rate: 60,
  },
  { ...video('silent.mp4', ''), make: [...picture(), ...x264], channels: undefined },
  { ...video('silent.avi', ''), make: [...picture(), ...words('-c:v mpeg4 -q:v 2')], channels: undefined },
  { ...video('picture.gif', ''), make: [...picture()], channels: undefined, minSsim: 0.8 },
  {
    ...video('late sound.mkv', ''),
    make: [...picture(), '-itsoffset', '0.5', ...tone('', 0.5), ...x264, '-c:a', 'aac'],
  },
  {
    ...video('late picture.mp4', ''),
    make: ['-itsoffset', '0.4', ...picture(), ...tone('', 1.4), ...x264, '-c:a', 'aac'],
    seconds: 1.4,
    isOtherPicture: true,
  },
  video('surround.mp4', `${x264.join(' ')} -ac 6 -c:a ac3`, { channels: 6 }),
  video('seven.mkv', `${x264.join(' ')} -af aformat=channel_layouts=7.1 -c:a flac`, { channels: 8 }),
  {
    ...video('sixteen.mov', ''),
    make: [
      ...[...picture(), '-f', 'lavfi', '-i', `aevalsrc=${Array(16).fill('0.1*sin(2764*t)').join('|')}:d=1`],
      ...[...x264, '-c:a', 'pcm_s16le'],
    ],
    channels: 16,
  },
  {
    ...video('two mono.mov', ''),
    make: [...[...both, ...tone(), '-map', '0', '-map', '1', '-map', '2', ...x264], ...['-c:a', 'pcm_s16le']],
    channels: 2,
    tracks: 2,
  },
  {
    ...video('four mono.mxf', ''),
    make: [
      ...[...both, ...words('-map 0 -map 1 -map 1 -map 1 -map 1 -c:v mpeg2video -q:v 2')],
      ...['-c:a', 'pcm_s16le'],
    ],
    channels: 2,
    tracks: 4,
  },
  {
    ...video('one picture.mp4', ''),
    make: [...picture(), '-frames:v', '1', ...x264],
    seconds: 0.04,
    channels: undefined,
  },
  {
    ...video('growing.ts', ''),
    make: ['-i', 'concat:IN/part 1.ts|IN/part 2.ts', '-c', 'copy'],
    seconds: 2,
    isOtherPicture: true,
  },
];

/** Made for the sources that are joined of them. */
export const parts: readonly Source[] = [
  video('part 1.ts', `${x264.join(' ')} -c:a aac`),
  video('part 2.ts', `${x264.join(' ')} -c:a aac -output_ts_offset 1`, { size: [96, 96] }),
];

export const sounds: readonly Source[] = [
  sound('tone.mp3', '', '-c:a libmp3lame'),
  sound('tone.m4a', '', '-c:a aac'),
  sound('tone.aac', '', '-c:a aac -f adts', { tolerance: 0.15 }),
  sound('tone.ogg', '', '-c:a libvorbis -metadata title=Ogg'),
  sound('tone.opus', '', '-c:a libopus -metadata title=Opus'),
  sound('tone.flac', '', '-c:a flac'),
  sound('deep.flac', ',aformat=sample_fmts=s32:sample_rates=96000', '-c:a flac'),
  sound('deep.wav', '', '-c:a pcm_s24le'),
  sound('floats.wav', '', '-c:a pcm_f32le'),
  sound('telephone.wav', ',aformat=sample_rates=8000', '-c:a pcm_mulaw'),
  sound('adpcm.wav', '', '-c:a adpcm_ms', { tolerance: 0.1 }),
  sound('speech.spx', ',aformat=sample_rates=16000', '-c:a libspeex', { tolerance: 0.1 }),
  sound('odd rate.wav', ',aformat=sample_rates=37800', '-c:a pcm_s16le'),
  sound('high rate.wav', ',aformat=sample_rates=176400:channel_layouts=stereo', '-c:a pcm_s16le', {
    channels: 2,
  }),
  sound('surround.ac3', ',aformat=channel_layouts=5.1', '-c:a ac3', { channels: 6, tolerance: 0.15 }),
  sound('quad.wav', ',aformat=channel_layouts=quad', '-c:a pcm_s16le', { channels: 4 }),
  sound('left only.mov', ',channelmap=0:FL', '-c:a pcm_s16le'),
  sound('apple.m4a', ',aformat=channel_layouts=stereo', '-c:a alac', { channels: 2 }),
  sound('windows.wma', '', '-c:a wmav2', { tolerance: 0.15 }),
  sound('pack.wv', ',aformat=sample_fmts=fltp', '-c:a wavpack'),
  covered('covered.mp3', '-c:a libmp3lame -c:v mjpeg -disposition:v attached_pic -id3v2_version 3'),
  covered('covered.flac', '-c:a flac -c:v png -disposition:v attached_pic'),
];
