import type { FailureReason } from '../failureReasons';
import { linesOf } from '../media/probe/ffmpegLog';

/*
 * Why ffmpeg, or the installation of ffmpeg by a start task, failed, from the log. Wordings of ffmpeg 4.4 to 8.
 */

export interface Failure {
  /** The line that says why, without the name and address of the part of ffmpeg that wrote it. */
  readonly line: string;
  /** Undefined for a line that is not known. */
  readonly reason?: FailureReason;
  /** What the line names: an encoder, a size. */
  readonly subject?: string;
}

/** The most specific first: one failure makes ffmpeg write several lines. The first group that matched is the subject. */
const known: readonly (readonly [FailureReason, RegExp])[] = [
  ['diskFull', /no space left on device/i],
  ['readOnlyDisk', /read-only file system/i],
  ['outOfMemory', /cannot allocate memory|out of memory|malloc of size \d+ failed|std::bad_alloc/i],
  ['missingLibrary', /error while loading shared libraries: ([^:\s]+)/],
  [
    'noFfmpeg',
    /ffmpeg: (?:command )?not found|exec(?:utable)?[^\n]*"?ffmpeg"?[^\n]*(?:not found|No such file)/,
  ],
  ['packageLocked', /could not get lock (\S+)/i],
  ['packageLocked', /unable to (?:acquire|lock) /i],
  ['packageMissing', /unable to locate package (\S+)|package '?(\S+?)'? has no installation candidate/i],
  [
    'packageDownload',
    /temporary failure resolving '([^']+)'|could not resolve '?([^'\s]+)|failed to fetch (\S+)|unable to fetch|could not connect to (\S+)/i,
  ],
  ['packagesBroken', /dpkg was interrupted|unable to correct problems|unmet dependencies/i],

  [
    'hardware',
    /cannot load (lib(?:cuda|nvidia)\S*|nvcuda\S*)|no (?:nvenc )?capable devices found|failed to initiali[sz]e vaapi|openencodesessionex failed|error creating a? ?(?:mfx|qsv) session|(?:device creation failed|no device available for|device setup failed)/i,
  ],
  ['experimentalEncoder', /the (?:encoder|decoder) '([^']+)' is experimental/i],
  ['unknownEncoder', /unknown encoder '([^']+)'|encoder \(codec ([^)]+)\) not found/i],
  ['noDefaultEncoder', /(?:automatic encoder selection failed\W*)?default encoder for format (\S+)/i],
  ['unknownDecoder', /unknown decoder '([^']+)'|decoder \(codec ([^)]+)\) not found/i],
  [
    'unknownCodec',
    /no decoder found for: (\S+)|codec (?:id )?(\S+) (?:is )?not supported by (?:the )?decoder/i,
  ],
  ['unknownFilter', /no such filter: '([^']*)'|filter '([^']+)' not found/i],
  [
    'filterOption',
    /^Option '([^']+)' not found|error applying option '([^']+)' to filter|error applying options to the filter/i,
  ],
  [
    'invalidValue',
    /invalid duration (?:specification for|for option) ([^:]+)|value \S+ for parameter '((?!dst)[^']+)' out of range|unable to parse option value "([^"]*)"|error setting option (\S+) to value|expected \S+ for (\S+) but found|invalid (?:stream specifier|file index|frame size|framerate|loglevel|sample format)[:\s]+'?([^'\s]+)/i,
  ],
  [
    'filterExpression',
    /undefined constant or missing '\(' in '([^']*)'|error when evaluating the expression '([^']*)'|(?:missing '\)'|invalid chars) .*'([^']*)'/i,
  ],
  [
    'filterSize',
    /invalid too big or non positive size for (.+)|^padded dimensions cannot be smaller than input dimensions/i,
  ],
  [
    'filterUnconnected',
    /has an unconnected output|has output \d+ \((\S+)\) unconnected|output \S+ (?:of \S+ )?(?:is )?unconnected/i,
  ],
  [
    'font',
    /cannot find a valid font|could not load font|no font filename provided|cannot load default config file/i,
  ],
  ['misplacedOption', /option (\S+) \(.*\) cannot be applied to/i],
  ['unknownOption', /unrecognized option '([^']+)'|unknown option '?([^'\s]+)/i],
  ['unknownOption', /error splitting the argument list/i],
  ['encoderPreset', /error setting (?:preset|tune)[^']*'?([^'\s]*)|possible (?:presets|tunes):/i],
  ['encoderProfile', /(\S+) profile doesn't support|error setting profile (\S+)|possible profiles:/i],
  ['noOutput', /at least one output file must be specified/i],
  ['fileExists', /file '([^']+)' already exists/i],

  [
    'noSuchStream',
    /stream map '?([^'\s]*)'? matches no streams|does not contain any stream|stream specifier '?([^'\s]*)'? .*matches no streams/i,
  ],
  [
    'copyFiltered',
    /filtering and streamcopy cannot be used together|streamcopy requested for output stream/i,
  ],
  ['subtitleKind', /subtitle encoding currently only possible from text to text or bitmap to bitmap/i],
  [
    'codecInContainer',
    /could not find tag for codec (\S+) in stream|codec not currently supported in container|muxing (\S+) at \d+hz is not standard|tag (\S+) incompatible with output codec|unsupported codec id in stream|only (vp8 or vp9 .*) are supported|codec (\S+) (?:is )?not (?:currently )?supported (?:in|by) (?:this )?(?:container|format|muxer)/i,
  ],
  [
    'oneStreamOnly',
    /exactly one \S+ (?:audio |video )?stream|have exactly one stream|(?:supports|only) (?:a single|one|1) (?:audio |video )?stream|multiple streams are not supported|does not support more than one stream/i,
  ],
  ['bitstreamFilter', /use the (?:audio|video) bitstream filter '?(\w+)/i],
  [
    'oddSize',
    /(?:width|height) not divisible by \d+ \((\d+x\d+)\)|(?:width|height) must be (?:a )?multiple of/i,
  ],
  [
    'frameRate',
    /does not support (\S+) fps|timebase \S+ not supported by mpeg ?4|framerate not set|frame ?rate (\S+) (?:is )?not supported/i,
  ],
  [
    'sizeInvalid',
    /picture size (\d+x\d+) is invalid|picture size invalid \((\d+x\d+)\)|dimensions (?:not set|too large)|invalid video size|value 0\.0+ for parameter 'dst[wh]'|resolution (\d+x\d+) .*not supported|the specified picture size of (\d+x\d+) is not valid/i,
  ],
  [
    'pixelFormat',
    /specified pixel format (\S+) is (?:invalid or )?not supported|encoder (?:\S+ )?does not support pixel format (\S+)|no pixel format specified|unsupported pixel format:? (\S+)/i,
  ],
  [
    'sampleRate',
    /specified sample rate (\d+) is not supported|(?:unsupported|invalid) (?:sample|sampling) rate:? (\d+)|(?:sample|sampling) rate (\d+)(?: hz)? (?:is )?not supported/i,
  ],
  ['sampleFormat', /specified sample format (\S+) is (?:invalid or )?not supported/i],
  [
    'channels',
    /(\d+) channels not supported|invalid channel layout (\S+)|specified channel layout '?([^']+)'? is not supported|unsupported (?:channel layout|number of channels)\W*(\S*)|channel layout '?([^'\s]+)'? (?:is )?not supported|only mono or stereo/i,
  ],
  [
    'filterFormats',
    /cannot select channel layout for the link|impossible to convert between the formats|could not choose their formats/i,
  ],
  [
    'bitrate',
    /bitrate (?:\S+ )?(?:is )?(?:too (?:low|high)|not (?:allowed|supported))|bitrate .* is extremely|unsupported bitrate/i,
  ],
  ['queueFull', /too many packets buffered for output stream/i],
  [
    'timestamps',
    /can't write packet with unknown timestamp|invalid, non monotonically increasing dts to muxer|pts \(\S+\) < dts \(\S+\)|first pts value must be set/i,
  ],
  [
    'imagePattern',
    /does not contain an image sequence pattern|could not get frame filename number|could find no file with path/i,
  ],
  ['unknownInputFormat', /unknown input format: '?([^'\s]+)/i],
  [
    'unknownOutputFormat',
    /unable to (?:find a suitable|choose an) output format for '([^']+)'|requested output format '([^']+)'|unknown output format '?([^'\s]+)/i,
  ],

  ['noIndex', /moov atom not found/i],
  [
    'encrypted',
    /(?:stream|file|content) is encrypted|drm[- ]protected|encrypted (?:asf|stream)|decryption key|unable to decrypt/i,
  ],
  [
    'headerDamaged',
    /ebml header parsing failed|header error|: could not find codec parameters$|error reading header|could not read header|failed to read (?:the )?header|invalid (?:wave|riff|avi|flac|ogg) header|no (?:riff|wave) tag found/i,
  ],
  [
    'notImplemented',
    /is not implemented\. update your ffmpeg|not yet implemented in ffmpeg|is not implemented in ffmpeg/i,
  ],
  ['noParameters', /could not find codec parameters for stream \d+ \(([^,)]+)/i],
  ['protocol', /protocol '([^']+)' not on whitelist|protocol not found/i],
  [
    'network',
    /connection (?:refused|timed out|reset by peer)|failed to resolve hostname ([^:\s]+)|server returned (\d\S*)|http error (\d+)|network is unreachable/i,
  ],
  ['killed', /^killed$|received signal \d+|received > \d+ system signals|immediate exit requested/i],
  ['fileDenied', /permission denied|operation not permitted/i],
  ['missingFile', /^error opening output (?!files?:)(.+): no such file or directory/i],
  ['missingFile', /^(?!error opening )(.*): no such file or directory|no such file or directory/i],
  ['readError', /input\/output error/i],
  [
    'invalidData',
    /^(?!error (?:while decoding|submitting|processing)|decoding error).*invalid data found when processing input/i,
  ],
  [
    'encoderFailed',
    /error while opening encoder|could not open encoder|error (?:initializing|opening) (?:the )?encoder/i,
  ],
  ['headerFailed', /could not write header/i],
  [
    'filterFailed',
    /error (?:re)?initializing (?:complex )?filters?|failed to inject frame into filter network|error opening filters|failed to configure \w+ pad on (\S+)|error (?:re)?configuring filter graph/i,
  ],
  // From 6.1 on, ffmpeg says this also after an encoder or filter has failed.
  [
    'noFrames',
    /nothing was encoded|nothing was written into output file|cannot determine format of input (?:stream|file).*after eof|received no packets/i,
  ],
  [
    'undecodable',
    /error while decoding stream|error submitting (?:a )?packet to (?:the )?decoder|decoding error/i,
  ],
  ['invalidArgument', /invalid argument/i],
];

/** Lines that say only that something failed, and the statistics of the level `verbose`. */
const generic =
  /^conversion failed!$|^exiting\.?$|^last message repeated|^statistics: \d|^total: \d|^(?:in|out)put (?:file #\d+ \(|stream #)|muxing overhead|^exiting with exit code|^terminating thread with return code|matches no streams; ignoring\.?$/i;

const maxLineLength = 300;

/** The four characters of a codec for which ffmpeg has no name: `Audio: none (ac-4 / 0x342D6361)`. */
function namelessCodec(lines: readonly string[]): string | undefined {
  const stream = lines.find((line) => / (Audio|Video|Subtitle): none \(/.test(line)) ?? '';
  return / none \(([^)\s]+)/.exec(stream)?.[1];
}

/** The reason of a failure in a log: not the banner, not the last "Conversion failed!". Undefined for an empty log. */
export function failureIn(log: string): Failure | undefined {
  const lines = linesOf(log)
    .map((line) => line.replace(/^(\[[^\]]* @ 0x[0-9a-f]+\] ?)+/i, '').trim())
    .filter((line) => line !== '' && !generic.test(line));
  for (const [reason, pattern] of known) {
    const line = lines.findLast((candidate) => pattern.test(candidate));
    if (line === undefined) continue;
    const subject = pattern.exec(line)?.slice(1).find(Boolean)?.replace(/\.$/, '').slice(0, maxLineLength);
    const told = { line: line.slice(0, maxLineLength), reason, subject };
    const codec = subject === 'none' ? namelessCodec(lines) : undefined;
    return codec === undefined ? told : { ...told, reason: 'unknownCodec', subject: codec };
  }
  const line =
    lines.findLast((candidate) => /\berror\b|\bfailed\b|\binvalid\b|^E: /i.test(candidate)) ?? lines.at(-1);
  return line === undefined ? undefined : { line: line.slice(0, maxLineLength) };
}
