/** A log with levels. VS Code's `LogOutputChannel` is one, and the editor passes it in. */
export interface Log {
  /** Each request, with its status and duration, without secrets. */
  trace(message: string): void;
  /** Each decision, with its reason. */
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
}

const ignore = () => undefined;

export const noLog: Log = { trace: ignore, debug: ignore, info: ignore, warn: ignore };
