import type { Problem } from '../../core/errors';

/** A problem as it is shown. The commands that its buttons run get it, and act on its account. */
export interface ShownProblem {
  readonly problem: Problem;
  /** Undefined where the account is not known, or where the problem is not about one. */
  readonly accountId?: string;
}

/** An action that helps with a problem, shown as a button. */
export type Remedy =
  | 'useLocalAccount'
  | 'connect'
  | 'signIn'
  | 'enterKeys'
  | 'updateCredentials'
  | 'checkConnection'
  | 'cleanUp'
  | 'openMediaSettings'
  | 'openPoolSettings'
  | 'openPresetSettings'
  | 'openTaskSettings'
  | 'openLocalSettings'
  | 'manageTrust'
  | 'getFfmpeg'
  | 'askQuota'
  | 'attach'
  | 'resetLocalAccount'
  | 'showServiceLog'
  | 'showStartTaskStderr';

/** What a message says, and the actions that help. */
export type Words = [text: string, ...remedies: Remedy[]];
