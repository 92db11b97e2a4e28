import { l10n } from 'vscode';
import type { Problem } from '../../core/errors';
import {
  diskFullWords,
  folderMissingWords,
  folderReadOnlyWords,
  leftOutWords,
  withDetail,
} from './problemWords';
import type { Words } from './remedy';

const kinds = [
  'nothingChosen',
  'noMedia',
  'emptyFile',
  'presetNotFor',
  'fileMissing',
  'fileDenied',
  'fileChanged',
  'fileFailed',
  'outputExists',
  'folderReadOnly',
  'outputReadOnly',
  'folderMissing',
  'diskFull',
] as const;

/** What keeps the files and folders of this machine from being read or written. */
type FileProblem = Extract<Problem, { kind: (typeof kinds)[number] }>;

export function isFileProblem(problem: Problem): problem is FileProblem {
  return kinds.some((kind) => kind === problem.kind);
}

export function fileWords(problem: FileProblem): Words {
  switch (problem.kind) {
    case 'nothingChosen':
      return [l10n.t('No media files selected. Select media files or a folder in the Explorer.')];
    case 'noMedia':
      return [
        withDetail(
          l10n.t(
            'No media files found in {0}. If they have other file extensions, add the extensions in the settings.',
            problem.folder,
          ),
          leftOutWords(problem),
        ),
        'openMediaSettings',
      ];
    case 'emptyFile':
      return [l10n.t('{0} is empty (0 bytes). Copy or record the file again.', problem.file)];
    case 'presetNotFor':
      return [
        l10n.t(
          "The preset {0} doesn't support {1}. It supports {2} only.",
          problem.preset,
          problem.file,
          problem.inputs.map((input) => `.${input}`).join(', '),
        ),
      ];
    case 'fileMissing':
      return [l10n.t('{0} no longer exists.', problem.file)];
    case 'fileDenied':
      return [l10n.t("Couldn't read {0}: access denied. Check the file's permissions.", problem.file)];
    case 'fileChanged':
      return [
        l10n.t(
          "Couldn't upload {0}: the file changed during the upload. Run the transcode again when the file is complete.",
          problem.file,
        ),
      ];
    case 'fileFailed':
      return [l10n.t("Couldn't read or write {0}: {1}", problem.file, problem.detail)];
    case 'outputExists':
      return [l10n.t("{0} already exists and wasn't replaced.", problem.file)];
    case 'folderReadOnly':
      return [folderReadOnlyWords(problem)];
    case 'outputReadOnly':
      return [
        l10n.t(
          "Outputs can't be saved in {0}, because it's read-only. Change its permissions, or choose another folder for the outputs (batchTranscode.output.folder).",
          problem.folder,
        ),
      ];
    case 'folderMissing':
      return [folderMissingWords(problem)];
    case 'diskFull':
      return [diskFullWords(problem)];
  }
}
