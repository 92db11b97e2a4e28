import { l10n } from 'vscode';
import type { PlanNote } from '../../core/plan/plan';

/** What a person would like to know of the plan, in a sentence. */
export function noteSentence(note: PlanNote): string {
  switch (note.kind) {
    case 'renamed':
      return l10n.t('The output of {0} is called {1}, since its usual name is taken.', note.file, note.name);
    case 'trackChosen':
      return l10n.t(
        '{0} has {1} audio tracks: track {2} is used, the others are left out.',
        note.file,
        note.tracks,
        note.track,
      );
    case 'tracksSplit':
      return l10n.t(
        '{0} has {1} audio tracks: each gets a file in the folder {2}.',
        note.file,
        note.tracks,
        note.folder,
      );
    case 'languageMissing':
      return l10n.t('{0} has no audio track in {1}: the default one is used.', note.file, note.language);
  }
}
