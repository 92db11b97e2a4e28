// Sample videos with sound, made by ffmpeg.
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const pictures = [
  'testsrc2',
  'mandelbrot',
  'smptehdbars',
  'life=mold=10:ratio=0.1:death_color=#C83232:life_color=#00ff00',
  'cellauto',
];

/** Creates `count` different MP4s of a few seconds each. Resolves with their paths. */
export async function makeSamples(folder, count, { seconds = 4, size = '640x360' } = {}) {
  await mkdir(folder, { recursive: true });
  const paths = [];
  for (let index = 0; index < count; index++) {
    const picture = pictures[index % pictures.length];
    const length = seconds + (index % 5) * 0.5;
    const path = join(folder, `sample-${String(index + 1).padStart(String(count).length, '0')}.mp4`);
    const source = `${picture}${picture.includes('=') ? ':' : '='}size=${size}:rate=25`;
    await promisify(execFile)('ffmpeg', [
      ...['-v', 'error', '-nostdin', '-y'],
      ...[
        '-f',
        'lavfi',
        '-i',
        source,
        '-f',
        'lavfi',
        '-i',
        `sine=frequency=${220 + 110 * index}:sample_rate=44100`,
      ],
      ...[
        '-t',
        String(length),
        '-c:v',
        'libx264',
        '-preset',
        'ultrafast',
        '-pix_fmt',
        'yuv420p',
        '-c:a',
        'aac',
        path,
      ],
    ]);
    paths.push(path);
  }
  return paths;
}

/** Reads the codec, the duration in seconds and the size of a media file's audio with ffprobe. */
export async function probe(path) {
  const { stdout } = await promisify(execFile)('ffprobe', [
    ...['-v', 'error', '-select_streams', 'a:0', '-of', 'json'],
    ...['-show_entries', 'stream=codec_name,duration:format=duration,size', path],
  ]);
  const { streams = [], format = {} } = JSON.parse(stdout);
  const [stream = {}] = streams;
  return {
    codec: stream.codec_name,
    seconds: Number(stream.duration ?? format.duration),
    bytes: Number(format.size),
  };
}
