import { commands } from 'vscode';
import { background } from './background';
import { type ContextKeys, section } from './contributions';

type Key = keyof ContextKeys;

/** The values last sent to VS Code. */
const sent = new Map<Key, ContextKeys[Key]>();
const waiting = new Map<Key, ContextKeys[Key]>();

/**
 * Sets a context key for the `when` clauses of the manifest. Only changes are sent to VS Code, after the current work, so that
 * the activation does not wait for them.
 */
export function setContextKey<Name extends Key>(key: Name, value: ContextKeys[Name]): void {
  if (waiting.size === 0) setImmediate(tell);
  waiting.set(key, value);
}

function tell(): void {
  const changed = [...waiting].filter(([key, value]) => sent.get(key) !== value);
  waiting.clear();
  for (const [key, value] of changed) {
    sent.set(key, value);
    background(commands.executeCommand('setContext', `${section}.${key}`, value));
  }
}
