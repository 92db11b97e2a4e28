import { UserError } from '../core/errors';

/**
 * Does work that saves a file where the user chose. What is wrong with the folder or its disk is then told with the advice to
 * save the file again: outputs of a run are fetched again.
 */
export async function savingFile<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { problem } = error;
    switch (problem.kind) {
      case 'folderMissing':
      case 'folderReadOnly':
      case 'diskFull':
        throw new UserError({ ...problem, isSave: true }, { cause: error });
      default:
        throw error;
    }
  }
}
