import assert from 'node:assert/strict';
import { stereoPair } from '../../src/core/media/audioTracks';
import type { MediaInfo, Track } from '../../src/core/media/mediaInfo';
import { plan } from '../../src/core/plan/plan';
import { adaptationsOf } from '../../src/core/presets/adaptations';
import { builtInPresets } from '../../src/core/presets/builtIn';
import { commandOf } from '../../src/core/presets/ffmpegCommand';
import { rungsOf } from '../../src/core/presets/hls';
import type { Preset } from '../../src/core/presets/preset';
import { withCommand } from '../../src/core/presets/presetText';
import { subtitleFiles } from '../../src/core/presets/subtitles';
import { parseUserPreset } from '../../src/core/presets/userPreset';
import { preset } from '../presets';

const video: Track = {
  kind: 'video',
  codec: 'h264',
  isDefault: true,
  seconds: 10,
  startSeconds: 0,
  width: 1920,
  height: 1080,
  pixelAspectRatio: 1,
  framesPerSecond: 25,
  isVariableFrameRate: false,
  fieldOrder: 'progressive',
  pixelFormat: 'yuv420p',
  colorSpace: 'bt709',
};
const audio: Track = {
  kind: 'audio',
  codec: 'aac',
  isDefault: true,
  seconds: 10,
  startSeconds: 0,
  channels: 2,
  channelLayout: 'stereo',
  sampleRate: 48_000,
  sampleFormat: 'fltp',
};

function mediaOf(...tracks: Track[]): MediaInfo {
  return {
    format: 'mov,mp4,m4a,3gp,3g2,mj2',
    tracks,
    seconds: 10,
    knows: ['audio', 'video', 'subtitle'],
  };
}

const tidy = mediaOf(video, audio);

/** The arguments after ffmpeg's global options, for a source that is called `in.mp4`. */
function argumentsOf(one: Preset, media: MediaInfo | undefined): string {
  const outputs = [{ name: 'out', audio: { kind: 'track' as const, index: 0 } }];
  const argv = commandOf(one, { nodeInput: 'in.mp4', outputs, media });
  return argv.slice(argv.indexOf('1') + 1).join(' ');
}

/** The filters of an option in a command. */
function filtersOf(option: string, one: Preset, media: MediaInfo | undefined): string {
  const text = argumentsOf(one, media);
  return new RegExp(`${option} (\\S+)`).exec(text)?.[1] ?? '';
}

describe('The command of a preset', () => {
  it('has no filter that a plain source does not need', () => {
    // The box into which every picture goes, should its size change.
    const fit =
      "scale=w='if(gt(720*dar,1278),1280,max(2,trunc(720*dar/2)*2))':h='if(gt(1280/dar,718),720,max(2,trunc(1280/dar/2)*2))'," +
      'setsar=1,pad=1280:720:-1:-1';
    assert.equal(
      argumentsOf(preset('mp3'), tidy),
      '-i in.mp4 -map 0:a:0 -af aresample=async=1:min_hard_comp=0.03 -c:a libmp3lame -b:a 192k -id3v2_version 3 out',
    );
    assert.equal(
      argumentsOf(preset('h264-720p'), tidy),
      `-i in.mp4 -map 0:V:0 -map 0:a:0? -vf ${fit} -c:v libx264 -preset medium -crf 22 -pix_fmt yuv420p ` +
        '-af aresample=async=1:min_hard_comp=0.03 -c:a aac -b:a 192k -movflags +faststart out',
    );
    assert.equal(
      argumentsOf(preset('remux'), tidy),
      '-i in.mp4 -map 0:V? -map 0:a? -c copy -movflags +faststart out',
    );
    assert.equal(
      argumentsOf(preset('thumbnail'), tidy),
      `-skip_frame nokey -i in.mp4 -map 0:V:0 -vf ${fit},thumbnail=50,setpts=0,scale,format=rgb24,scale=out_color_matrix=bt601:out_range=pc,format=yuvj420p -frames:v 1 -q:v 3 -update 1 out`,
    );
    assert.match(
      filtersOf('-filter_complex', preset('hls'), tidy),
      /^\[0:V:0\]split=2\[s0\]\[s1\];\[s0\]scale/,
    );
  });

  it('has filters that suit every source where nothing is known of it', () => {
    const filters = filtersOf('-vf', preset('h264-1080p'), undefined);
    assert.match(filters, /^bwdif=mode=send_frame:deint=interlaced,scale=.*iw\*sar.*,setsar=1$/);
    assert.doesNotMatch(filters, /tonemap/);
    assert.equal(
      filtersOf('-af', preset('m4a'), undefined),
      'aresample=async=1:min_hard_comp=0.03:first_pts=0,aformat=channel_layouts=5.1|stereo|mono',
    );
    for (const one of builtInPresets) assert.doesNotMatch(argumentsOf(one, undefined), /\$\{|\0/, one.id);
  });

  it('deinterlaces sources that are interlaced, and formats in which that may change', () => {
    const interlaced = mediaOf({ ...video, fieldOrder: 'tt' }, audio);
    const broadcast = { ...tidy, format: 'mpegts' };
    for (const media of [interlaced, broadcast]) {
      assert.match(filtersOf('-vf', preset('h264-1080p'), media), /^bwdif=/);
      assert.match(
        filtersOf('-filter_complex', preset('preview'), media),
        /^\[0:V:0\]scale=[^,]+(,[^,]+)*,pad=[^,]+,bwdif=/,
      );
    }
    assert.match(filtersOf('-vf', preset('thumbnail'), interlaced), /estdif=mode=frame:deint=interlaced/);
  });

  it('keeps the filters of a sheet or a GIF where the size may change, and its first filter brings all to one size', () => {
    const resized =
      /^scale=w='[^']+':h='[^']+':eval=frame:interl=-1,setsar=1,pad=1920:1080:-1:-1:eval=frame,/;
    assert.match(argumentsOf(preset('contact-sheet'), tidy), /^-reinit_filter 0 -i /);
    assert.match(filtersOf('-vf', preset('contact-sheet'), tidy), resized);
    // Filters that turn pictures come first; pictures of other codecs have one size; without ffprobe, the size isn't certain.
    for (const other of [
      { rotation: 90 },
      { codec: 'prores' },
      { pixelFormat: 'rgb24' },
      { pixelFormat: undefined },
    ]) {
      const media = mediaOf({ ...video, ...other }, audio);
      assert.doesNotMatch(argumentsOf(preset('contact-sheet'), media), /reinit_filter|eval=frame/);
      assert.doesNotMatch(argumentsOf(preset('preview'), media), /reinit_filter|eval=frame/);
    }
  });

  it('tone-maps HDR for H.264, VP9, pictures and HLS, and keeps its ten bits for H.265 and AV1', () => {
    const hdr = mediaOf({ ...video, colorTransfer: 'arib-std-b67', pixelFormat: 'yuv420p10le' }, audio);
    for (const id of ['h264-1080p', 'h264-source', 'vp9', 'thumbnail', 'contact-sheet', 'preview', 'hls']) {
      assert.match(argumentsOf(preset(id), hdr), /zscale=tin=arib-std-b67.*tonemap=tonemap=.*t=bt709/, id);
    }
    for (const id of ['h265', 'av1']) {
      assert.match(argumentsOf(preset(id), hdr), /-pix_fmt yuv420p10le/, id);
      assert.doesNotMatch(argumentsOf(preset(id), hdr), /tonemap/, id);
    }
  });

  it('labels high definition without a label as BT.709 where it becomes small', () => {
    const label = 'setparams=color_primaries=bt709:colorspace=bt709:color_trc=bt709';
    const large: Track = {
      ...video,
      width: 1920,
      height: 1080,
      colorSpace: undefined,
      pixelFormat: 'yuv420p',
    };
    const isLabelled = (id: string, track: Track) =>
      argumentsOf(preset(id), mediaOf(track, audio)).includes(label);
    for (const id of ['h264-720p', 'h264-480p', 'contact-sheet', 'preview', 'hls']) {
      assert.ok(isLabelled(id, large), id);
      assert.ok(!isLabelled(id, { ...large, width: 720, height: 576 }), `small ${id}`);
      assert.ok(!isLabelled(id, { ...large, colorSpace: 'smpte170m' }), `labelled ${id}`);
    }
    assert.ok(!isLabelled('h264-1080p', large));
  });

  it('converts full range to the limited one, once, except where HDR is kept', () => {
    const conversions = (id: string, track: Partial<Track>, media: Partial<MediaInfo> = {}) =>
      argumentsOf(preset(id), { ...mediaOf({ ...video, ...track }, audio), ...media }).split(
        ':in_range=pc:out_range=tv',
      ).length - 1;
    const full: Partial<Track>[] = [
      { pixelFormat: 'yuvj420p' },
      { pixelFormat: 'yuv420p10le', colorRange: 'pc' },
    ];
    for (const track of full) {
      for (const id of ['h264-1080p', 'h265', 'vp9', 'av1', 'thumbnail', 'contact-sheet', 'preview']) {
        assert.equal(conversions(id, track), 1, id);
        assert.equal(conversions(id, track, { format: 'matroska,webm' }), 1, `Matroska ${id}`);
      }
      assert.equal(conversions('hls', track), 2);
      assert.equal(conversions('h265', { ...track, colorTransfer: 'smpte2084' }), 0);
      assert.equal(conversions('hls', { ...track, colorTransfer: 'smpte2084' }), 0);
    }
    assert.equal(conversions('h264-1080p', { colorRange: 'tv' }), 0);
    assert.equal(conversions('h264-1080p', { pixelFormat: 'gbrp', colorRange: 'pc' }), 0);
  });

  it('shows each picture at its exact time where the rate varies or the video begins late', () => {
    const timing = (track: Partial<Track>) =>
      /-vsync vfr( -enc_time_base:v 1\/90000)?/.exec(
        argumentsOf(preset('h264-720p'), mediaOf({ ...video, ...track }, audio)),
      )?.[0];
    assert.equal(timing({}), undefined);
    assert.equal(timing({ startSeconds: 0.021 }), '-vsync vfr -enc_time_base:v 1/90000');
    assert.equal(
      timing({ isVariableFrameRate: true, framesPerSecond: 30 }),
      '-vsync vfr -enc_time_base:v 1/90000',
    );
    assert.equal(timing({ isVariableFrameRate: true, framesPerSecond: 1 }), '-vsync vfr');
  });

  it('halves 120 frames per second', () => {
    const fast = mediaOf({ ...video, framesPerSecond: 119.88 }, audio);
    assert.match(filtersOf('-vf', preset('h264-1080p'), fast), /^framestep=2,/);
    assert.doesNotMatch(
      argumentsOf(preset('h264-1080p'), mediaOf({ ...video, framesPerSecond: 59.94 })),
      /framestep/,
    );
  });

  it('converts audio to a layout and sample rate that players support', () => {
    const layout = (id: string, track: Partial<Track>) =>
      filtersOf('-af', preset(id), mediaOf(video, { ...audio, ...track })).replace(
        /^aresample=async=1:min_hard_comp=0.03,?/,
        '',
      );
    assert.equal(layout('m4a', { channels: 6, channelLayout: '5.1(side)' }), 'aformat=channel_layouts=5.1');
    assert.equal(layout('m4a', { channels: 8, channelLayout: '7.1' }), 'aformat=channel_layouts=5.1');
    assert.equal(layout('opus', { channels: 7, channelLayout: '6.1' }), 'aformat=channel_layouts=7.1');
    assert.equal(layout('mp3', { channels: 6, channelLayout: '5.1' }), 'aformat=channel_layouts=stereo');
    assert.equal(layout('m4a', { channels: 6, channelLayout: '5.1' }), '');
    assert.equal(layout('m4a', { channels: 1, channelLayout: '1 channels (FL)' }), 'pan=mono|c0=c0');
    // FLAC is lossless: it gets a layout with room for each channel.
    assert.equal(
      layout('flac', { channels: 3, channelLayout: '2.1' }),
      'aformat=channel_layouts=5.1|6.1|7.1',
    );
    assert.equal(
      layout('flac', { channels: 6, channelLayout: '6.0(front)' }),
      'aformat=channel_layouts=5.1|6.1|7.1',
    );
    assert.equal(layout('flac', { channels: 8, channelLayout: '7.1(wide)' }), 'aformat=channel_layouts=7.1');
    assert.equal(layout('flac', { channels: 4, channelLayout: 'quad' }), '');
    const evenly = (channels: readonly number[]) => channels.map((channel) => `0.4472*c${channel}`).join('+');
    assert.equal(
      layout('m4a', { channels: 10, channelLayout: undefined }),
      `pan=stereo|c0=${evenly([0, 2, 4, 6, 8])}|c1=${evenly([1, 3, 5, 7, 9])},alimiter=level=false:limit=0.95:attack=1`,
    );
    for (const channelLayout of ['7.1.2', '10 channels (FL+FR+FC+LFE+BL+BR+SL+SR+TFL+TFR)']) {
      const left = '0.5774*c0+0.4082*c2+0.4082*c4+0.4082*c6+0.4082*c8';
      const right = '0.5774*c1+0.4082*c2+0.4082*c5+0.4082*c7+0.4082*c9';
      assert.equal(
        layout('m4a', { channels: 10, channelLayout }),
        `pan=stereo|c0=${left}|c1=${right},alimiter=level=false:limit=0.95:attack=1`,
      );
    }
    assert.equal(layout('m4a', { sampleRate: 96_000 }), 'aresample=48000');
    assert.equal(layout('m4a', { sampleRate: 88_200 }), 'aresample=44100');
  });

  it('chooses the times of the source in a way that the ffmpeg of the nodes has', () => {
    const variable = { ...mediaOf({ ...video, isVariableFrameRate: true }, audio), format: 'matroska,webm' };
    const spliced = mediaOf({ ...video, isSpliced: true }, audio);
    for (const [id, media] of [
      ['h264-720p', variable],
      ['vp9', variable],
      ['remux', spliced],
    ] as const) {
      const outputs = [{ name: 'out', audio: { kind: 'track' as const, index: 0 } }];
      const withMajor = (ffmpegMajor: number | undefined) =>
        commandOf(preset(id), { nodeInput: 'in', outputs, media, ffmpegMajor }).join(' ');
      for (const major of [undefined, 4, 7]) assert.match(withMajor(major), / -vsync vfr /, id);
      // ffmpeg 9 has no such option.
      for (const major of [8, 9]) assert.doesNotMatch(withMajor(major), /vsync/, id);
    }
  });

  it('fills silence before sound that begins late', () => {
    const late = mediaOf(video, { ...audio, startSeconds: 3 });
    const decodedLate = mediaOf(video, { ...audio, codec: 'wmav2' });
    for (const media of [late, decodedLate]) {
      for (const id of ['mp3', 'wav', 'h264-720p']) {
        assert.match(
          filtersOf('-af', preset(id), media),
          /^aresample=async=1:min_hard_comp=0.03:first_pts=0/,
          id,
        );
      }
    }
  });

  it('re-encodes for MP4 only what does not fit, and keeps text subtitles', () => {
    const subtitle = (codec: string): Track => ({ kind: 'subtitle', codec, isDefault: false });
    const media = mediaOf(
      { ...video, codec: 'hevc' },
      { ...audio, codec: 'ac3', channels: 6, channelLayout: '5.1(side)' },
      { ...audio, codec: 'truehd', channels: 8, channelLayout: '7.1' },
      ...[subtitle('hdmv_pgs_subtitle'), subtitle('subrip'), subtitle('ass')],
    );
    assert.equal(
      argumentsOf(preset('remux'), media),
      '-i in.mp4 -map 0:V? -map 0:a? -map 0:s:1 -map 0:s:2 -c copy -tag:v:0 hvc1 ' +
        '-filter:a:1 aresample=async=1:min_hard_comp=0.03:first_pts=0,aformat=channel_layouts=5.1 -c:a:1 aac -b:a:1 192k -c:s mov_text ' +
        '-movflags +faststart out',
    );
  });

  it('keeps the depth of lossless sound in WAV', () => {
    const encoder = (track: Partial<Track>) =>
      /-c:a (\S+)/.exec(argumentsOf(preset('wav'), mediaOf({ ...audio, ...track })))?.[1];
    assert.equal(encoder({ codec: 'pcm_s24be', bitsPerSample: 24 }), 'pcm_s24le');
    assert.equal(encoder({ codec: 'flac', sampleFormat: 's32', bitsPerSample: 24 }), 'pcm_s24le');
    assert.equal(encoder({ codec: 'flac', sampleFormat: 's16', bitsPerSample: 16 }), 'pcm_s16le');
    assert.equal(encoder({ codec: 'dsd_lsbf_planar', sampleFormat: 'fltp', bitsPerSample: 8 }), 'pcm_s24le');
    assert.equal(encoder({ codec: 'pcm_s32le', bitsPerSample: 32 }), 'pcm_s32le');
    assert.equal(encoder({ codec: 'pcm_f32le', bitsPerSample: 32 }), 'pcm_f32le');
    assert.equal(encoder({ codec: 'pcm_u8', bitsPerSample: 8 }), 'pcm_s16le');
    assert.equal(encoder({ codec: 'aac', sampleFormat: 'fltp' }), 'pcm_s16le');
  });

  it('has no HLS rendition above the size of the source, and no two of nearly the same size', () => {
    assert.deepEqual(rungsOf(1080), [720, 360]);
    assert.deepEqual(rungsOf(540), [540, 360]);
    assert.deepEqual(rungsOf(400), [400]);
    assert.deepEqual(rungsOf(180), [180]);
    assert.deepEqual(rungsOf(undefined), [720, 360]);
  });
});

describe('Two mono tracks', () => {
  const mono: Track = { ...audio, codec: 'pcm_s16le', channels: 1, channelLayout: undefined };

  it('are a stereo pair if nothing tells them apart', () => {
    assert.deepEqual(stereoPair([mono, { ...mono, isDefault: false }]), [0, 1]);
    assert.deepEqual(stereoPair([mono, mono, mono, mono]), [0, 1]);
  });

  it('are no pair with another language, length, name, channel count, or a default track that is not the first', () => {
    for (const other of [
      { language: 'deu' },
      { seconds: 4 },
      { title: 'Commentary' },
      { channels: 2 },
      { sampleRate: 44_100 },
    ]) {
      assert.equal(stereoPair([mono, { ...mono, ...other }]), undefined, JSON.stringify(other));
    }
    assert.equal(stereoPair([{ ...mono, isDefault: false }, mono]), undefined);
    assert.equal(stereoPair([mono]), undefined);
  });
});

describe('A preset of the user', () => {
  const own = (args: string[]) => parseUserPreset({ name: 'Own', extension: 'mp4', arguments: args });

  it('has the filters that a source needs, and loses an option that needs none', () => {
    const one = own([
      '-i',
      '${input}',
      '-vf',
      '${deinterlace},${tonemap}',
      '-af',
      '${audioLayout}',
      '${output}',
    ]);
    assert.equal(argumentsOf(one, tidy), '-i in.mp4 out');
    const hard = mediaOf({ ...video, fieldOrder: 'tt' }, { ...audio, channels: 6, channelLayout: '5.1' });
    assert.equal(
      argumentsOf(one, hard),
      '-i in.mp4 -vf bwdif=mode=send_frame:deint=interlaced -af aformat=channel_layouts=stereo out',
    );
  });

  it('keeps a graph whole where a source needs no filter', () => {
    const one = own(['-i', '${input}', '-filter_complex', '[0:v]${tonemap}[v]', '-map', '[v]', '${output}']);
    assert.equal(argumentsOf(one, tidy), '-i in.mp4 -filter_complex [0:v]null[v] -map [v] out');
  });

  it('is refused with a placeholder that does not exist or has no number where it needs one', () => {
    for (const bad of ['${tonemapp}', '${fit}', '${fit:x}', '${tonemap:3}', '-vf ${cover}', '${home}']) {
      assert.throws(() => own(['-i', '${input}', bad, '${output}']), /presetInvalid|unknown/i, bad);
      assert.throws(() => withCommand(preset('mp3'), `ffmpeg -i \${input} '${bad}' \${output}`));
    }
    own(['-i', '${input}', '-vf', '${deinterlace},${fit:720}', '${cover}', '${output}']);
  });
});

describe('Subtitles of a source', () => {
  const subtitle = (more: Partial<Track>): Track => ({
    kind: 'subtitle',
    codec: 'subrip',
    isDefault: false,
    ...more,
  });
  const media = mediaOf(
    subtitle({ codec: 'hdmv_pgs_subtitle', language: 'eng' }),
    subtitle({ language: 'eng' }),
    subtitle({ language: 'eng', isForced: true }),
    subtitle({ language: 'eng', title: 'English (SDH)' }),
    subtitle({ language: 'deu', codec: 'ass' }),
    subtitle({ language: '$(x)', codec: 'mov_text' }),
    subtitle({ language: 'eng' }),
  );

  it('are named by language, forced and SDH ones apart, and pictures are none', () => {
    assert.deepEqual(subtitleFiles(media), [
      { index: 1, name: 'eng' },
      { index: 2, name: 'eng.forced' },
      { index: 3, name: 'eng.sdh' },
      { index: 4, name: 'deu' },
      { index: 5, name: '6' },
      { index: 6, name: 'eng.2' },
    ]);
  });

  it('are those of a language if there are any, else all', () => {
    assert.deepEqual(subtitleFiles(media, 'de'), [{ index: 4, name: 'deu' }]);
    assert.equal(subtitleFiles(media, 'fra').length, 6);
  });

  it('become files beside the source, one track a file of the usual name', () => {
    const source = { uri: 'file:///a/clip.mkv', path: 'clip.mkv', size: 1, modified: 1 };
    const subtitles = preset('subtitles');
    const [several] = plan({ sources: [{ ...source, media }], preset: subtitles }).files;
    assert.deepEqual([several?.output.name, several?.output.isBeside], ['clip', true]);
    assert.match(
      several?.commandLine ?? '',
      /-map 0:s:1 -c:s srt output\/eng\.srt -map 0:s:2 .*output\/eng\.2\.srt$/,
    );
    const pictureFirst = mediaOf(...media.tracks.slice(0, 2));
    const [one] = plan({ sources: [{ ...source, media: pictureFirst }], preset: subtitles }).files;
    assert.deepEqual([one?.output.name, one?.output.isFolder], ['clip.srt', false]);
    assert.match(one?.commandLine ?? '', /-map 0:s:1 -c:s srt output\.srt$/);
  });
});

describe('The changes that a preset makes to a source', () => {
  const of = (id: string, media: MediaInfo) => adaptationsOf(preset(id), media, { kind: 'track', index: 0 });

  it('are none for a plain source', () => {
    for (const { id } of builtInPresets) assert.deepEqual(of(id, tidy), [], id);
  });

  it('are reported for HDR, many channels, chapters, and tracks that do not fit', () => {
    const hdr = mediaOf({ ...video, colorTransfer: 'smpte2084' }, audio);
    assert.deepEqual(of('h264-720p', hdr), [{ kind: 'toneMapped' }]);
    assert.deepEqual(of('h265', hdr), []);
    assert.deepEqual(of('m4a', mediaOf({ ...audio, channels: 16 })), [{ kind: 'downmixed', channels: 16 }]);
    assert.deepEqual(of('flac', { ...tidy, chapters: 3 }), [{ kind: 'chaptersLost', chapters: 3 }]);
    const camera = {
      ...mediaOf(
        video,
        { ...audio, codec: 'pcm_s16le' },
        { ...audio, kind: 'subtitle', codec: 'dvd_subtitle' },
      ),
      otherTracks: ['tmcd', 'gpmd'],
    };
    assert.deepEqual(of('remux', camera), [
      { kind: 'reencoded', codecs: ['pcm_s16le'] },
      { kind: 'leftOut', tracks: ['dvd_subtitle', 'gpmd'] },
    ]);
  });
});
