import { randomBytes } from 'node:crypto';
import { env, l10n } from 'vscode';
import type { Strings } from '../../webview/messages';
import { escapeHtml, heatMapBody } from './heatMapBody';

/** The HTML of a heat map, which may load its own script and style and nothing else. Nodes of the local account are free. */
export function heatMapPage(
  { poolId, isLocal }: { readonly poolId: string; readonly isLocal: boolean },
  { script, style, source }: Record<'script' | 'style' | 'source', string>,
): string {
  const nonce = randomBytes(16).toString('base64');
  const strings = pageStrings(poolId, isLocal);
  return `<!DOCTYPE html>
<html lang="${env.language}">
<head>
<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${source}; script-src 'nonce-${nonce}'">
<title>${escapeHtml(strings.title)}</title>
<link rel="stylesheet" href="${style}">
</head>
<body>
${heatMapBody(strings)}
<script nonce="${nonce}" id="strings" type="application/json">${JSON.stringify(strings).replaceAll('<', '\\u003c')}</script>
<script nonce="${nonce}" src="${script}"></script>
</body>
</html>`;
}

function pageStrings(poolId: string, isLocal: boolean): Strings {
  return {
    title: l10n.t('Nodes of {0}', poolId),
    empty: l10n.t('The pool has no nodes.'),
    node: l10n.t('Node'),
    state: l10n.t('State'),
    kind: l10n.t('Kind'),
    slots: l10n.t('Running slots'),
    // The page puts the numbers in.
    slotsOf: l10n.t('{0} of {1} slots running', '{0}', '{1}'),
    hour: l10n.t('Last hour'),
    dedicated: l10n.t('dedicated'),
    spot: l10n.t('Spot'),
    asTable: l10n.t('Show as Table'),
    asMap: l10n.t('Show as Map'),
    startTaskFailed: l10n.t('start task failed'),
    showStartTaskLog: l10n.t('Show Start Task stderr'),
    reveal: l10n.t('Show in Accounts View'),
    slotLegend: l10n.t('task slots, filled while a task runs'),
    hourLegend: l10n.t('last hour, now at the right'),
    minutes: {
      i: isLocal ? l10n.t('idle') : l10n.t('idle: costs money without work'),
      r: l10n.t('running'),
      s: l10n.t('starting'),
      f: l10n.t('failed'),
      g: l10n.t('not available'),
      '?': l10n.t('unknown'),
    },
  };
}
