import type { Minute } from './messages';
import { minuteClasses } from './nodeStates';

/** The last hour as a strip from left to right: a part for each stretch of minutes that are alike. */
export function hourStrip(hour: string): HTMLElement {
  const strip = document.createElement('span');
  strip.className = 'hour';
  strip.setAttribute('aria-hidden', 'true');
  for (const [stretch, minute] of hour.matchAll(/(.)\1*/g)) {
    const part = document.createElement('span');
    part.className = `minute ${minuteClasses[minute as Minute] ?? 'unknown'}`;
    part.style.flexGrow = String(stretch.length);
    strip.append(part);
  }
  return strip;
}
