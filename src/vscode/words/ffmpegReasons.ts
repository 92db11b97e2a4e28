import { l10n } from 'vscode';
import type { Problem } from '../../core/errors';
import type { FailureReason } from '../../core/failureReasons';

/** The meaning of each known failure, and what to do about it. */
const sentences: Readonly<Record<FailureReason, (subject: string) => string>> = {
  diskFull: () =>
    l10n.t('The disk of the node is full. Use a VM size with a larger disk, or fewer tasks per node.'),
  readOnlyDisk: () => l10n.t('The disk of the node is read-only.'),
  outOfMemory: () => l10n.t('The node ran out of memory. Use a larger VM size, or fewer tasks per node.'),
  killed: () => l10n.t('ffmpeg was killed. The node might have run out of memory.'),
  missingLibrary: (subject) => l10n.t('The ffmpeg on the node lacks the library {0}.', subject),
  noFfmpeg: () => l10n.t("ffmpeg isn't installed on the node."),
  packageLocked: () => l10n.t('Another installation on the node holds a lock. Try again.'),
  packageMissing: (subject) => l10n.t('The node found no package {0}.', subject),
  packageDownload: () =>
    l10n.t("The node couldn't download packages. Its network might block the package server."),
  packagesBroken: () => l10n.t('The package installation on the node is broken.'),
  noIndex: () =>
    l10n.t('The file is incomplete: its index (moov) is missing. Copy or record the file again.'),
  encrypted: () => l10n.t('The file is encrypted.'),
  headerDamaged: () => l10n.t('The header of the file is damaged.'),
  unknownCodec: (subject) => l10n.t('ffmpeg has no decoder for the codec {0} of the file.', subject),
  notImplemented: () => l10n.t("The file uses a feature that ffmpeg doesn't support."),
  noParameters: (subject) =>
    l10n.t(
      "ffmpeg couldn't determine the properties of the {0} track. The file might be incomplete.",
      subject,
    ),
  invalidData: () => l10n.t("The file isn't a media file that ffmpeg can read, or it's damaged."),
  undecodable: () => l10n.t("ffmpeg couldn't decode the file."),
  noFrames: () => l10n.t('The file contains nothing that ffmpeg can transcode.'),
  noSuchStream: () => l10n.t('The file has no track of the type that the preset requires.'),
  missingFile: () => l10n.t("A file in the command doesn't exist on the node."),
  fileDenied: () => l10n.t("ffmpeg isn't allowed to read or write a file on the node."),
  readError: () => l10n.t('The disk of the node failed.'),
  network: () => l10n.t("ffmpeg couldn't open an address on the network."),
  protocol: () => l10n.t("The file refers to an address that ffmpeg isn't allowed to open."),
  imagePattern: () => l10n.t('The name of an image file requires a number pattern, such as %03d.'),
  unknownInputFormat: (subject) => l10n.t("ffmpeg doesn't support the input format {0}.", subject),
  unknownOption: (subject) =>
    l10n.t("ffmpeg doesn't have the option {0}. Check the arguments of the preset.", subject),
  misplacedOption: (subject) =>
    l10n.t('The option {0} is in the wrong place. Check the arguments of the preset.', subject),
  invalidValue: (subject) =>
    l10n.t("The value of {0} isn't valid. Check the arguments of the preset.", subject),
  noOutput: () => l10n.t('The command has no output file.'),
  fileExists: () => l10n.t('The output file exists on the node.'),
  unknownEncoder: (subject) => l10n.t('The ffmpeg on the node has no encoder {0}.', subject),
  unknownDecoder: (subject) => l10n.t('The ffmpeg on the node has no decoder {0}.', subject),
  noDefaultEncoder: () =>
    l10n.t('The ffmpeg on the node has no encoder for this format. Specify an encoder in the preset.'),
  experimentalEncoder: (subject) =>
    l10n.t('The codec {0} is experimental. Add -strict experimental to the preset.', subject),
  encoderPreset: () => l10n.t("The encoder doesn't have this preset or tuning."),
  encoderProfile: (subject) => l10n.t("The profile {0} doesn't support the video.", subject),
  unknownFilter: (subject) => l10n.t('The ffmpeg on the node has no filter {0}.', subject),
  filterOption: (subject) => l10n.t("A filter doesn't have the option {0}.", subject),
  filterExpression: (subject) => l10n.t("The expression {0} of a filter isn't valid.", subject),
  filterSize: () => l10n.t('A filter requires a larger picture than the video has.'),
  filterUnconnected: () => l10n.t("An output of the filter graph isn't used."),
  filterFormats: () => l10n.t('The filters have no audio or picture format in common.'),
  filterFailed: () => l10n.t("The filters of the preset don't work on this file."),
  copyFiltered: () => l10n.t("A track that is copied can't be filtered. Specify an encoder in the preset."),
  bitstreamFilter: (subject) => l10n.t('The format requires the bitstream filter {0}.', subject),
  font: () => l10n.t('The node has no font for the text.'),
  unknownOutputFormat: (subject) => l10n.t("ffmpeg doesn't recognize the output format of {0}.", subject),
  codecInContainer: (subject) =>
    l10n.t("The output format can't contain the codec {0}. Choose a preset that converts it.", subject),
  oneStreamOnly: () => l10n.t('The output format can contain only one track.'),
  subtitleKind: () => l10n.t("Picture subtitles can't be converted to text, nor text subtitles to pictures."),
  oddSize: (subject) =>
    l10n.t('The encoder requires an even width and height, but the picture is {0}.', subject),
  sizeInvalid: () => l10n.t("The encoder doesn't support this picture size."),
  frameRate: () => l10n.t("The encoder doesn't support the frame rate of the video."),
  pixelFormat: (subject) => l10n.t("The encoder doesn't support the pixel format {0}.", subject),
  sampleRate: (subject) => l10n.t("The encoder doesn't support a sample rate of {0} Hz.", subject),
  sampleFormat: (subject) => l10n.t("The encoder doesn't support the sample format {0}.", subject),
  channels: (subject) => l10n.t("The encoder doesn't support the audio channels of the file ({0}).", subject),
  bitrate: () => l10n.t("The encoder doesn't support the bitrate."),
  timestamps: () => l10n.t('The timestamps of the file are out of order.'),
  queueFull: () =>
    l10n.t(
      'The packets of the tracks are too far apart in the file. Add -max_muxing_queue_size 9999 to the preset.',
    ),
  hardware: () => l10n.t('The node has no hardware for this encoder or decoder.'),
  encoderFailed: () => l10n.t("The encoder doesn't support the audio or video of the file."),
  headerFailed: () => l10n.t("The output format doesn't support the tracks of the file."),
  invalidArgument: () => l10n.t("ffmpeg doesn't accept an argument of the preset for this file."),
};

interface Failed {
  readonly line?: string;
  readonly reason?: FailureReason;
  readonly subject?: string;
}

/** The reason of a failure in the user's language, or the line of the log if its meaning is not known. */
export function failureWords({ line, reason, subject = '?' }: Failed): string | undefined {
  return reason === undefined ? line : sentences[reason](subject);
}

/** The line of ffmpeg's log behind a reason in words; undefined if the words are that line, or if there is none. */
export function logLineOf(problem: Problem): string | undefined {
  return 'reason' in problem && problem.reason !== undefined ? problem.line : undefined;
}
