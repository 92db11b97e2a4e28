/** A log with levels. VS Code's `LogOutputChannel` is one, and the editor passes it in. */
export interface Log {
  /** Each request, with its status and duration, without secrets. */
  trace(message: string): void;
  /** Each decision, with its reason. */
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
}

/** Hides the signatures of SAS in a text that is shown, stored or logged: Azure quotes whole URLs in its messages. */
export function maskSas(text: string): string {
  return text.replace(/(\bsig=)[^&\s"']+/gi, '$1***');
}

const ignore = () => undefined;

export const noLog: Log = { trace: ignore, debug: ignore, info: ignore, warn: ignore };
