import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FailureReason } from '../../src/core/failureReasons';
import { failureIn } from '../../src/core/jobs/ffmpegFailure';
import { parseFfmpegLog } from '../../src/core/media/probe/ffmpegLog';
import { proveByStatement } from '../../src/core/media/probe/proof';
import { ffmpeg, temporaryFolder } from '../media';

const picture = '-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.2';
const tone = '-f lavfi -i sine=duration=0.2';
const tenChannels = '-f lavfi -i aevalsrc=0|0|0|0|0|0|0|0|0|0:d=0.2';

/** Commands that fail on this machine's ffmpeg, by the reason. */
const failing: readonly (readonly [FailureReason, string, subject?: string])[] = [
  ['noIndex', '-i cut.mp4 o.mp3'],
  ['headerDamaged', '-i noise.flv o.mp3'],
  ['headerDamaged', '-i broken.mkv o.mp3'],
  ['unknownEncoder', `${picture} -c:v nosuch o.mp4`, 'nosuch'],
  ['unknownDecoder', '-c:v nosuch -i clip.mov o.mp4', 'nosuch'],
  ['unknownOption', `${picture} -nosuch 1 o.mp4`, 'nosuch'],
  ['unknownFilter', `${picture} -vf nosuch o.mp4`, 'nosuch'],
  ['unknownFilter', `${picture} -filter_complex nosuch o.mp4`, 'nosuch'],
  ['filterOption', `${picture} -vf scale=foo=1 o.mp4`, 'foo'],
  ['filterExpression', `${picture} -vf crop=w=nosuch o.mp4`],
  ['filterSize', `${picture} -vf crop=1000:1000 o.mp4`],
  ['filterSize', `${picture} -vf pad=10:10 o.mp4`],
  ['filterUnconnected', `${picture} -filter_complex [0:v]split[a][b] -map [a] o.mp4`],
  ['copyFiltered', `${picture} -vf scale=10:10 -c:v copy o.mkv`],
  ['noSuchStream', `${picture} -map 0:a:0 o.mp3`, '0:a:0'],
  ['noSuchStream', `${picture} o.mp3`],
  ['codecInContainer', '-i clip.mov -c copy o.mp4', 'pcm_s16le'],
  ['codecInContainer', '-i clip.mov -c copy o.webm'],
  ['codecInContainer', '-i slow.mp3 -map 0:V? -map 0:a -c copy o.mp4', 'mp3'],
  ['codecInContainer', '-i clip.mov -map 0:v -c copy o.ogg'],
  ['oneStreamOnly', `${tone} ${tone} -map 0 -map 1 o.mp3`],
  ['oneStreamOnly', `${tone} ${tone} -map 0 -map 1 o.wav`],
  ['subtitleKind', '-i words.srt -c:s dvdsub o.mkv'],
  ['oddSize', `${picture} -vf scale=63:48 -c:v libx264 -pix_fmt yuv420p o.mp4`, '63x48'],
  ['sampleRate', `${tone} -ar 7000 -c:a libmp3lame o.mp3`, '7000'],
  ['sampleFormat', `${tone} -sample_fmt u8 -c:a libmp3lame o.mp3`, 'u8'],
  ['channels', `${tenChannels} -c:a flac o.flac`, '10'],
  ['channels', `${tone} -af aformat=channel_layouts=5.1(side) -c:a libopus o.opus`],
  ['missingFile', '-i nosuch.mp4 o.mp3', 'nosuch.mp4'],
  ['missingFile', `${picture} nosuch/o.mp4`],
  ['network', '-i http://127.0.0.1:1/x.mp4 o.mp3'],
  ['protocol', '-i nosuch://x o.mp3'],
  ['protocol', '-protocol_whitelist file -i list.m3u8 o.mp3', 'http'],
  ['unknownOutputFormat', `${picture} o.nosuch`, 'o.nosuch'],
  ['unknownOutputFormat', `${picture} -f nosuch o.mp4`, 'nosuch'],
  ['unknownInputFormat', '-f nosuch -i clip.mov o.mp4', 'nosuch'],
  ['invalidValue', `${picture} -t abc o.mp4`],
  ['invalidValue', `${picture} -c:v libx264 -crf abc o.mp4`],
  ['misplacedOption', `${picture} -map 0 -i clip.mov o.mp4`],
  ['noOutput', '-i clip.mov'],
  ['fileExists', `-n ${picture} exists.mp4`],
  ['encoderPreset', `${picture} -c:v libx264 -preset nosuch o.mp4`],
  ['imagePattern', `${picture} o.png`],
  ['encoderFailed', `${picture} -c:v libx264 -b:v 999999999999999 o.mp4`],
  ['diskFull', `${picture} -c:v rawvideo -f rawvideo /dev/full`],
];

/** Lines of logs that other versions of ffmpeg, other machines and start tasks write, with the lines around them. */
const lines: readonly (readonly [FailureReason, string, subject?: string])[] = [
  // 4.4
  [
    'noSuchStream',
    "Stream map '0:a:0' matches no streams.\nTo ignore this, add a trailing '?' to the map.",
    '0:a:0',
  ],
  ['noSuchStream', 'Output file #0 does not contain any stream'],
  [
    'unknownFilter',
    "[AVFilterGraph @ 0x5581] No such filter: 'zscale'\nError reinitializing filters!",
    'zscale',
  ],
  [
    'channels',
    '[libopus @ 0x5581] Invalid channel layout 5.1(side) for specified mapping family -1.\nError initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe incorrect parameters such as bit_rate, rate, width or height',
    '5.1(side)',
  ],
  [
    'experimentalEncoder',
    "The encoder 'truehd' is experimental but experimental codecs are not enabled, add '-strict -2' if you want to use it.",
    'truehd',
  ],
  ['queueFull', 'Too many packets buffered for output stream 0:1.\nConversion failed!'],
  [
    'noFrames',
    'Cannot determine format of input stream 0:0 after EOF\nError marking filters as finished\nConversion failed!',
  ],
  [
    'bitstreamFilter',
    "[mpegts @ 0x5581] H.264 bitstream malformed, no startcode found, use the video bitstream filter 'h264_mp4toannexb' to fix it ('-bsf:v h264_mp4toannexb' option with ffmpeg)",
    'h264_mp4toannexb',
  ],
  ['unknownDecoder', 'Decoder (codec none) not found for input stream #0:2', 'none'],
  [
    'noDefaultEncoder',
    'Automatic encoder selection failed for output stream #0:0. Default encoder for format mp4 (codec h264) is probably disabled. Please choose an encoder manually.\nError selecting an encoder for stream 0:0',
    'mp4',
  ],
  [
    'filterFormats',
    "[auto_aresample_0 @ 0x5581] Cannot select channel layout for the link between filters auto_aresample_0 and format_out_0_0.\n[auto_aresample_0 @ 0x5581] Unknown channel layouts not supported, try specifying a channel layout using 'aformat=channel_layouts=something'.\nError reinitializing filters!",
  ],
  [
    'timestamps',
    "[mp4 @ 0x5581] Can't write packet with unknown timestamp\nav_interleaved_write_frame(): Invalid argument\nConversion failed!",
  ],
  [
    'timestamps',
    'Application provided invalid, non monotonically increasing dts to muxer in stream 0: 512 >= 512\nav_interleaved_write_frame(): Invalid argument',
  ],
  ['killed', 'frame=  100 fps=25\nExiting normally, received signal 15.\nConversion failed!'],
  // 6.1
  [
    'noIndex',
    '[mov,mp4,m4a,3gp,3g2,mj2 @ 0x5581] moov atom not found\n[in#0 @ 0x5582] Error opening input: Invalid data found when processing input\nError opening input file input.mp4.\nError opening input files: Invalid data found when processing input',
  ],
  [
    'invalidData',
    '[in#0 @ 0x5582] Error opening input: Invalid data found when processing input\nError opening input file input.mp4.\nError opening input files: Invalid data found when processing input',
  ],
  [
    'noSuchStream',
    "Stream map '' matches no streams.\nTo ignore this, add a trailing '?' to the map.\nFailed to set value '0:a:0' for option 'map': Invalid argument\nError parsing options for output file output.mp3.\nError opening output files: Invalid argument",
  ],
  [
    'unknownEncoder',
    "[vost#0:0 @ 0x5581] Unknown encoder 'libx265'\n[vost#0:0 @ 0x5581] Error selecting an encoder\nError opening output file output.mp4.\nError opening output files: Encoder not found",
    'libx265',
  ],
  [
    'codecInContainer',
    '[mp4 @ 0x5581] Could not find tag for codec pcm_s16le in stream #1, codec not currently supported in container\n[out#0/mp4 @ 0x5582] Could not write header (incorrect codec parameters ?): Invalid argument\n[vf#0:0 @ 0x5583] Error sending frames to consumers: Invalid argument',
    'pcm_s16le',
  ],
  [
    'oddSize',
    '[libx264 @ 0x5581] width not divisible by 2 (161x91)\n[vost#0:0/libx264 @ 0x5582] Error while opening encoder - maybe incorrect parameters such as bit_rate, rate, width or height.\n[vf#0:0 @ 0x5583] Error sending frames to consumers: Generic error in an external library',
    '161x91',
  ],
  [
    'subtitleKind',
    '[sost#0:0/subrip @ 0x5581] Subtitle encoding currently only possible from text to text or bitmap to bitmap\n[out#0/srt @ 0x5582] Error opening output',
  ],
  [
    'filterOption',
    "[AVFilterGraph @ 0x5581] Error applying option 'foo' to filter 'scale': Option not found\n[vost#0:0/libx264 @ 0x5582] Error initializing a simple filtergraph",
    'foo',
  ],
  [
    'noFrames',
    '[out#0/jpg @ 0x5581] Output file is empty, nothing was encoded (check -ss / -t / -frames parameters if used)',
  ],
  [
    'filterUnconnected',
    "Filter 'split:output1' has output 1 (b) unconnected\nError opening output files: Invalid argument",
    'b',
  ],
  // 7
  [
    'unknownOutputFormat',
    "[AVFormatContext @ 0x5581] Unable to choose an output format for 'output.nosuch'; use a standard extension for the filename or specify the format manually.\n[out#0 @ 0x5582] Error initializing the muxer for output.nosuch: Invalid argument",
    'output.nosuch',
  ],
  [
    'channels',
    "[libopus @ 0x5581] Specified channel layout '5.1(side)' is not supported by the libopus encoder\n[enc:libopus @ 0x5582] Error while opening encoder - maybe incorrect parameters such as bit_rate, rate, width or height.",
    '5.1(side)',
  ],
  [
    'sampleRate',
    '[libmp3lame @ 0x5581] Specified sample rate 7000 is not supported by the libmp3lame encoder',
    '7000',
  ],
  [
    'pixelFormat',
    '[mjpeg @ 0x5581] Specified pixel format yuv420p10le is not supported by the mjpeg encoder',
    'yuv420p10le',
  ],
  ['unknownCodec', 'Decoding requested, but no decoder found for: acelp.kelvin', 'acelp.kelvin'],
  [
    'undecodable',
    '[aist#0:0/aac @ 0x5581] [dec:aac @ 0x5582] Error submitting packet to decoder: Invalid data found when processing input\n[af#0:0 @ 0x5583] No filtered frames for output stream',
  ],
  [
    'noFrames',
    '[out#0/mp3 @ 0x5581] Nothing was written into output file, because at least one of its streams received no packets.',
  ],
  [
    'encoderFailed',
    '[vost#0:0/libx264 @ 0x5581] Error while opening encoder - maybe incorrect parameters such as bit_rate, rate, width or height.\nError while filtering: Invalid argument\n[out#0/mp4 @ 0x5582] Nothing was written into output file, because at least one of its streams received no packets.\nConversion failed!',
  ],
  [
    'missingFile',
    '[out#0/mp4 @ 0x5581] Error opening output parts/o.mp4: No such file or directory\nError opening output file parts/o.mp4.\nError opening output files: No such file or directory',
    'parts/o.mp4',
  ],
  ['invalidValue', 'Invalid duration for option t: abc\nError opening output files: Invalid argument', 't'],
  // 8
  [
    'oneStreamOnly',
    '[wav @ 0x5581] wav muxer does not support more than one stream of type audio\n[out#0/wav @ 0x5582] Could not write header (incorrect codec parameters ?): Invalid argument\n[out#0/wav @ 0x5582] Nothing was written into output file, because at least one of its streams received no packets.\nConversion failed!\n\nExiting with exit code -22',
  ],
  // Any
  [
    'diskFull',
    'av_interleaved_write_frame(): No space left on device\nError writing trailer of output.mp4: No space left on device\n[libx264 @ 0x5581] Error in the data: Invalid data found when processing input',
  ],
  ['fileDenied', 'output.mp4: Permission denied'],
  ['readOnlyDisk', 'output.mp3: Read-only file system'],
  ['outOfMemory', '[libx265 @ 0x5581] malloc of size 33177600 failed\nx265 [error]: encoder open failed'],
  ['outOfMemory', 'Error while filtering: Cannot allocate memory'],
  ['killed', 'Killed'],
  [
    'missingLibrary',
    'ffmpeg: error while loading shared libraries: libavdevice.so.58: cannot open shared object file: No such file or directory',
    'libavdevice.so.58',
  ],
  ['noFfmpeg', '/bin/sh: 1: ffmpeg: not found'],
  [
    'noParameters',
    "[mpeg @ 0x5581] Could not find codec parameters for stream 0 (Video: mpeg2video, none): unspecified size\nConsider increasing the value for the 'analyzeduration' (0) and 'probesize' (5000000) options",
    'Video: mpeg2video',
  ],
  [
    'headerDamaged',
    '[matroska,webm @ 0x5581] EBML header parsing failed\ninput.mkv: Invalid data found when processing input',
  ],
  [
    'encrypted',
    '[asf @ 0x5581] DRM protected stream detected, decoding will likely fail!\ninput.wma: Invalid data found when processing input',
  ],
  [
    'notImplemented',
    '[wmavoice @ 0x5581] Multiple channels is not implemented. Update your FFmpeg version to the newest one from Git.',
  ],
  [
    'hardware',
    '[h264_nvenc @ 0x5581] Cannot load libcuda.so.1\nError initializing output stream 0:0',
    'libcuda.so.1',
  ],
  [
    'hardware',
    '[AVHWDeviceContext @ 0x5581] Failed to initialise VAAPI connection: -1 (unknown libva error).\nDevice creation failed: -5.',
  ],
  [
    'encoderProfile',
    "x264 [error]: high profile doesn't support 4:4:4\n[libx264 @ 0x5581] Error setting profile high.",
    'high',
  ],
  [
    'font',
    "[Parsed_drawtext_0 @ 0x5581] Cannot find a valid font for the family Sans\nError initializing filter 'drawtext'",
  ],
  ['readError', 'input.mp4: Input/output error'],
  [
    'unknownCodec',
    '  Stream #0:1[0x2](und): Audio: none (ac-4 / 0x342D6361), 48000 Hz, stereo, 69 kb/s\nDecoder (codec none) not found for input stream #0:1',
    'ac-4',
  ],
  [
    'headerFailed',
    'Could not write header for output file #0 (incorrect codec parameters ?): Invalid argument',
  ],
  [
    'filterFailed',
    'Error reinitializing filters!\nFailed to inject frame into filter network: Invalid argument\nConversion failed!',
  ],
  [
    'frameRate',
    '[mpeg4 @ 0x5581] timebase 1/90000 not supported by MPEG 4 standard, the maximum admitted value for the timebase denominator is 65535',
  ],
  ['bitrate', '[libvo_amrwbenc @ 0x5581] bitrate not supported: use one of 6.60k, 8.85k'],
  ['invalidArgument', 'Error opening output files: Invalid argument'],
  // Start tasks
  [
    'packageLocked',
    'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1234 (unattended-upgr)\nE: Unable to acquire the dpkg frontend lock',
    '/var/lib/dpkg/lock-frontend',
  ],
  ['packageMissing', 'Reading package lists...\nE: Unable to locate package ffmpeg', 'ffmpeg'],
  [
    'packageDownload',
    "Err:1 http://azure.archive.ubuntu.com/ubuntu noble InRelease\n  Temporary failure resolving 'azure.archive.ubuntu.com'",
    'azure.archive.ubuntu.com',
  ],
  [
    'packagesBroken',
    "E: dpkg was interrupted, you must manually run 'sudo dpkg --configure -a' to correct the problem.",
  ],
];

describe('The reason of a failure', function () {
  this.timeout(240_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  const at = (name: string) => join(root.path, name);

  before(async () => {
    root = await temporaryFolder('failures');
    const clip = ['-f', 'lavfi', '-i', 'testsrc2=size=64x48:rate=25:duration=1', '-f', 'lavfi', '-i', 'sine'];
    await ffmpeg(...clip, '-t', '1', '-c:v', 'libx264', '-c:a', 'pcm_s16le', at('clip.mov'));
    await ffmpeg(...clip, '-t', '1', '-ar', '8000', at('slow.mp3'));
    await ffmpeg(...clip, '-t', '1', '-c:v', 'libx264', '-c:a', 'aac', at('whole.mp4'));
    writeFileSync(at('cut.mp4'), readFileSync(at('whole.mp4')).subarray(0, 4000));
    writeFileSync(
      at('noise.flv'),
      Buffer.concat([Buffer.from('FLV\x01\x05\0\0\0\x09'), Buffer.alloc(3000, 0xff)]),
    );
    writeFileSync(
      at('broken.mkv'),
      Buffer.concat([Buffer.from('1a45dfa3ff', 'hex'), Buffer.alloc(3000, 0xff)]),
    );
    writeFileSync(at('exists.mp4'), '');
    writeFileSync(at('words.srt'), '1\n00:00:00,000 --> 00:00:01,000\nHello\n');
    writeFileSync(at('list.m3u8'), '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:1/0.ts\n');
  });

  after(() => root.remove());

  function stderrOf(command: string): Promise<string> {
    const args = [
      '-hide_banner',
      '-nostdin',
      ...(command.startsWith('-n ') ? [] : ['-y']),
      '-nostats',
      '-v',
      'verbose',
    ];
    return new Promise((resolve) => {
      execFile(
        'ffmpeg',
        [...args, ...command.split(' ')],
        { cwd: root.path, timeout: 5_000 },
        (_, __, stderr) => resolve(stderr),
      );
    });
  }

  it('is found in real output of ffmpeg', async () => {
    const wrong: unknown[] = [];
    for (const [reason, command, subject] of failing) {
      const stderr = await stderrOf(command);
      const failure = failureIn(stderr);
      if (failure?.reason !== reason || (subject !== undefined && failure.subject !== subject)) {
        wrong.push({ command, reason, subject, failure, end: stderr.split('\n').slice(-6) });
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('is found in the wordings of other versions and of start tasks', () => {
    const found = lines.map(([, log]) => {
      const failure = failureIn(log);
      return [failure?.reason, failure?.subject];
    });
    assert.deepEqual(
      found.map(([reason]) => reason),
      lines.map(([reason]) => reason),
    );
    lines.forEach(([, log, subject], index) => {
      if (subject !== undefined) assert.equal(found[index]?.[1], subject, log);
    });
  });

  it('takes no longer for a log with an endless line', () => {
    // Text of a media file: without a limit, its patterns take minutes.
    const endless = `    title           : ${'0'.repeat(400_000)}`;
    assert.equal(failureIn(`${endless}\nmoov atom not found`)?.reason, 'noIndex');
    const log = `Input #0, mov, from 'input.mp4':\n${endless}\n  Input stream #0:0 (audio): 7 packets read${endless}`;
    assert.equal(parseFfmpegLog(log)?.streams[0]?.packets, 7);
  });

  it('is found in the logs of ffmpeg 8 and 9, too: black pictures, later tracks and changed audio', () => {
    const log = [
      "Input #0, mpegts, from 'input.ts':",
      '  Stream #0:1[0x101]: Audio: aac (LC), 48000 Hz, stereo, fltp',
      '[graph_-1_in_0:1 @ 0x7fd7] tb:1/48000 samplefmt:fltp samplerate:48000 chlayout:stereo',
      '[graph_-1_in_0:1 @ 0x7fd8] tb:1/48000 samplefmt:fltp samplerate:48000 chlayout:stereo',
      '[Parsed_blackdetect_1 @ 0x7fd7] black_min_duration:0 pixel_black_th:0.100000',
      '[Parsed_blackdetect_1 @ 0x7fd7] black_start:0 black_end:2 black_duration:2',
      '[mpegts @ 0x560b] New audio stream 0:3 at pos:472256 and DTS:15.3787s',
    ];
    const again =
      '[af#0:0 @ 0x4374] Reconfiguring filter graph because audio parameters changed to 48000 Hz, 5.1(side), fltp';
    const found = parseFfmpegLog(log.join('\n'));
    assert.deepEqual(
      [found?.blackSeconds.get('output'), found?.audioChanges, [...(found?.laterTracks ?? [])]],
      [2, 0, ['audio']],
    );
    assert.equal(parseFfmpegLog([...log, again].join('\n'))?.audioChanges, 1);
  });

  it('considers how much audio ffmpeg left out where parts of a recording overlap', () => {
    const left = (samples: number) =>
      `[Parsed_aresample_0 @ 0x55d1] [SWR @ 0x7f45] discarding ${samples} audio samples`;
    const log = [
      "Input #0, mpegts, from 'input.ts':",
      '  Stream #0:0[0x100]: Video: h264, yuv420p, 64x64, 25 fps',
      '  Stream #0:1[0x101]: Audio: ac3, 48000 Hz, stereo, fltp, 192 kb/s',
    ];
    // As much as 10 seconds is no overlap, but audio that the output lacks.
    const more = [left(4800), '    Last message repeated 3 times', left(480_000), left(2400)];
    assert.equal(parseFfmpegLog([...log, ...more].join('\n'))?.overlapSeconds, 0.45);
    assert.equal(parseFfmpegLog(log.join('\n'))?.overlapSeconds, 0);
  });

  it('considers where ffmpeg stops reading an Ogg file, although it succeeds', () => {
    const error = '@ 0x555d10782d40] Error during demuxing: Not yet implemented in FFmpeg, patches welcome';
    const log = (format: string, ...more: string[]) =>
      parseFfmpegLog(
        [`Input #0, ${format}, from 'input':`, '  Stream #0:0: Audio: opus, 48000 Hz', ...more].join('\n'),
      );
    const statement = log('ogg', `[in#0/ogg ${error}`) ?? assert.fail();
    assert.deepEqual(proveByStatement(statement, { file: 'joined.opus', proof: 'audio' }, 4), {
      problem: { kind: 'channelsChange', file: 'joined.opus' },
    });
    assert.equal(log('ogg')?.stopsAtChange, false);
    assert.equal(log('ogg', `    title : ${error}`)?.stopsAtChange, false);
    assert.equal(log('avi', `[in#0/avi ${error}`)?.stopsAtChange, false);
  });

  it('is a whole line of the log, without the part of ffmpeg that wrote it', () => {
    for (const [, log] of lines) {
      const line = failureIn(log)?.line ?? '';
      assert.ok(line !== '' && log.includes(line) && !line.startsWith('['), log);
    }
    assert.equal(failureIn(''), undefined);
    assert.equal(failureIn('Conversion failed!\n'), undefined);
    const statistics =
      'Output file #0 (o.mp3):\n  Total: 5 packets (134 bytes) muxed\n[AVIOContext @ 0x5581] Statistics: 9 bytes read, 0 seeks';
    assert.equal(failureIn(statistics), undefined);
    assert.deepEqual(failureIn('something else\n'), { line: 'something else' });
  });
});
