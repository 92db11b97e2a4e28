import { UserError } from '../core/errors';

/**
 * Runs `work`, which saves a file where the user chose. Messages about problems with the folder or its disk then advise to save
 * the file again; those about outputs of a run advise to fetch the outputs again.
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
