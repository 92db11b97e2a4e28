import { l10n } from 'vscode';

/** A state of a Batch resource in the user's language. Unknown states stay as the service sends them. */
export function stateWord(state: string | undefined): string {
  const words: Record<string, () => string> = {
    active: () => l10n.t('active'),
    completed: () => l10n.t('completed'),
    creating: () => l10n.t('creating'),
    deallocated: () => l10n.t('deallocated'),
    deallocating: () => l10n.t('deallocating'),
    deleting: () => l10n.t('deleting'),
    disabled: () => l10n.t('disabled'),
    disabling: () => l10n.t('disabling'),
    enabling: () => l10n.t('enabling'),
    idle: () => l10n.t('idle'),
    leavingpool: () => l10n.t('leaving pool'),
    offline: () => l10n.t('offline'),
    preempted: () => l10n.t('preempted'),
    preparing: () => l10n.t('preparing'),
    rebooting: () => l10n.t('rebooting'),
    reimaging: () => l10n.t('reimaging'),
    resizing: () => l10n.t('resizing'),
    running: () => l10n.t('running'),
    starting: () => l10n.t('starting'),
    starttaskfailed: () => l10n.t('start task failed'),
    steady: () => l10n.t('steady'),
    stopping: () => l10n.t('stopping'),
    terminating: () => l10n.t('terminating'),
    unknown: () => l10n.t('unknown'),
    unusable: () => l10n.t('unusable'),
    waitingforstarttask: () => l10n.t('waiting for start task'),
  };
  return state === undefined ? '' : (words[state]?.() ?? state);
}
