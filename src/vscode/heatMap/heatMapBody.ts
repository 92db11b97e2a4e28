import type { Strings } from '../../webview/messages';

/** The elements that the script of the heat map fills. */
export function heatMapBody({ title, empty, reveal, showStartTaskLog }: Strings): string {
  return `<main>
<header><h1>${escapeHtml(title)}</h1><span id="status"></span><button id="toggle"></button></header>
<p id="hour"></p>
<ul id="legend"></ul>
<p id="empty">${escapeHtml(empty)}</p>
<div id="frame"><div id="map" role="listbox" aria-label="${escapeHtml(title)}" hidden></div></div>
<table id="table" hidden></table>
<section id="details" aria-label="${escapeHtml(title)}" hidden>
<p id="details-text"></p><div id="details-hour" hidden></div>
<button id="details-reveal" hidden>${escapeHtml(reveal)}</button>
<button id="details-log" hidden>${escapeHtml(showStartTaskLog)}</button>
</section>
<p id="announcement" class="for-screen-readers" role="status"></p>
</main>`;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
