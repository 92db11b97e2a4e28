// Drives a workbench as a user does: clicks, keys, and waits for what becomes visible.
//
// A busy workbench may lose a click or a key, or move a row under the pointer. Every action here checks its effect, and is
// repeated until the effect is there or `patienceMs` are over. Then it throws: nothing is skipped in silence.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bootstrap.mjs';
import { openWorkbench, patienceMs, startServer } from './vscodeServer.mjs';

const extensionId = 'azure-batch-transcode.azure-batch-transcode';

/** A running VS Code with a workbench on a folder and this extension. */
export class Workbench {
  constructor(server, opened) {
    this.server = server;
    this.opened = opened;
    this.page = opened.page;
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
      const payload = { logLevel: `${extensionId}:debug` };
      const opened = await openWorkbench(server, { folder, extensions, viewport, payload });
      const workbench = new Workbench(server, opened);
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

  /** Selects exactly these files without opening them, and opens the context menu of the last. */
  async rightClick(...names) {
    await this.openView('Explorer');
    await this.file(names[0]).waitFor();
    const selected = this.page.locator(
      '.explorer-folders-view .monaco-list-row[aria-selected=true] .label-name',
    );
    // The Explorer loses its selection when files appear while it is changed.
    await repeat('Exactly these files are selected', async () => {
      for (const name of await selected.allTextContents()) {
        if (!names.includes(name)) await this.setSelected(this.file(name), false);
      }
      for (const name of names) await this.setSelected(this.file(name), true);
      return (await selected.count()) === names.length;
    });
    await this.openMenu(this.file(names.at(-1)));
  }

  /** Adds a row to the selection, or removes it. */
  async setSelected(row, isSelected) {
    const isSo = async () => ((await row.getAttribute('aria-selected')) === 'true') === isSelected;
    await repeat('A row is selected', async (wait) => {
      if (await isSo()) return true;
      await row.click({ modifiers: ['ControlOrMeta'], timeout: wait });
      return becomesTrue(isSo, wait);
    });
  }

  /** The context menu that is open. */
  get menu() {
    return this.page.locator('.context-view .monaco-menu').first();
  }

  /** The items of the context menu, without the menu of the window, which is always there. */
  get menuItems() {
    return this.page.locator('.context-view .monaco-menu').getByRole('menuitem');
  }

  menuItem(name) {
    return this.page
      .locator('.context-view .monaco-menu')
      .getByRole('menuitem', { name, exact: true })
      .first();
  }

  /** Opens the context menu of a row. Rows may move under the pointer, so the row must have the focus afterwards. */
  async openMenu(row) {
    this.menuRow = row;
    await repeat('The menu of a row opens', async (wait) => {
      await this.closeMenu();
      try {
        await row.click({ button: 'right', timeout: wait });
      } catch (error) {
        await this.dismiss();
        throw error;
      }
      if (!(await becomes(this.menu, 'visible', wait))) return false;
      return /\bfocused\b/.test((await row.getAttribute('class', { timeout: wait })) ?? '');
    });
  }

  /** Closes the context menu with its submenus, if it's open. */
  async closeMenu() {
    await repeat('The menu closes', async (wait) => {
      if (!(await this.menu.isVisible())) return true;
      await this.page.keyboard.press('Escape');
      return becomes(this.menu, 'hidden', wait / 4);
    });
  }

  /** Waits for an item of the menu. A menu that was opened before the extension contributed to it is opened again. */
  async see(name) {
    const item = this.menuItem(name);
    await repeat(`The menu has ${name}`, async (wait) => {
      if (!(await this.menu.isVisible())) await this.openMenu(this.menuRow);
      if (await becomes(item, 'visible', wait)) return true;
      await this.closeMenu();
      return false;
    });
    return item;
  }

  /** Selects an item of the open menu; several names lead through submenus. */
  async choose(...path) {
    await repeat(`The menu has ${path.join(' › ')}`, async (wait) => {
      if (!(await this.menu.isVisible())) await this.openMenu(this.menuRow);
      try {
        for (const name of path) await this.menuItem(name).hover({ timeout: wait });
        await this.clickAway(this.menuItem(path.at(-1)), wait);
        return true;
      } catch (error) {
        await this.closeMenu();
        throw error;
      }
    });
  }

  /** Clicks an item until the menu closes, because a menu that has just opened ignores clicks. */
  async clickAway(item, wait) {
    for (let attempt = 1; attempt <= 5; attempt++) {
      await item.click({ timeout: wait });
      if (await becomes(this.menu, 'hidden', wait)) return;
    }
    throw new Error('The menu ignores clicks');
  }

  /** Clicks the button that a row shows under the pointer. */
  async pressInRow(row, name) {
    await repeat(`A row has the button ${name}`, async (wait) => {
      await row.hover({ timeout: wait });
      await row.getByRole('button', { name }).click({ timeout: wait });
      return true;
    });
  }

  /**
   * Runs a command from the palette by its title. A focused terminal may take the key, and what an earlier command opens a
   * moment later may close the palette: then it's tried again.
   */
  async run(title) {
    let isClicked = false;
    // A command that was run has closed the palette, or has put an input of its own in its place.
    const isRun = async () => isClicked && (await this.inputValue()) !== `>${title}`;
    await repeat(`The palette runs ${title}`, async (wait) => {
      if (await isRun()) return true;
      await this.openPalette(`>${title}`, wait);
      try {
        isClicked = (await clickIfStill(this.command(title), title, wait)) !== 'nothing';
      } catch (error) {
        await this.dismiss();
        throw error;
      }
      return becomesTrue(isRun, wait);
    });
  }

  /** The row of a command in the palette. Titles may begin alike, so it's found by its whole title. */
  command(title) {
    const label = this.page.locator('.label-name', { hasText: new RegExp(`^${escaped(title)}$`) });
    return this.page.locator('.quick-input-widget:visible .monaco-list-row').filter({ has: label }).first();
  }

  /** Opens the palette with this text. */
  async openPalette(text, wait = patienceMs) {
    try {
      await this.page.keyboard.press('F1');
      await this.input.waitFor({ timeout: wait });
      await this.input.fill(text, { timeout: wait });
    } catch (error) {
      await this.dismiss();
      throw error;
    }
  }

  /** The text field of the quick input that is open. */
  get input() {
    return this.page.locator('.quick-input-widget:visible .quick-input-box input').first();
  }

  async inputValue() {
    const [value] = await this.page
      .locator('.quick-input-widget:visible .quick-input-box input')
      .evaluateAll((inputs) => inputs.map((input) => input.value));
    return value;
  }

  /** Quick inputs and dialogs that are open. */
  get questions() {
    return this.page.locator('.quick-input-widget:visible, .monaco-dialog-box:visible');
  }

  /** Closes quick inputs, dialogs and menus, if there are any. */
  async dismiss() {
    await repeat('Questions close', async (wait) => {
      const dialog = this.page.locator('.monaco-dialog-box:visible').first();
      if (await dialog.isVisible()) await dialog.getByRole('button').first().focus({ timeout: wait });
      // A question that stays open when it loses the focus hears no key.
      else if (await this.input.isVisible()) await this.input.focus({ timeout: wait });
      else if (!(await this.questions.first().isVisible())) return true;
      await this.page.keyboard.press('Escape');
      return becomes(this.questions.first(), 'hidden', wait / 4);
    });
    await this.closeMenu();
  }

  /**
   * Selects the first item of the open quick pick with this text, once, although the list may change under the pointer.
   *
   * @param {string | RegExp} text
   */
  async pick(text) {
    const item = this.quickPick(text).first();
    await item.waitFor();
    await repeat(`The item ${text} is clicked`, async (wait) => {
      const got = await clickIfStill(item, text, wait);
      return got === 'click' || (got === 'press' && (await becomes(item, 'hidden', wait)));
    });
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
    // An input box drops line breaks.
    const line = text.replaceAll('\n', '');
    await repeat(`The input has the text ${line}`, async (wait) => {
      await this.input.fill(text, { timeout: wait });
      return becomesTrue(async () => (await this.inputValue()) === line, wait);
    });
    await this.input.press('Enter');
  }

  /** The first notification with this text. */
  toast(text) {
    return this.page.locator('.notification-toast .notification-list-item', { hasText: text }).first();
  }

  async press(toastText, button) {
    await repeat(`The notification has the button ${button}`, async (wait) => {
      await this.toast(toastText).hover({ timeout: wait });
      await this.toast(toastText).getByRole('button', { name: button }).click({ timeout: wait });
      return true;
    });
  }

  /** Waits for a notification, and clears all. */
  async clear(toastText) {
    await this.toast(toastText).waitFor();
    await this.run('Notifications: Clear All Notifications');
    await this.page
      .locator('.notification-toast .notification-list-item')
      .first()
      .waitFor({ state: 'hidden' });
  }

  /**
   * Opens a view container of the activity bar. A click closes an open one, and a reloading window may open it between the
   * check and the click, so the state is checked again.
   */
  async openView(name) {
    const tab = this.viewTab(name);
    const title = this.page.locator('.part.sidebar .composite.title', { hasText: name }).first();
    const isOpen = async () =>
      (await tab.getAttribute('aria-expanded')) === 'true' && (await title.isVisible());
    await repeat(`The view ${name} opens`, async (wait) => {
      if (await isOpen()) return true;
      await tab.click({ timeout: wait });
      return becomesTrue(isOpen, wait);
    });
  }

  viewTab(name) {
    return this.page.getByRole('tab', { name: new RegExp(`^${escaped(name)}`) }).first();
  }

  /**
   * Expands an item of the extension's views. VS Code collapses an item again that is refreshed while it expands, so it must
   * stay expanded for a moment.
   */
  async expand(text) {
    await this.openView('Azure Batch');
    const item = this.treeItem(text);
    const isExpanded = async () =>
      (await item.getAttribute('aria-expanded', { timeout: patienceMs })) === 'true';
    await repeat(`${text} expands`, async (wait) => {
      if (await isExpanded()) return true;
      await item.locator('.monaco-tl-twistie').click({ timeout: wait });
      if (!(await becomesTrue(isExpanded, wait))) return false;
      return !(await becomesTrue(async () => !(await isExpanded()), 500));
    });
  }

  treeItem(text) {
    return this.page.locator('.sidebar [role=treeitem]', { hasText: text }).first();
  }

  /** Presses a key in the list of rows, which draws only those that can be seen, until it has scrolled to a row. */
  async scrollTo(text, key) {
    await repeat(`${key} leads to ${text}`, async (wait) => {
      if (await this.treeItem(text).isVisible()) return true;
      await this.page.keyboard.press(key);
      return becomes(this.treeItem(text), 'visible', wait / 4);
    });
  }

  /** The content of the webview that is shown. VS Code loads what comes next in a second frame, which then takes its place. */
  webview() {
    return this.page.frameLocator('iframe.webview.ready').frameLocator('iframe#active-frame');
  }

  /** What the extension has written to its log in all windows; empty where VS Code lacks its native log module. */
  log() {
    const folder = join(this.server.base, 'logs');
    if (!existsSync(folder)) return '';
    return readdirSync(folder, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.log') && name.includes(extensionId))
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('');
  }

  /**
   * Does what runs a command of the extension, closes what the command opens, and waits until the command has ended or
   * shows a notification, which it may wait for. Throws if an error occurs that the extension doesn't expect.
   *
   * @param {string} command its id without the prefix, such as `refresh`
   * @param {() => Promise<void>} act
   */
  async runToEnd(command, act) {
    const lines = (what) => this.log().split(`Command ${command} ${what}`).length;
    const toasts = () => this.page.locator('.notification-toast .notification-list-item').allTextContents();
    const [startedBefore, toastsBefore] = [lines('started'), await toasts()];
    await act();
    if (this.log() === '') await this.dismissFor(2_000);
    else {
      await repeat(`The command ${command} ends`, async (wait) =>
        becomesTrue(async () => {
          await this.dismiss();
          if (lines('started') === startedBefore) return false;
          if (lines('started') === lines('ended')) return true;
          return (await toasts()).some((text) => !toastsBefore.includes(text));
        }, wait),
      );
      await this.dismiss();
    }
    const unexpected = 'An unexpected error occurred';
    if (this.log().includes(unexpected) || (await toasts()).some((text) => text.includes(unexpected)))
      throw new Error(`${unexpected} in ${command}\n${this.log()}`);
  }

  /** Closes what opens within so many milliseconds, where nothing says when a command has ended. */
  async dismissFor(ms) {
    for (const end = Date.now() + ms; Date.now() < end; ) {
      await this.dismiss();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
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

/**
 * Repeats an action until it returns true. It gets the time that it may wait for its effect, in milliseconds, which grows
 * with each repetition.
 *
 * @param {string} effect what should become true, for the error
 * @param {(waitMs: number) => Promise<boolean>} act
 */
export async function repeat(effect, act) {
  const end = Date.now() + patienceMs;
  for (let wait = 2_000; ; wait = Math.min(wait * 1.5, 20_000)) {
    let cause;
    try {
      if (await act(wait)) return;
    } catch (error) {
      cause = error;
    }
    if (Date.now() > end) {
      const seconds = patienceMs / 1000;
      throw new Error(`Not so after ${seconds} s: ${effect}${cause ? `. ${cause.message}` : ''}`, { cause });
    }
  }
}

/**
 * Clicks a row unless it has another text when the click arrives: lists of VS Code use the element of a row for another item
 * when they change. Resolves to what the row got: a list may close as soon as the button is pressed, and the rest of the click
 * then goes elsewhere.
 *
 * @param {import('playwright-core').Locator} row
 * @param {string | RegExp} text as `hasText` takes it
 * @param {number} timeout
 * @returns {Promise<'click' | 'press' | 'nothing'>}
 */
async function clickIfStill(row, text, timeout) {
  const wanted = text instanceof RegExp ? { source: text.source, flags: text.flags } : text;
  const guard = await row.evaluateHandle(
    // Runs in the page, also when a bundler has renamed functions: methods keep their names without its help.
    (element, pattern) => {
      const guarded = {
        got: 'nothing',
        events: ['pointerdown', 'mousedown', 'pointerup', 'mouseup', 'click'],
        isStill() {
          const shown = element.textContent.replace(/\s+/g, ' ').trim();
          if (typeof pattern !== 'string') return new RegExp(pattern.source, pattern.flags).test(shown);
          return shown.toLowerCase().includes(pattern.replace(/\s+/g, ' ').trim().toLowerCase());
        },
        handleEvent(event) {
          if (!this.isStill() || !element.contains(event.target)) {
            event.preventDefault();
            event.stopImmediatePropagation();
          } else if (event.type === 'mousedown') this.got = 'press';
          else if (event.type === 'click') this.got = 'click';
        },
        remove() {
          for (const name of this.events) window.removeEventListener(name, this, true);
        },
      };
      for (const name of guarded.events) window.addEventListener(name, guarded, true);
      return guarded;
    },
    wanted,
    { timeout },
  );
  let failure;
  try {
    await row.click({ timeout });
  } catch (error) {
    failure = error;
  }
  const got = await guard.evaluate((guarded) => {
    guarded.remove();
    return guarded.got;
  });
  // A row that was removed by the press fails the click.
  if (failure && got === 'nothing') throw failure;
  return got;
}

async function becomes(item, state, timeout) {
  return item.waitFor({ state, timeout }).then(
    () => true,
    () => false,
  );
}

/** Whether something becomes true within so many milliseconds. */
export async function becomesTrue(isSo, timeout) {
  for (const end = Date.now() + timeout; Date.now() < end; ) {
    if (await isSo()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return isSo();
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
