import { printed } from './media';

export interface Output {
  readonly times: readonly number[];
  readonly audio: string;
  readonly audioStart: number;
  readonly stream: Readonly<Record<string, unknown>>;
}

/** What a cut and a join can break in an output. */
export async function describeOutput(path: string): Promise<Output> {
  const probe = async (...args: string[]) =>
    JSON.parse(await printed('ffprobe', ['-v', 'error', '-of', 'json', ...args, path]));
  const { frames } = await probe(
    '-select_streams',
    'v:0',
    '-show_entries',
    'frame=best_effort_timestamp_time',
  );
  const { streams } = await probe(
    ...[
      '-show_entries',
      'stream=codec_type,width,height,sample_aspect_ratio,pix_fmt,color_transfer,color_primaries',
    ],
    ...[
      '-show_entries',
      'stream=channel_layout,sample_rate,start_time:stream_side_data=rotation:stream_tags=timecode',
    ],
  );
  const byKind = (kind: string) =>
    streams.find(({ codec_type }: { codec_type: string }) => codec_type === kind);
  const { start_time: _, ...video } = byKind('video');
  const audio = byKind('audio');
  const packets = audio
    ? await printed('ffmpeg', ['-v', 'error', '-i', path, '-map', '0:a', '-c', 'copy', '-f', 'md5', '-'])
    : '';
  return {
    times: frames.map((frame: { best_effort_timestamp_time: string }) =>
      Number(frame.best_effort_timestamp_time),
    ),
    audio: packets,
    audioStart: Number(audio?.start_time ?? 0),
    stream: { ...video, channels: audio?.channel_layout, rate: audio?.sample_rate },
  };
}

/** The differences between an output and the one that is expected. */
export function compare(name: string, expected: Output, actual: Output): string[] {
  const found: string[] = [];
  const say = (text: string) => found.push(`${name}: ${text}`);
  if (actual.times.length !== expected.times.length)
    say(`${actual.times.length} frames instead of ${expected.times.length}`);
  const frame = (expected.times.at(-1) ?? 1) / expected.times.length;
  const shift = Math.max(
    ...expected.times.map((time, index) => Math.abs(time - (actual.times[index] ?? time))),
  );
  // Less than half a frame, and audio and video in step within 10 ms.
  if (shift >= Math.min(frame / 2, 0.01)) say(`times differ by up to ${shift}`);
  if (actual.times.some((time, index) => index > 0 && time <= (actual.times[index - 1] ?? 0)))
    say('times do not increase');
  if (actual.audio !== expected.audio) say('the audio differs');
  if (Math.abs(actual.audioStart - expected.audioStart) > 0.01)
    say(`audio begins at ${actual.audioStart} instead of ${expected.audioStart}`);
  if (JSON.stringify(actual.stream) !== JSON.stringify(expected.stream))
    say(`${JSON.stringify(actual.stream)} instead of ${JSON.stringify(expected.stream)}`);
  return found;
}
