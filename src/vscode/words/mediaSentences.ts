import { l10n } from 'vscode';
import type { Problem } from '../../core/errors';
import { failureWords } from './ffmpegReasons';
import { duration } from './numbers';
import { withDetail } from './problemWords';

const kinds = [
  'noAudioTrack',
  'noVideoTrack',
  'noSubtitleTrack',
  'notMedia',
  'playlist',
  'referenceMovie',
  'cutOff',
  'protectedContent',
  'dolbyVisionOnly',
  'animatedWebp',
  'pictureSubtitles',
  'audioUndecodable',
  'lfsPointer',
  'transcodeFailed',
  'outputDamaged',
  'sourceDamaged',
  'outputBlank',
  'tracksChange',
  'channelsChange',
] as const;

/** What is wrong with the content of a file, or with the output that ffmpeg made of it. */
export type MediaProblem = Extract<Problem, { kind: (typeof kinds)[number] }>;

export function isMediaProblem(problem: Problem): problem is MediaProblem {
  return kinds.some((kind) => kind === problem.kind);
}

export function mediaSentence(problem: MediaProblem): string {
  switch (problem.kind) {
    case 'noAudioTrack':
      return l10n.t(
        '{0} has no audio track. This preset requires one. Choose another preset for this file.',
        problem.file,
      );
    case 'noVideoTrack':
      return l10n.t(
        '{0} has no video track. This preset requires one. Choose another preset for this file.',
        problem.file,
      );
    case 'noSubtitleTrack':
      return l10n.t(
        '{0} has no subtitle track. This preset requires one. Choose another preset for this file.',
        problem.file,
      );
    case 'notMedia':
      return withDetail(
        l10n.t("{0} isn't a media file, or it's damaged and can't be read.", problem.file),
        problem.detail,
      );
    case 'playlist':
      return l10n.t(
        "{0} is a playlist: it names other files, which the nodes don't have. Select the media files themselves.",
        problem.file,
      );
    case 'referenceMovie':
      return l10n.t(
        '{0} is a reference movie: its media is in other files. Export it as a self-contained movie.',
        problem.file,
      );
    case 'cutOff':
      return l10n.t(
        '{0} is incomplete: its index, which is written last, is missing. Copy or record the file again.',
        problem.file,
      );
    case 'animatedWebp':
      return l10n.t(
        "{0} is an animated WebP, which ffmpeg can't decode. Convert it to GIF or APNG first.",
        problem.file,
      );
    case 'dolbyVisionOnly':
      return l10n.t(
        "{0} is in Dolby Vision profile 5, whose colors ffmpeg can't reproduce. Use a copy in HDR10, HLG, or SDR.",
        problem.file,
      );
    case 'protectedContent':
      return l10n.t(
        "{0} is copy-protected (DRM), so ffmpeg can't decode it. Use an unprotected copy.",
        problem.file,
      );
    case 'pictureSubtitles':
      return l10n.t(
        "The subtitles of {0} are pictures ({1}), which can't be converted to text. Use a file with text subtitles.",
        problem.file,
        problem.codec,
      );
    case 'audioUndecodable':
      return l10n.t(
        "The audio of {0} is in {1}, which ffmpeg can't decode. Use a copy with other audio.",
        problem.file,
        problem.codec,
      );
    case 'lfsPointer':
      return l10n.t(
        '{0} is a Git LFS pointer, not the file itself. Run “git lfs pull” to download the file.',
        problem.file,
      );
    case 'transcodeFailed':
      return failureWords(problem)
        ? l10n.t('ffmpeg failed on {0}: {1}', problem.file, failureWords(problem) ?? '')
        : l10n.t('ffmpeg failed on {0} with exit code {1}.', problem.file, problem.exitCode ?? '?');
    case 'outputDamaged':
      return problem.expectedSeconds === undefined || problem.actualSeconds === undefined
        ? l10n.t("The output of {0} is damaged and can't be read. Retry the file.", problem.file)
        : l10n.t(
            'The output of {0} is incomplete: {1} of {2}. The source might be cut short or damaged.',
            problem.file,
            duration(problem.actualSeconds * 1000),
            duration(problem.expectedSeconds * 1000),
          );
    case 'sourceDamaged':
      return withDetail(
        problem.share === undefined || problem.share < 0.005
          ? l10n.t("Parts of {0} are damaged and couldn't be decoded.", problem.file)
          : l10n.t(
              "{0} is damaged: {1}% of it couldn't be decoded.",
              problem.file,
              Math.round(problem.share * 100),
            ),
        problem.line,
      );
    case 'tracksChange':
      return l10n.t(
        "Some audio or video of {0} is in tracks that begin in the middle of the file, and isn't in the output. Cut the file where they begin, and transcode the parts.",
        problem.file,
      );
    case 'channelsChange':
      if (problem.lostSeconds === undefined) {
        return l10n.t(
          "The channels or the sample rate of {0} change, and ffmpeg can't read the file beyond that. Cut the file there, and transcode the parts.",
          problem.file,
        );
      }
      return l10n.t(
        'The number of channels of {0} changes, and this preset lost {1} of audio there. Transcode the file to WAV, and then the WAV with this preset.',
        problem.file,
        duration(problem.lostSeconds * 1000),
      );
    case 'outputBlank':
      return problem.what === 'audio'
        ? l10n.t(
            "The output of {0} is silent, but its source isn't. Try another preset or audio track.",
            problem.file,
          )
        : l10n.t("The output of {0} is black, but its source isn't. Try another preset.", problem.file);
  }
}
