import type { Handlers } from '../../commands';
import type { ExplorerCommandId } from '../../contributions';
import { jobCommands } from './jobCommands';
import { nodeCommands } from './nodeCommands';
import type { ExplorerParts } from './parts';
import { poolCommands } from './poolCommands';
import { resourceCommands } from './resourceCommands';
import { taskCommands } from './taskCommands';

/** The commands on rows of the Accounts view. */
export function explorerCommands(parts: ExplorerParts): Handlers<ExplorerCommandId> {
  return {
    ...resourceCommands(parts),
    ...poolCommands(parts),
    ...nodeCommands(parts),
    ...jobCommands(parts),
    ...taskCommands(parts),
  };
}
