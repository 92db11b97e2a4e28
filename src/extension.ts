import { join } from 'node:path';
import { commands, type ExtensionContext, l10n, Uri, window, workspace } from 'vscode';
import type { AccountRecord } from './core/azure/account';
import { ownMetadata } from './core/azure/ownership';
import type { Problem } from './core/errors';
import { Accounts } from './vscode/accounts/accounts';
import { LocalService } from './vscode/accounts/localService';
import { registerLanguageTools } from './vscode/chat/languageTools';
import { Commands } from './vscode/commands';
import { Documents, documentScheme } from './vscode/documents';
import { AccountsView } from './vscode/explorer/accountsView';
import { explorerCommands } from './vscode/explorer/explorerCommands';
import { ExplorerData } from './vscode/explorer/explorerData';
import type { ExplorerNode } from './vscode/explorer/explorerNode';
import type { HeatMaps } from './vscode/explorer/heatMaps';
import { IdleWatch } from './vscode/explorer/idleWatch';
import { RemoteFiles, remoteScheme } from './vscode/explorer/remoteFiles';
import type { CleanUpRequest } from './vscode/runs/cleanUp';
import { showFailures, showOutputs } from './vscode/runs/outcome';
import { Reports, reportScheme } from './vscode/runs/report';
import { Runs } from './vscode/runs/runs';
import type { RunNode } from './vscode/runs/runsTree';
import { RunsTree, runsView } from './vscode/runs/runsTree';
import { StatusBar } from './vscode/runs/statusBar';
import { Secrets } from './vscode/secrets';
import { section, settings } from './vscode/settings';
import { Transcode } from './vscode/transcode/transcode';

/** Builds the parts, wires them, registers the commands. The SDKs load when they are first used, not here. */
export function activate(context: ExtensionContext) {
  const { subscriptions, globalState, workspaceState, extensionPath, globalStorageUri } = context;
  const log = window.createOutputChannel('Azure Batch Transcode', { log: true });
  const secrets = new Secrets(context.secrets);
  const serviceFolder = join(globalStorageUri.fsPath, 'local');
  const localService = new LocalService(join(extensionPath, 'dist/service.js'), serviceFolder, secrets, log);
  const accounts = new Accounts(globalState, secrets, localService);
  const runs = new Runs(workspaceState, log, join(globalStorageUri.fsPath, 'claims'));
  const table = new Commands(log);
  const transcode = new Transcode(accounts, runs, table, workspaceState);
  const explorer = new ExplorerData(accounts);
  const tree = new AccountsView(accounts, explorer, runs);
  const addLocal = () => accounts.addLocal(l10n.t('Local Batch account'));
  const documents = new Documents();
  let heatMaps: Promise<HeatMaps> | undefined;
  const loadHeatMaps = async (): Promise<HeatMaps> => {
    const { HeatMaps } = await import('./vscode/explorer/heatMaps');
    const maps = new HeatMaps(explorer, context.extensionUri, (node) => tree.reveal(node));
    subscriptions.push(maps);
    return maps;
  };
  const runsTree = new RunsTree(runs, accounts);
  const reports = new Reports(accounts, runs);
  const idleWatch = new IdleWatch(accounts);

  subscriptions.push(
    ...[log, accounts, runs, tree, runsTree, idleWatch, documents, new StatusBar(runs)],
    workspace.registerFileSystemProvider(remoteScheme, new RemoteFiles(accounts, explorer), {
      isReadonly: true,
    }),
    workspace.registerTextDocumentContentProvider(reportScheme, reports),
    workspace.registerTextDocumentContentProvider(documentScheme, documents),
    registerLanguageTools(accounts, explorer, runs, transcode),
    tree.onDropped(
      ({ account, uris: [first, ...others] }) =>
        void transcode
          .transcode('fetched', first, first && [first, ...others], { on: account })
          .catch((error) => table.show(error)),
    ),
    runs.onTrouble(
      ({ runId, problem }) =>
        void transcode.offerDedicatedNodes(runId, problem).catch((error) => table.show(error)),
    ),
    window.createTreeView(runsView, { treeDataProvider: runsTree }),
    table.register({
      transcode: (clicked?: Uri, selected?: Uri[]) => transcode.transcode('fetched', clicked, selected),
      transcodeWithOptions: (clicked?: Uri, selected?: Uri[]) =>
        transcode.transcode('fetched', clicked, selected, { withOptions: true }),
      upload: (clicked?: Uri, selected?: Uri[]) => transcode.transcode('uploaded', clicked, selected),
      submit: (clicked?: Uri | RunNode, selected?: Uri[]) =>
        clicked && 'record' in clicked
          ? transcode.resume(clicked.record, 'submitted')
          : transcode.submit(clicked, selected),
      fetch: (node?: RunNode | Uri, selected?: Uri[]) =>
        node && 'record' in node
          ? transcode.resume(node.record, 'fetched')
          : transcode.fetch(node, Array.isArray(selected) ? selected : undefined),
      cancelRun: (node?: RunNode) => transcode.cancelRun(node?.record.runId),
      retryFailed: (node?: RunNode) => transcode.retryFailed(node?.record.runId),
      attach: () => transcode.attach(),
      showFailures: (run?: string | RunNode) => showFailures(accounts, runs, idOf(run)),
      revealOutput: (node: RunNode) => {
        const uri = runsTree.outputOf(node);
        return uri && commands.executeCommand('revealInExplorer', uri);
      },
      createSample: async () => (await import('./vscode/transcode/sample')).createSample(),
      trySample: async () => {
        const { createSample } = await import('./vscode/transcode/sample');
        const sample = await createSample();
        await transcode.transcode('fetched', sample, undefined, {
          on: accounts.current ?? (await addLocal()),
        });
      },
      showIdlePools: () => idleWatch.ask(),
      showReport: (run?: string | RunNode) => reports.show(idOf(run)),
      exportReport: (run?: string | RunNode) => reports.save(idOf(run)),
      showOutputs: (run?: string | RunNode) => showOutputs(accounts, runs, idOf(run)),
      async cleanUp(request: CleanUpRequest | ExplorerNode = {}) {
        const { cleanUp } = await import('./vscode/runs/cleanUp');
        if ('kind' in request) return 'account' in request && cleanUp(accounts, runs, request.account, {});
        const account = request.accountId ? accounts.byId(request.accountId) : await transcode.account();
        if (account) await cleanUp(accounts, runs, account, request);
      },
      connect: async () => (await connecting()).connectAccount(accounts, secrets),
      signIn: async (node?: ExplorerNode) =>
        (await connecting()).signInAccount(accounts, secrets, accountIn(node)),
      renameAccount: async (node?: ExplorerNode) =>
        (await connecting()).renameAccount(accounts, accountIn(node)),
      async checkConnection(target?: string | ExplorerNode) {
        const account = typeof target === 'string' ? accounts.byId(target) : accountIn(target);
        const checked = account ?? (await transcode.account());
        if (checked === undefined) return;
        const { checkAccount } = await import('./vscode/accounts/checkConnection');
        await checkAccount(accounts, documents, checked);
      },
      chooseAccount: async () => (await connecting()).chooseAccount(accounts),
      removeAccount: async (node?: ExplorerNode) =>
        (await connecting()).removeAccount(accounts, accountIn(node)),
      useLocalAccount: () => addLocal(),
      refresh: (node?: ExplorerNode) => tree.refresh(node),
      loadMore: (parent: ExplorerNode) => {
        explorer.more(parent);
        tree.refresh(parent);
      },
      showProblem: (problem: Problem) => table.showProblem(problem),
      showLog: () => log.show(),
      showServiceLog: () => commands.executeCommand('vscode.open', Uri.file(localService.logFile)),
      fetchJob: async (node: ExplorerNode) => {
        const runId = node.kind === 'job' ? ownMetadata(node.job.metadata, 'run') : undefined;
        if (node.kind === 'job' && runId) await transcode.fetchJob(node.account, runId);
      },
      ...explorerCommands(explorer, tree, documents, async (pool) => {
        heatMaps ??= loadHeatMaps();
        (await heatMaps).show(pool);
      }),
    }),
    workspace.onDidGrantWorkspaceTrust(() => void transcode.resumeInterrupted()),
    workspace.onDidChangeConfiguration((change) => change.affectsConfiguration(section) && setContext()),
  );
  setContext();
  void transcode.resumeInterrupted();
}

/** Loaded when somebody connects, which is rarely. */
const connecting = () => import('./vscode/accounts/connect');

function accountIn(node: ExplorerNode | undefined): AccountRecord | undefined {
  return node?.kind === 'account' ? node.account : undefined;
}

function idOf(run: string | RunNode | undefined): string | undefined {
  return typeof run === 'string' ? run : run?.record.runId;
}

/** What the `when` clauses of the manifest ask for. */
function setContext(): void {
  const extensions = settings().extensions.flatMap((extension) => [
    `.${extension.toLowerCase()}`,
    `.${extension.toUpperCase()}`,
  ]);
  void commands.executeCommand('setContext', `${section}.mediaExtensions`, extensions);
}
