// Drives a workbench as a person does: real clicks, real keys, waits for what can be seen.
import { join } from 'node:path';
import { root } from './bootstrap.mjs';
import { openWorkbench, startServer } from './vscodeServer.mjs';

const patienceMs = 60_000;

/** A running VS Code with a workbench on a folder and this extension in it. */
export class Workbench {
  constructor(server, opened) {
    this.server = server;
    this.opened = opened;
    this.page = opened.page;
    this.page.setDefaultTimeout(patienceMs);
  }

  /**
   * Opens a folder; by default with this project as an extension under development.
   *
   * @param {string} folder
   * @param {{ extensions?: string[], dataDir?: string, settings?: object, machineSettings?: object, locale?: string, trust?: boolean,
   *   env?: Record<string, string>, viewport?: { width: number, height: number } }} [options]
   */
  static async open(folder, { viewport, extensions = [root], ...options } = {}) {
    const server = await startServer(options);
    try {
      const workbench = new Workbench(server, await openWorkbench(server, { folder, extensions, viewport }));
      await workbench.ready();
      return workbench;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** What the extension contributes is there once its icon is. */
  async ready() {
    await this.viewTab('Azure Batch').waitFor();
  }

  /** Reloads the window, as its command does. */
  async reload() {
    await this.page.reload();
    await this.page.locator('.monaco-workbench .part.statusbar').waitFor();
    await this.ready();
  }

  async close() {
    await this.opened.close();
    await this.server.stop();
  }

  /** A file or folder in the Explorer, by its name. */
  file(name) {
    return this.page
      .locator('.explorer-folders-view .monaco-list-row')
      .filter({ has: this.page.locator(`.label-name`, { hasText: new RegExp(`^${escaped(name)}$`) }) })
      .first();
  }

  /** Selects the files, without opening any, and opens the context menu on the last. */
  async rightClick(...names) {
    await this.openView('Explorer');
    await this.file(names[0]).waitFor();
    await this.deselect(names);
    for (const name of names) await this.select(this.file(name));
    await this.openMenu(this.file(names.at(-1)));
  }

  /** Takes what was selected before out of the selection. */
  async deselect(wanted) {
    const selected = this.page.locator('.explorer-folders-view .monaco-list-row[aria-selected=true]');
    for (const name of await selected.locator('.label-name').allTextContents()) {
      if (!wanted.includes(name)) await this.file(name).click({ modifiers: ['ControlOrMeta'] });
    }
  }

  /** Adds an item to the selection, unless it is part of it. */
  async select(row) {
    if ((await row.getAttribute('aria-selected')) !== 'true')
      await row.click({ modifiers: ['ControlOrMeta'] });
  }

  /**
   * Opens the context menu of an item. A list in which files appear just then may move under the pointer: the row that
   * was hit is the one that has the focus afterwards.
   */
  async openMenu(target) {
    this.menuTarget = target;
    for (let attempt = 1; attempt <= 5; attempt++) {
      await target.click({ button: 'right' });
      if (/\b(focused|selected)\b/.test((await target.getAttribute('class')) ?? '')) return;
      await this.page.keyboard.press('Escape');
    }
  }

  /**
   * Chooses from the open menu; several names lead through submenus. A menu that was opened before the extension had
   * contributed to it is opened again, as a person would.
   */
  async choose(...path) {
    for (const [index, name] of path.entries()) {
      const item = await this.see(name);
      await item.hover();
      if (index === path.length - 1) await this.clickAway(item);
    }
  }

  /** Clicks an item of a menu until the menu goes: one that has only just opened takes no click. */
  async clickAway(item) {
    for (let attempt = 1; attempt <= 5; attempt++) {
      await item.click();
      if (await becomes(item, 'hidden')) return;
    }
  }

  /** An item of the open menu, once it can be seen. */
  async see(name) {
    const item = this.page.getByRole('menuitem', { name, exact: true }).first();
    for (let attempt = 1; attempt < 10 && !(await becomes(item, 'visible')); attempt++) {
      await this.page.keyboard.press('Escape');
      await this.openMenu(this.menuTarget);
    }
    return item;
  }

  /** Runs a command from the palette by its title. A terminal that has just got the focus may take the key for its own. */
  async run(title) {
    const input = this.page.locator('.quick-input-widget:visible input[type=text]');
    for (let attempt = 1; attempt <= 5; attempt++) {
      await this.page.keyboard.press('F1');
      if (await becomes(input, 'visible')) break;
    }
    await input.fill(`>${title}`);
    await this.pick(title);
  }

  /** Picks from the open quick pick. */
  async pick(text) {
    await this.quickPick(text).first().click();
  }

  quickPick(text) {
    return this.page.locator('.quick-input-widget:visible .quick-input-list .monaco-list-row', {
      hasText: text,
    });
  }

  /** Gives an answer to the question that is open: the prompt is seen only while nothing is wrong with the one before. */
  async answer(prompt, text) {
    await this.page.locator('.quick-input-widget:visible', { hasText: prompt }).waitFor();
    await this.retype(text);
  }

  async retype(text) {
    await this.page.locator('.quick-input-widget:visible input').fill(text);
    await this.page.keyboard.press('Enter');
  }

  /** A notification, once it is there. */
  toast(text) {
    return this.page.locator('.notification-toast .notification-list-item', { hasText: text }).first();
  }

  async press(toastText, button) {
    await this.toast(toastText).hover();
    await this.toast(toastText).getByRole('button', { name: button }).click();
  }

  /**
   * A view container of the activity bar. One that is open stays so, though a click would close it; and a window that is
   * just coming back may open it by itself between the look and the click, so it is looked at again.
   */
  async openView(name) {
    const tab = this.viewTab(name);
    const open = this.page.locator('[role=tab][aria-expanded=true]').and(tab);
    for (let attempt = 1; attempt <= 5; attempt++) {
      if ((await tab.getAttribute('aria-expanded')) === 'true') return;
      await tab.click();
      await becomes(open, 'visible');
    }
  }

  viewTab(name) {
    return this.page.getByRole('tab', { name: new RegExp(`^${escaped(name)}`) }).first();
  }

  /** Opens an item of the extension's own view, unless it is open. */
  async expand(text) {
    await this.openView('Azure Batch');
    const item = this.treeItem(text);
    await item.waitFor();
    if ((await item.getAttribute('aria-expanded')) === 'true') return;
    await item.focus();
    await item.click();
    await this.page.keyboard.press('ArrowRight');
  }

  treeItem(text) {
    return this.page.locator('.sidebar [role=treeitem]', { hasText: text }).first();
  }

  statusBarItem(text) {
    return this.page.locator('.statusbar-item', { hasText: text }).first();
  }

  async screenshot(folder, name) {
    const path = join(folder, `${name}.png`);
    await this.page.screenshot({ path });
    return path;
  }
}

async function becomes(item, state) {
  return item.waitFor({ state, timeout: 4_000 }).then(
    () => true,
    () => false,
  );
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
