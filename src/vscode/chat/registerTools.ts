import { type Disposable, type LanguageModelTool, lm } from 'vscode';
import { section } from '../contributions';
import { DisposableStore } from '../disposable';
import type { Lazy } from '../lazy/lazy';

const toolNames = ['listJobs', 'explainFailures', 'transcode'] as const;

export type ToolName = (typeof toolNames)[number];

/** A tool. VS Code has compared its input with the schema in the manifest. */
export type Tool = Required<LanguageModelTool<unknown>>;

/**
 * Registers the tools that assistants can use, which are loaded when the first one is used. Does nothing in a VS Code without
 * language model tools.
 */
export function registerLanguageTools(tools: Lazy<Record<ToolName, Tool>>): Disposable {
  const store = new DisposableStore();
  if (typeof lm?.registerTool !== 'function') return store;
  for (const name of toolNames) {
    const tool: Tool = {
      prepareInvocation: (...args) => tools.use((all) => all[name].prepareInvocation(...args)),
      invoke: (...args) => tools.use((all) => all[name].invoke(...args)),
    };
    store.add(lm.registerTool(`${section}_${name}`, tool));
  }
  return store;
}
