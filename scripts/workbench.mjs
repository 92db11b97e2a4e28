// Drives a workbench as a user does: clicks, keys, and waits for what becomes visible.
import { join } from 'node:path';
import { root } from './bootstrap.mjs';
import { openWorkbench, startServer } from './vscodeServer.mjs';

const patienceMs = 60_000;

/** A running VS Code with a workbench on a folder and this extension. */
export class Workbench {
  constructor(server, opened) {
    this.server = server;
    this.opened = opened;
    this.page = opened.page;
    this.page.setDefaultTimeout(patienceMs);
  }

  /**
   * Opens a folder, by default with this project as an extension under development.
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

  /** Waits until the extension's contributions are there. */
  async ready() {
    await this.viewTab('Azure Batch').waitFor();
  }

  /** Reloads the window. */
  async reload() {
    await this.page.reload();
    await this.page.locator('.monaco-workbench .part.statusbar').waitFor();
    await this.ready();
  }

  async close() {
    await this.opened.close();
    await this.server.stop();
  }

  /** The row of a file or folder in the Explorer. */
  file(name) {
    return this.page
      .locator('.explorer-folders-view .monaco-list-row')
      .filter({ has: this.page.locator(`.label-name`, { hasText: new RegExp(`^${escaped(name)}$`) }) })
      .first();
  }

  /** Selects files without opening them, and opens the context menu of the last. */
  async rightClick(...names) {
    await this.openView('Explorer');
    await this.file(names[0]).waitFor();
    await this.deselect(names);
    for (const name of names) await this.select(this.file(name));
    await this.openMenu(this.file(names.at(-1)));
  }

  /** Deselects all other files. */
  async deselect(wanted) {
    const selected = this.page.locator('.explorer-folders-view .monaco-list-row[aria-selected=true]');
    for (const name of await selected.locator('.label-name').allTextContents()) {
      if (!wanted.includes(name)) await this.file(name).click({ modifiers: ['ControlOrMeta'] });
    }
  }

  /** Adds an item to the selection. */
  async select(row) {
    if ((await row.getAttribute('aria-selected')) !== 'true')
      await row.click({ modifiers: ['ControlOrMeta'] });
  }

  /**
   * Opens the context menu of an item. Rows may move under the pointer while files appear, so the row must have the focus
   * afterwards.
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
   * Selects an item of the open menu; several names lead through submenus. If the menu was opened before the extension
   * contributed to it, it's opened again.
   */
  async choose(...path) {
    for (const [index, name] of path.entries()) {
      const item = await this.see(name);
      await item.hover();
      if (index === path.length - 1) await this.clickAway(item);
    }
  }

  /** Clicks a menu item until the menu closes, because a menu that has just opened ignores clicks. */
  async clickAway(item) {
    for (let attempt = 1; attempt <= 5; attempt++) {
      await item.click();
      if (await becomes(item, 'hidden')) return;
    }
  }

  /** Waits for an item of the open menu. */
  async see(name) {
    const item = this.page.getByRole('menuitem', { name, exact: true }).first();
    for (let attempt = 1; attempt < 10 && !(await becomes(item, 'visible')); attempt++) {
      await this.page.keyboard.press('Escape');
      await this.openMenu(this.menuTarget);
    }
    return item;
  }

  /**
   * Runs a command from the palette by its title. A focused terminal may take the key, and what an earlier command opens a
   * moment later may close the palette: then it's tried again.
   */
  async run(title) {
    const input = this.page.locator('.quick-input-widget:visible input[type=text]').first();
    for (let attempt = 1; ; attempt++) {
      try {
        await this.page.keyboard.press('F1');
        await input.waitFor({ timeout: 4_000 });
        await input.fill(`>${title}`);
        await this.quickPick(title)
          .first()
          .click({ timeout: attempt < 4 ? 6_000 : patienceMs });
        return;
      } catch (error) {
        if (attempt === 5) throw error;
        await this.page.keyboard.press('Escape');
      }
    }
  }

  /** Selects an item of the open quick pick. */
  async pick(text) {
    await this.quickPick(text).first().click();
  }

  quickPick(text) {
    return this.page.locator('.quick-input-widget:visible .quick-input-list .monaco-list-row', {
      hasText: text,
    });
  }

  /** Answers the open input box once it shows this prompt; a validation message hides the prompt. */
  async answer(prompt, text) {
    await this.page.locator('.quick-input-widget:visible', { hasText: prompt }).waitFor();
    await this.retype(text);
  }

  async retype(text) {
    await this.page.locator('.quick-input-widget:visible input').fill(text);
    await this.page.keyboard.press('Enter');
  }

  /** The first notification with this text. */
  toast(text) {
    return this.page.locator('.notification-toast .notification-list-item', { hasText: text }).first();
  }

  async press(toastText, button) {
    await this.toast(toastText).hover();
    await this.toast(toastText).getByRole('button', { name: button }).click();
  }

  /**
   * Opens a view container of the activity bar. A click closes an open one, and a reloading window may open it between the
   * check and the click, so the state is checked again.
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

  /** Expands an item of the extension's views. */
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
