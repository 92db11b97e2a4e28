/** Why a task ended without, or besides, its exit code: goes over the wire as `failureInfo`. */
export interface FailureInfo {
  readonly category: 'UserError' | 'ServerError';
  readonly code: string;
  readonly message: string;
  readonly details?: readonly { readonly name: string; readonly value: string }[];
}

export class TaskFailure extends Error {
  constructor(readonly info: FailureInfo) {
    super(info.message);
  }
}

export function failure(
  category: FailureInfo['category'],
  code: string,
  message: string,
  details: Record<string, string> = {},
): TaskFailure {
  const entries = Object.entries(details).map(([name, value]) => ({ name, value }));
  return new TaskFailure({ category, code, message, ...(entries.length > 0 ? { details: entries } : {}) });
}
