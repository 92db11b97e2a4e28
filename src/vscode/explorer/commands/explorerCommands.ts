import type { Handlers } from '../../commands';
import { type ExplorerCommandId, explorerCommandIds } from '../../contributions';
import type { ExplorerParts } from './parts';

/** The commands on rows of the Accounts view. They are loaded when the first of them runs. */
export function explorerCommands(parts: ExplorerParts): Handlers<ExplorerCommandId> {
  let loading: Promise<Handlers<ExplorerCommandId>> | undefined;
  const handlerOf = (id: ExplorerCommandId) => {
    return async (...args: never[]) => {
      loading ??= load(parts);
      return (await loading)[id](...args);
    };
  };
  const entries = explorerCommandIds.map((id) => [id, handlerOf(id)] as const);
  return Object.fromEntries(entries) as Handlers<ExplorerCommandId>;
}

async function load(parts: ExplorerParts): Promise<Handlers<ExplorerCommandId>> {
  const [resources, pools, nodes, jobs, tasks] = await Promise.all([
    import('./resourceCommands'),
    import('./poolCommands'),
    import('./nodeCommands'),
    import('./jobCommands'),
    import('./taskCommands'),
  ]);
  return {
    ...resources.resourceCommands(parts),
    ...pools.poolCommands(parts),
    ...nodes.nodeCommands(parts),
    ...jobs.jobCommands(parts),
    ...tasks.taskCommands(parts),
  };
}
