// The names that the manifest and the code share, each once. Tests compare them with package.json.

/** The prefix of everything this extension contributes: commands, settings, views, context keys. */
export const section = 'batchTranscode';

/** The publisher and name of this extension. */
export const extensionId = 'azure-batch-transcode.azure-batch-transcode';

/** The views, by their full ids. */
export const runsView = `${section}.runs`;
export const accountsView = `${section}.accounts`;

/** The media type of a list of URIs: https://www.rfc-editor.org/rfc/rfc2483#section-5 */
export const uriList = 'text/uri-list';

/** The schemes of URIs: files of tasks and nodes and blobs; autoscale formulas of pools; reports of runs; other documents. */
export const remoteScheme = 'azure-batch';
export const autoscaleScheme = 'azure-batch-autoscale';
export const reportScheme = 'azure-batch-report';
export const documentScheme = 'azure-batch-document';

/** Commands that act on rows of the Accounts view: on rows of many kinds, files and containers … */
const resourceCommandIds = [
  'copyAsJson',
  'copyId',
  'deleteContainers',
  'filterList',
  'openAsJson',
  'openAsYaml',
  'openFile',
  'openInPortal',
  'saveFile',
  'showAllContainers',
  'showOwnContainers',
  'toggleTaskGroups',
] as const;

/** … on pools, nodes, jobs and tasks. */
const poolCommandIds = ['autoscalePool', 'deletePools', 'newJob', 'resizePool', 'showHeatMap'] as const;
const nodeCommandIds = [
  'disableScheduling',
  'enableScheduling',
  'rebootNode',
  'reimageNode',
  'removeNodes',
  'showStartTaskStderr',
  'showStartTaskStdout',
] as const;
const jobCommandIds = ['deleteJobs', 'disableJob', 'enableJob', 'retryTasks', 'terminateJob'] as const;
const taskCommandIds = [
  'deleteTasks',
  'reactivateTask',
  'showStderr',
  'showStdout',
  'showTaskError',
  'tailLog',
  'terminateTask',
] as const;

export const explorerCommandIds = [
  ...resourceCommandIds,
  ...poolCommandIds,
  ...nodeCommandIds,
  ...jobCommandIds,
  ...taskCommandIds,
] as const;

export const accountCommandIds = [
  'checkFfmpeg',
  'checkConnection',
  'chooseAccount',
  'connect',
  'copyConnectionSettings',
  'openTerminal',
  'removeAccount',
  'renameAccount',
  'resetLocalAccount',
  'showServiceLog',
  'signIn',
  'startLocalService',
  'useInWorkspace',
  'useLocalAccount',
] as const;

export const runCommandIds = [
  'copyRunId',
  'exportReport',
  'forgetRun',
  'revealOutput',
  'revealSource',
  'savePartialOutput',
  'showFailures',
  'showOutputs',
  'showReport',
] as const;

export const transcodeCommandIds = [
  'attach',
  'cancelRun',
  'createSample',
  'fetch',
  'fetchJob',
  'retryFailed',
  'submit',
  'transcode',
  'transcodeWithOptions',
  'trySample',
  'upload',
] as const;

/**
 * Commands of a view as a whole. Only its items run `loadMore`. `cleanUpAccount`, `refreshAll` and `refreshRuns` are buttons in
 * the title of a view: VS Code calls those with the row that has the focus, which they ignore.
 */
export const viewCommandIds = [
  'cleanUp',
  'cleanUpAccount',
  'loadMore',
  'refresh',
  'refreshAll',
  'refreshRuns',
  'showIdlePools',
] as const;

/** Commands about the log and the documentation. Only items of the tree run `showProblem`. */
const helpCommandIds = ['openDocumentation', 'showLog', 'showProblem'] as const;

export type ResourceCommandId = (typeof resourceCommandIds)[number];
export type PoolCommandId = (typeof poolCommandIds)[number];
export type NodeCommandId = (typeof nodeCommandIds)[number];
export type JobCommandId = (typeof jobCommandIds)[number];
export type TaskCommandId = (typeof taskCommandIds)[number];
export type ExplorerCommandId = (typeof explorerCommandIds)[number];
export type AccountCommandId = (typeof accountCommandIds)[number];
export type RunCommandId = (typeof runCommandIds)[number];
export type TranscodeCommandId = (typeof transcodeCommandIds)[number];
export type ViewCommandId = (typeof viewCommandIds)[number];

/** Every command of this extension, without its prefix. */
export const commandIds = [
  ...explorerCommandIds,
  ...accountCommandIds,
  ...runCommandIds,
  ...transcodeCommandIds,
  ...viewCommandIds,
  ...helpCommandIds,
] as const;

export type CommandId = (typeof commandIds)[number];

/** The full id of a command, as VS Code knows it: `batchTranscode.transcode`. */
export function commandName(id: CommandId): string {
  return `${section}.${id}`;
}

/** What the `when` clauses of the manifest can ask for, without the prefix. */
export interface ContextKeys {
  hasAccounts: boolean;
  /** An account has keys or a sign-in that can be renewed. */
  hasCredentials: boolean;
  /** A run has files that failed or were refused. */
  hasFailures: boolean;
  /** This window works on a run. */
  hasLiveRuns: boolean;
  hasLocalAccount: boolean;
  hasOutputs: boolean;
  /** A run has files that can be transcoded again: they failed, were refused, or a cancellation ended them. */
  hasRetryable: boolean;
  hasRuns: boolean;
  /** Extensions of the setting `media.extensions`, each with a dot, in lower and in upper case. */
  mediaExtensions: readonly string[];
  /** Paths of the `.ts` and `.mts` files that are transport streams. */
  transportStreams: readonly string[];
}

/** Without the prefix. `satisfies` keeps the list complete. */
export const contextKeys = Object.keys({
  hasAccounts: true,
  hasCredentials: true,
  hasFailures: true,
  hasLiveRuns: true,
  hasLocalAccount: true,
  hasOutputs: true,
  hasRetryable: true,
  hasRuns: true,
  mediaExtensions: true,
  transportStreams: true,
} satisfies Record<keyof ContextKeys, true>);
