import { join } from 'node:path';
import { type ExtensionContext, window, workspace } from 'vscode';
import type { AccountRecord } from './core/azure/account';
import type { Problem } from './core/errors';
import { AccountContext } from './vscode/accounts/accountContext';
import { Accounts, localAccountId } from './vscode/accounts/accounts';
import { background, reportFailuresTo } from './vscode/background';
import { registerLanguageTools } from './vscode/chat/registerTools';
import { Commands, loadedHandlers } from './vscode/commands';
import * as contributed from './vscode/contributions';
import { Documents } from './vscode/documents';
import type { AccountsView } from './vscode/explorer/accountsView';
import type { ExplorerNode } from './vscode/explorer/explorerNode';
import { LastingTreeView } from './vscode/lastingTreeView';
import { Lazy } from './vscode/lazy/lazy';
import { LazyContent } from './vscode/lazy/lazyContent';
import { LazyFiles } from './vscode/lazy/lazyFiles';
import { LazyRows } from './vscode/lazy/lazyRows';
import { RunContext } from './vscode/runs/runContext';
import { isUnended } from './vscode/runs/runRecord';
import type { RunNode } from './vscode/runs/runRows';
import { Runs } from './vscode/runs/runs';
import { StatusBar } from './vscode/runs/statusBar';
import { Secrets } from './vscode/secrets';
import { after, every } from './vscode/timers';
import { MediaContext } from './vscode/transcode/sources/mediaContext';
import type { ShownProblem } from './vscode/words/remedy';

/** Milliseconds before the workspace is searched for transport streams, so that the window can open first. */
const transportStreamsMs = 1_000;
/** Milliseconds before the search for leftovers begins, so that it doesn't slow down the start of the window. */
const leftoversMs = 15_000;
/** Milliseconds between two checks for idle nodes. */
const idleCheckMs = 10 * 60_000;

/**
 * Builds the parts, wires them and registers what VS Code can ask for. Parts that a window may never need are loaded when they
 * are first used: the rows of the views, the commands, and the Azure SDKs.
 */
export function activate(context: ExtensionContext): void {
  const { extensionPath, extensionUri, globalState, globalStorageUri, subscriptions, workspaceState } =
    context;
  const storage = globalStorageUri.fsPath;
  const log = window.createOutputChannel('Azure Batch Transcode', { log: true });
  const commands = new Commands(log);
  reportFailuresTo((error) => commands.show(error));

  const secrets = new Secrets(context.secrets);
  const localService = new Lazy(async () => {
    const { LocalService } = await import('./vscode/accounts/localService');
    return new LocalService(join(extensionPath, 'dist/service.js'), join(storage, 'local'), secrets, log);
  });
  const accounts = new Accounts(globalState, secrets, localService, log);
  const documents = new Documents(workspaceState);
  const connect = { accounts, secrets, documents };

  const runs = new Runs(workspaceState, log, join(storage, 'claims'));
  const costs = new Lazy(async () => {
    const { RunCosts } = await import('./vscode/runs/runCosts');
    return new RunCosts(workspaceState, globalState, log);
  });
  const reports = new Lazy(async () => {
    const { Reports } = await import('./vscode/runs/report');
    return new Reports(accounts, runs, await costs.get());
  });
  const work = new Lazy(async () => {
    const { RunWork } = await import('./vscode/transcode/runWork');
    return new RunWork(accounts, runs);
  });
  const transcode = new Lazy(async () => {
    const { Transcode } = await import('./vscode/transcode/transcode');
    return new Transcode(connect, runs, await work.get(), await costs.get(), commands, workspaceState);
  });

  const runsTree = new Lazy(async () => {
    const { RunsTree } = await import('./vscode/runs/runsTree');
    return new RunsTree(runs, accounts);
  });
  const runRows = new LazyRows<RunNode>(runsTree, { hasLateTooltips: true });
  const runsView = new LastingTreeView(contributed.runsView, { treeDataProvider: runRows });
  const history = new Lazy(async () => {
    const { RunHistory } = await import('./vscode/runs/runHistory');
    const isVisible = () => runsView.visible;
    const parts = { runsTree: await runsTree.get(), costs: await costs.get() };
    return new RunHistory({ accounts, runs, log, isVisible, ...parts });
  });

  const explorerData = new Lazy(async () => {
    const { ExplorerData } = await import('./vscode/explorer/explorerData');
    return new ExplorerData(accounts);
  });
  const accountsView: Lazy<AccountsView> = new Lazy(async () => {
    const { AccountsView } = await import('./vscode/explorer/accountsView');
    return new AccountsView(accounts, await explorerData.get(), runs, accountsTreeView);
  });
  const accountRows = new LazyRows<ExplorerNode>(accountsView);
  const accountsTreeView = new LastingTreeView(contributed.accountsView, {
    treeDataProvider: accountRows,
    showCollapseAll: true,
    canSelectMany: true,
    dragAndDropController: {
      dropMimeTypes: [contributed.uriList],
      dragMimeTypes: [contributed.uriList],
      handleDrag: async (rows, data) => (await import('./vscode/explorer/dragAndDrop')).dragRows(rows, data),
      handleDrop: async (row, data) => {
        const { handleDrop } = await import('./vscode/explorer/dragAndDrop');
        await handleDrop(accounts, row, data, (dropped) =>
          transcode.use((part) => part.transcodeDropped(dropped)),
        );
      },
    },
  });
  const remoteFiles = new Lazy(async () => {
    const { RemoteFiles } = await import('./vscode/explorer/remoteFiles');
    return new RemoteFiles(accounts, await explorerData.get());
  });
  const autoscale = new Lazy(async () => {
    const { AutoscaleDocuments } = await import('./vscode/explorer/commands/autoscaleDocument');
    return new AutoscaleDocuments(accounts, await explorerData.get(), await accountsView.get());
  });
  const heatMaps = new Lazy(async () => {
    const { HeatMaps } = await import('./vscode/heatMap/heatMaps');
    return new HeatMaps(await explorerData.get(), await accountsView.get(), extensionUri);
  });
  const idleWatch = new Lazy(async () => {
    const { IdleWatch } = await import('./vscode/explorer/idleWatch');
    const update = (account: AccountRecord) => accountsView.use((view) => view.update(account));
    return new IdleWatch(accounts, runs, update, log);
  });
  const transportStreams = new Lazy(async () => {
    const { TransportStreams } = await import('./vscode/transcode/sources/transportStreams');
    return new TransportStreams();
  });
  const tools = new Lazy(async () => {
    const { languageTools } = await import('./vscode/chat/languageTools');
    return languageTools(accounts, await explorerData.get(), runs, await transcode.get());
  });

  const offerLeftovers = async () => {
    const { offerLeftovers } = await import('./vscode/cleanUp/leftoverOffer');
    const cleanUp = (account: AccountRecord, leftBy: readonly string[]) =>
      work.use((part) => part.cleanUp(account, { leftBy }));
    await offerLeftovers({ accounts, runs, state: globalState, log, cleanUp });
  };
  const resumeRuns = new Lazy(async () => {
    const { ResumeRuns } = await import('./vscode/transcode/resumeRuns');
    return new ResumeRuns({ accounts, runs, work: await work.get(), commands, log });
  });
  const resume = async () => {
    if (workspace.isTrusted && runs.hasToContinue) await resumeRuns.use((part) => part.start());
  };
  const tellTrouble = async ({ runId, problem }: { runId: string; problem: Problem }) => {
    const { tellTrouble } = await import('./vscode/transcode/runNotification');
    await tellTrouble(accounts, runs, runId, problem);
  };
  const remoteProvider = new LazyFiles(remoteFiles);
  const autoscaleProvider = new LazyFiles(autoscale);
  const reportProvider = new LazyContent(reports);

  subscriptions.push(
    ...[
      log,
      accounts,
      runs,
      reports,
      runsTree,
      history,
      accountsView,
      autoscale,
      heatMaps,
      idleWatch,
      resumeRuns,
      transportStreams,
    ],
    ...[runRows, accountRows, remoteProvider, autoscaleProvider, reportProvider],
    ...[new StatusBar(runs, runsView), new RunContext(runs), new AccountContext(accounts)],
    ...[new MediaContext(), runsView, accountsTreeView],
    workspace.registerFileSystemProvider(contributed.remoteScheme, remoteProvider, { isReadonly: true }),
    workspace.registerFileSystemProvider(contributed.autoscaleScheme, autoscaleProvider),
    workspace.registerTextDocumentContentProvider(contributed.reportScheme, reportProvider),
    workspace.registerTextDocumentContentProvider(contributed.documentScheme, documents),
    registerLanguageTools(tools),
    commands.register({
      ...loadedHandlers(contributed.accountCommandIds, async () => {
        const { accountCommands } = await import('./vscode/accounts/accountCommands');
        const onLocalReset = () => runs.merge(localAccountId, []);
        const unendedRuns = (accountId: string) => {
          const ofAccount = runs.records.filter((record) => record.accountId === accountId);
          const live = ofAccount.filter(({ runId }) => runs.isWorkingOn(runId));
          const others = ofAccount.filter((record) => isUnended(record) && !live.includes(record));
          return { live: live.length, others: others.length };
        };
        const parts = { localService: await localService.get(), onLocalReset, unendedRuns };
        return accountCommands({ ...connect, ...parts });
      }),
      ...loadedHandlers(contributed.explorerCommandIds, async () => {
        const { explorerCommands } = await import('./vscode/explorer/commands/explorerCommands');
        const parts = { data: await explorerData.get(), accountsView: await accountsView.get() };
        return explorerCommands({ accounts, documents, autoscale, heatMaps, ...parts });
      }),
      ...loadedHandlers(contributed.runCommandIds, async () => {
        const { runCommands } = await import('./vscode/runs/runCommands');
        const parts = { runsTree: await runsTree.get(), reports: await reports.get() };
        return runCommands({ accounts, runs, ...parts });
      }),
      ...loadedHandlers(contributed.transcodeCommandIds, async () => {
        const { transcodeCommands } = await import('./vscode/transcode/transcodeCommands');
        const parts = { work: await work.get(), transcode: await transcode.get() };
        return transcodeCommands({ ...connect, runs, ...parts });
      }),
      ...loadedHandlers(contributed.viewCommandIds, async () => {
        const { viewCommands } = await import('./vscode/explorer/commands/viewCommands');
        const parts = { explorerData: await explorerData.get(), accountsView: await accountsView.get() };
        return viewCommands({ ...connect, runs, idleWatch, history, ...parts });
      }),
      showProblem: (shown: ShownProblem) => commands.showProblem(shown),
      showLog: () => log.show(),
      openDocumentation: async (page?: string) =>
        (await import('./vscode/documentation')).openDocumentation(extensionUri, page),
    }),
    runsView.onDidChangeVisibility(() => background(history.use((part) => part.shown()))),
    accounts.onChanged(() => background(history.use((part) => part.refresh()))),
    runs.onEnded((ended) => background(history.use((part) => part.runEnded(ended)))),
    runs.onTrouble((trouble) => background(tellTrouble(trouble))),
    after(transportStreamsMs, () => transportStreams.get()),
    after(leftoversMs, offerLeftovers),
    every(idleCheckMs, () => idleWatch.use((watch) => watch.checkAgain())),
    runs.onWaiting(() => background(resume())),
    workspace.onDidGrantWorkspaceTrust(() => background(resume())),
  );
  background(resume());
}
