import type { Disposable } from 'vscode';
import { background } from './background';

/** Does work in the background once, so many milliseconds from now. */
export function after(ms: number, work: () => Promise<unknown>): Disposable {
  const timer = setTimeout(() => background(work()), ms);
  return { dispose: () => clearTimeout(timer) };
}

/** Does work in the background again and again, with so many milliseconds between the starts. */
export function every(ms: number, work: () => Promise<unknown>): Disposable {
  const timer = setInterval(() => background(work()), ms);
  return { dispose: () => clearInterval(timer) };
}
