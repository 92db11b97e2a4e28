/** An action that helps with a problem, shown as a button. */
export type Remedy =
  | 'useLocalAccount'
  | 'connect'
  | 'signIn'
  | 'enterKeys'
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
  | 'showServiceLog'
  | 'showStartTaskStderr';
