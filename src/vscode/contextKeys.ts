import { commands } from 'vscode';
import { background } from './background';
import { type ContextKeys, section } from './contributions';

/** Sets what the `when` clauses of the manifest ask for. */
export function setContextKey<Key extends keyof ContextKeys>(key: Key, value: ContextKeys[Key]): void {
  background(commands.executeCommand('setContext', `${section}.${key}`, value));
}
