import { commands } from 'vscode';
import { background } from './background';
import { type ContextKeys, section } from './contributions';

type Key = keyof ContextKeys;

/** The values that VS Code was told last. */
const told = new Map<Key, ContextKeys[Key]>();
const waiting = new Map<Key, ContextKeys[Key]>();

/**
 * Sets what the `when` clauses of the manifest ask for. VS Code is told after the current work, so that an activation does not
 * wait for it, and of changes only.
 */
export function setContextKey<Name extends Key>(key: Name, value: ContextKeys[Name]): void {
  if (waiting.size === 0) setImmediate(tell);
  waiting.set(key, value);
}

function tell(): void {
  const changed = [...waiting].filter(([key, value]) => told.get(key) !== value);
  waiting.clear();
  for (const [key, value] of changed) {
    told.set(key, value);
    background(commands.executeCommand('setContext', `${section}.${key}`, value));
  }
}
