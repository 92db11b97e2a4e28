import { env, l10n } from 'vscode';
import type { WholeReason } from '../../core/media/cut/parts';
import type { PlanNote } from '../../core/plan/plan';
import type { Adaptation } from '../../core/presets/adaptations';
import { roughly } from './costWords';
import { count } from './numbers';

/** Describes a decision of the plan that the user may want to know about. */
export function noteSentence(note: PlanNote): string {
  switch (note.kind) {
    case 'renamed':
      return l10n.t(
        'The output of {0} is named {1} because another output has its usual name.',
        note.file,
        note.name,
      );
    case 'trackChosen':
      return l10n.t('{0} has {1} audio tracks. Only track {2} is used.', note.file, note.tracks, note.track);
    case 'tracksPaired':
      return note.tracks === 2
        ? l10n.t('{0} has two mono tracks. They become one stereo track.', note.file)
        : l10n.t('{0} has {1} mono tracks. Tracks 1 and 2 become one stereo track.', note.file, note.tracks);
    case 'tracksMixed':
      return l10n.t('{0} has {1} audio tracks. They are mixed into one.', note.file, note.tracks);
    case 'tracksSplit':
      return l10n.t(
        '{0} has {1} audio tracks. Each becomes a file in the folder {2}.',
        note.file,
        note.tracks,
        note.folder,
      );
    case 'subtitlesSplit':
      return l10n.t('{0} has {1} text subtitle tracks. Each becomes a file.', note.file, note.tracks);
    case 'adapted':
      return adaptationSentence(note.file, note.adaptation);
    case 'split':
      return l10n.t('{0} is transcoded in {1} parts on several nodes.', note.file, count(note.parts));
    case 'notSplit':
      return l10n.t('{0} is transcoded on one node: {1}', note.file, wholeReason(note.reason));
    case 'tooLongForTask':
      return l10n.t(
        '{0} probably takes {1} to transcode, but its task is terminated after {2}. Raise the limit in the settings (batchTranscode.task.timeLimitMinutes).',
        note.file,
        roughly(note.minutes),
        roughly(note.limit),
      );
    case 'tooLongForJob':
      return l10n.t(
        'The run probably takes {0}, but a job is terminated after 7 days. Choose more nodes or fewer files.',
        roughly(note.minutes),
      );
    case 'languageMissing':
      return l10n.t('{0} has no audio track in {1}. The default track is used.', note.file, note.language);
  }
}

function adaptationSentence(file: string, adaptation: Adaptation): string {
  switch (adaptation.kind) {
    case 'toneMapped':
      return l10n.t('{0} is HDR. The output is SDR (BT.709).', file);
    case 'dolbyVisionLost':
      return l10n.t('{0} is in Dolby Vision. The output has its base layer (HDR10, HLG, or SDR) only.', file);
    case 'hdr10PlusLost':
      return l10n.t('{0} is in HDR10+. The output is HDR10, without its dynamic metadata.', file);
    case 'videoChosen':
      return l10n.t('{0} has {1} video tracks. Only the first is used.', file, adaptation.tracks);
    case 'downmixed':
      return l10n.t('{0} has {1} audio channels. The output is stereo.', file, adaptation.channels);
    case 'reencoded':
      return l10n.t(
        "{0} has tracks that don't fit into an MP4 ({1}). They are re-encoded.",
        file,
        listOf(adaptation.codecs),
      );
    case 'editsApplied':
      return l10n.t(
        '{0} was edited without re-encoding (edit list). The edited tracks are re-encoded.',
        file,
      );
    case 'leftOut':
      return l10n.t("{0} has tracks that the output can't contain: {1}.", file, listOf(adaptation.tracks));
    case 'chaptersLost':
      return l10n.t("{0} has chapters. The output format can't contain them.", file);
  }
}

/** Names of codecs and tracks, in the way of the user's language. */
function listOf(names: readonly string[]): string {
  return new Intl.ListFormat(env.language, { type: 'conjunction' }).format(names);
}

/** Why a video isn't split. */
function wholeReason(reason: WholeReason): string {
  switch (reason) {
    case 'short':
      return l10n.t('It is short.');
    case 'format':
      return l10n.t("Its format can't be cut without re-encoding.");
    case 'index':
      return l10n.t('Its index is missing, damaged, or too large.');
    case 'keyFrames':
      return l10n.t('It has too few key frames to be cut.');
    case 'openGop':
      return l10n.t(
        "Its key frames depend on the frames before them (open GOP), so it can't be cut without loss.",
      );
    case 'edits':
      return l10n.t('Its edit list joins, repeats, or slows down parts of it.');
    case 'clock':
      return l10n.t('Its timestamps jump or start again, as in joined recordings.');
    case 'encrypted':
      return l10n.t('It is encrypted.');
  }
}
