import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Workbench } from '../../scripts/workbench.mjs';
import { median, type Table } from '../table';

const own = 'azure-batch-transcode.azure-batch-transcode';
const git = 'vscode.git';

/** Attempts to copy VS Code's report, which may not have been computed yet. */
const attempts = 20;
const attemptMs = 500;

/** After the view was shown, until the window has done its first work. */
const settledMs = 3_000;

/** The parts of an extension's activation, in milliseconds. */
interface Activation {
  /**
   * From the request to load the code until it is loaded, as VS Code counts it. VS Code loads the extensions that it was asked
   * for at the same time one after another, so this includes the loading of those before it.
   */
  readonly load: number;
  /** The loading of the extension's own code. */
  readonly ownLoad: number;
  /** The call of `activate`. */
  readonly call: number;
  /** From the end of the call until what it returned resolved. */
  readonly finish: number;
}

const parts: Readonly<Record<string, (times: Activation) => number>> = {
  'loading its own code, and the call': ({ ownLoad, call }) => ownLoad + call,
  'the same with what it waits for, as VS Code shows it': ({ load, call }) => load + call,
  '— loading code, with extensions that VS Code loads before it': ({ load }) => load,
  '— loading its own code': ({ ownLoad }) => ownLoad,
  '— the call of activate': ({ call }) => call,
  '— until activate has ended': ({ finish }) => finish,
};

/** The activation of this extension beside that of VS Code's Git extension, in a new window for each round. */
export async function activation(rounds: number, root: string): Promise<Table> {
  const times: { own: Activation; git: Activation }[] = [];
  for (let round = 0; round < rounds; round++) {
    const folder = join(root, `activation-${round}`);
    mkdirSync(folder);
    const workbench = await Workbench.open(folder);
    try {
      await workbench.openView('Azure Batch');
      await pause(settledMs);
      times.push(await activationTimes(workbench));
    } finally {
      await workbench.close();
    }
  }
  return {
    title: `Activation, ms, median of ${rounds}`,
    columns: [
      { key: 'own', label: 'this extension', digits: 0 },
      { key: 'min', label: 'shortest', digits: 0 },
      { key: 'max', label: 'longest', digits: 0 },
      { key: 'git', label: 'VS Code’s Git', digits: 0 },
      { key: 'ratio', label: 'ratio', digits: 2 },
    ],
    rows: Object.entries(parts).map(([way, of]) => {
      const all = times.map((each) => of(each.own));
      const [own, other] = [median(all), median(times.map((each) => of(each.git)))];
      const figures = { own, min: Math.min(...all), max: Math.max(...all), git: other, ratio: own / other };
      return { way, figures };
    }),
  };
}

/** From VS Code's report about its start. */
async function activationTimes(workbench: Workbench): Promise<{ own: Activation; git: Activation }> {
  const { page } = workbench;
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await workbench.run('Developer: Startup Performance');
  const lines = page.locator('.editor-instance .view-lines').first();
  for (let attempt = 1; ; attempt++) {
    await lines.click();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.press('ControlOrMeta+c');
    const report: string = await page.evaluate('navigator.clipboard.readText()');
    const [ownTimes, gitTimes] = [activationIn(report, own), activationIn(report, git)];
    if (ownTimes && gitTimes) return { own: ownTimes, git: gitTimes };
    if (attempt === attempts) throw new Error(`VS Code's report has no activation times:\n${report}`);
    await pause(attemptMs);
  }
}

/** Undefined if the report does not have the extension yet. */
function activationIn(report: string, id: string): Activation | undefined {
  // | vscode.git | true | 100 | 22 | 27 | * | vscode.git |
  const row = report.split('\n').find((line) => line.startsWith(`| ${id} `));
  const [, , , load, call, finish] = row?.split('|').map((cell) => Number(cell)) ?? [];
  // code/extHost/willLoadExtensionCode/vscode.git	1795791172490	1	3334.7
  const markAt = (mark: string) =>
    Number(
      report
        .split('\n')
        .find((line) => line.startsWith(`code/extHost/${mark}/${id}\t`))
        ?.split('\t')[1],
    );
  const ownLoad = markAt('didLoadExtensionCode') - markAt('willLoadExtensionCode');
  if (load === undefined || call === undefined || finish === undefined) return undefined;
  const times = { load, ownLoad, call, finish };
  return Object.values(times).every(Number.isFinite) ? times : undefined;
}
