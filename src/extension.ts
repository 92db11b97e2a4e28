import { join } from 'node:path';
import { type ExtensionContext, window, workspace } from 'vscode';
import type { AccountRecord } from './core/azure/account';
import type { Problem } from './core/errors';
import { accountCommands } from './vscode/accounts/accountCommands';
import { AccountContext } from './vscode/accounts/accountContext';
import { Accounts, localAccountId } from './vscode/accounts/accounts';
import { LocalService } from './vscode/accounts/localService';
import { background, reportFailuresTo } from './vscode/background';
import { registerLanguageTools } from './vscode/chat/languageTools';
import { LeftoverOffer } from './vscode/cleanUp/leftoverOffer';
import { Commands } from './vscode/commands';
import { runsView } from './vscode/contributions';
import { Documents, documentScheme } from './vscode/documents';
import { AccountsView } from './vscode/explorer/accountsView';
import { AutoscaleDocuments, autoscaleScheme } from './vscode/explorer/commands/autoscaleDocument';
import { explorerCommands } from './vscode/explorer/commands/explorerCommands';
import { viewCommands } from './vscode/explorer/commands/viewCommands';
import { ExplorerData } from './vscode/explorer/explorerData';
import { IdleWatch } from './vscode/explorer/idleWatch';
import { RemoteFiles, remoteScheme } from './vscode/explorer/remoteFiles';
import { HeatMapLoader } from './vscode/heatMap/heatMapLoader';
import { LastingTreeView } from './vscode/lastingTreeView';
import { Reports, reportScheme } from './vscode/runs/report';
import { runCommands } from './vscode/runs/runCommands';
import { RunContext } from './vscode/runs/runContext';
import { RunCosts } from './vscode/runs/runCosts';
import { RunHistory } from './vscode/runs/runHistory';
import { Runs } from './vscode/runs/runs';
import { RunsTree } from './vscode/runs/runsTree';
import { StatusBar } from './vscode/runs/statusBar';
import { Secrets } from './vscode/secrets';
import { MediaContext } from './vscode/transcode/mediaContext';
import { RunWork } from './vscode/transcode/runWork';
import { Transcode } from './vscode/transcode/transcode';
import { resumeInterrupted, transcodeCommands } from './vscode/transcode/transcodeCommands';
import { TransportStreams } from './vscode/transcode/transportStreams';

/** Builds the parts, wires them and registers the commands. The Azure SDKs are loaded when they are first used. */
export function activate(context: ExtensionContext): void {
  const { extensionPath, extensionUri, globalState, globalStorageUri, subscriptions, workspaceState } =
    context;
  const storage = globalStorageUri.fsPath;
  const log = window.createOutputChannel('Azure Batch Transcode', { log: true });
  const commands = new Commands(log);
  reportFailuresTo((error) => commands.show(error));

  const secrets = new Secrets(context.secrets);
  const localService = new LocalService(
    join(extensionPath, 'dist/service.js'),
    join(storage, 'local'),
    secrets,
    log,
  );
  const accounts = new Accounts(globalState, secrets, localService, log);
  const documents = new Documents(workspaceState);
  const connect = { accounts, secrets, documents };

  const runs = new Runs(workspaceState, log, join(storage, 'claims'));
  const costs = new RunCosts(workspaceState, globalState, log);
  const runsTree = new RunsTree(runs, accounts);
  const runsTreeView = new LastingTreeView(runsView, { treeDataProvider: runsTree });
  const isVisible = () => runsTreeView.visible;
  const history = new RunHistory({ accounts, runs, runsTree, costs, log, isVisible });
  const reports = new Reports(accounts, runs, costs);
  const work = new RunWork(accounts, runs);
  const transcode = new Transcode(connect, runs, work, costs, commands, workspaceState);

  const explorerData = new ExplorerData(accounts);
  const accountsView = new AccountsView(accounts, explorerData, runs);
  const heatMaps = new HeatMapLoader(explorerData, accountsView, extensionUri);
  const autoscale = new AutoscaleDocuments(accounts, explorerData, accountsView);
  const cleanUp = (account: AccountRecord) => work.cleanUp(account, {});
  const leftoverOffer = new LeftoverOffer({ accounts, runs, state: globalState, log, cleanUp });
  const idleWatch = new IdleWatch(accounts, runs, accountsView);

  subscriptions.push(
    ...[
      log,
      accounts,
      runs,
      reports,
      runsTree,
      history,
      accountsView,
      heatMaps,
      autoscale,
      idleWatch,
      leftoverOffer,
    ],
    ...[new StatusBar(runs), new RunContext(runs), new AccountContext(accounts)],
    ...[new MediaContext(), new TransportStreams()],
    runsTreeView,
    runsTreeView.onDidChangeVisibility(() => background(history.shown())),
    workspace.registerFileSystemProvider(remoteScheme, new RemoteFiles(accounts, explorerData), {
      isReadonly: true,
    }),
    workspace.registerFileSystemProvider(autoscaleScheme, autoscale),
    workspace.registerTextDocumentContentProvider(reportScheme, reports),
    workspace.registerTextDocumentContentProvider(documentScheme, documents),
    registerLanguageTools(accounts, explorerData, runs, transcode),
    commands.register({
      ...accountCommands({ ...connect, localService, onLocalReset: () => runs.merge(localAccountId, []) }),
      ...explorerCommands({
        accounts,
        data: explorerData,
        accountsView,
        documents,
        autoscale,
        showHeatMap: (pool) => heatMaps.show(pool),
      }),
      ...runCommands({ accounts, runs, runsTree, reports }),
      ...transcodeCommands({ ...connect, runs, work, transcode }),
      ...viewCommands({ ...connect, runs, explorerData, accountsView, idleWatch }),
      showProblem: (problem: Problem) => commands.showProblem(problem),
      showLog: () => log.show(),
      openDocumentation: async (page?: string) =>
        (await import('./vscode/documentation')).openDocumentation(extensionUri, page),
    }),
    accountsView.onDropped((dropped) => background(transcode.transcodeDropped(dropped))),
    runs.onTrouble(({ runId, problem }) => {
      const telling = import('./vscode/transcode/tellTrouble');
      background(telling.then(({ tellTrouble }) => tellTrouble(runs, runId, problem)));
    }),
    workspace.onDidGrantWorkspaceTrust(() => background(resumeInterrupted(runs, work, commands))),
  );
  background(resumeInterrupted(runs, work, commands));
}
