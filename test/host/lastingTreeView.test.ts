import assert from 'node:assert/strict';
import { commands, EventEmitter, extensions, TreeItem, TreeItemCollapsibleState } from 'vscode';
import { accountsView, extensionId } from '../../src/vscode/contributions';
import { LastingTreeView } from '../../src/vscode/lastingTreeView';
import { eventually } from '../service/harness';

/** Rows that a tree renders before another takes its place. */
const maxRendered = 20;

describe('A tree view that lasts', () => {
  it('is replaced after many rows, and keeps what is expanded, its events and its rows', async () => {
    // Its own view is registered first: the last one counts.
    await extensions.getExtension(extensionId)?.activate();
    const changed = new EventEmitter<string | undefined>();
    const asked: (string | undefined)[] = [];
    let children = ['one', 'two', 'three'];
    let rootsAsked = 0;
    const view = new LastingTreeView<string>(
      accountsView,
      {
        treeDataProvider: {
          onDidChangeTreeData: changed.event,
          getParent: (row) => (row === 'parent' ? undefined : 'parent'),
          getChildren(row) {
            asked.push(row);
            if (row === undefined) rootsAsked++;
            return row === undefined ? ['parent'] : row === 'parent' ? children : [];
          },
          getTreeItem(row) {
            const { Collapsed, None } = TreeItemCollapsibleState;
            const item = new TreeItem(row, row === 'parent' ? Collapsed : None);
            item.id = row;
            return item;
          },
        },
      },
      maxRendered,
    );
    try {
      const expanded: string[] = [];
      const collapsed: string[] = [];
      view.onDidExpandElement(({ element }) => expanded.push(element));
      view.onDidCollapseElement(({ element }) => collapsed.push(element));
      await commands.executeCommand(`${accountsView}.focus`);
      await eventually(async () => view.visible, Boolean);
      await view.reveal('parent', { select: false, focus: false, expand: true });
      await eventually(
        async () => expanded,
        ({ length }) => length === 1,
      );

      const rootsBefore = rootsAsked;
      for (let change = 0; rootsAsked === rootsBefore; change++) {
        children = [`child ${change}`, ...children.slice(0, 2)];
        const before = asked.length;
        changed.fire('parent');
        // The parent is expanded: a tree asks for its rows again, and so does the one that takes its place.
        await eventually(
          async () => asked.slice(before),
          (rows) => rows.includes('parent'),
        );
        assert.ok(change < maxRendered, 'The tree is replaced.');
      }
      await eventually(async () => view.visible, Boolean);
      assert.deepEqual(collapsed, []);

      children = ['last', ...children];
      const before = asked.length;
      changed.fire('parent');
      await eventually(
        async () => asked.slice(before),
        (rows) => rows.includes('parent'),
      );
      await view.reveal('last', { select: true, focus: false });
      await eventually(
        async () => view.selection,
        ([row]) => row === 'last',
      );
    } finally {
      view.dispose();
      changed.dispose();
    }
  });
});
