/** Ticks of 100 ns from 0001-01-01, the epoch of .NET, to 1970-01-01. */
const ticksAtEpoch = 621_355_968_000_000_000n;

const ticksPerMs = 10_000;

/** Milliseconds since 1970 of the last time that was returned, and ticks beyond them. */
let lastMs = 0;
let lastTicks = 0;

/** A clock that is behind the last time by more than this was set back. */
const setBackMs = 1_000;

/**
 * Returns the current time in ISO 8601 with up to seven fraction digits. No time is returned twice, since ETags derive
 * from it, unless the clock is set back.
 */
export function timestamp(now = Date.now()): string {
  if (now > lastMs || now < lastMs - setBackMs) {
    lastMs = now;
    lastTicks = 0;
  } else if (++lastTicks === ticksPerMs) {
    lastMs++;
    lastTicks = 0;
  }
  return textOf(lastMs, lastTicks);
}

function textOf(ms: number, ticks: number): string {
  const text = new Date(ms).toISOString().slice(0, -1);
  if (ticks === 0 && !text.endsWith('0')) return `${text}Z`;
  const digits = `${text}${String(ticks).padStart(4, '0')}`.replace(/\.?0+$/, '');
  return `${digits}Z`;
}

const isoTime =
  /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:Z|([+-]\d\d)(?::?(\d\d))?)?)?$/i;

/**
 * An ISO 8601 time as Azure returns it, whatever form it was sent in: UTC, with up to seven fraction digits. A time
 * without a time zone is UTC, whatever the time zone of this machine. Undefined for other text and impossible dates.
 */
export function timeText(text: string): string | undefined {
  const [, day = '', minute = '00:00', second = '00', fraction = '', hours = '+00', minutes = '00'] =
    isoTime.exec(text) ?? [];
  const local = `${day}T${minute}:${second}`;
  const ms = Date.parse(`${local}${hours}:${minutes}`);
  // The parser of dates takes the 30th of February for the 2nd of March.
  if (Number.isNaN(ms) || !new Date(`${local}Z`).toISOString().startsWith(local)) return undefined;
  const whole = new Date(ms).toISOString().slice(0, -'.000Z'.length);
  if (!/^(?!0000)\d{4}-/.test(whole)) return undefined;
  const digits = fraction.slice(0, 7).replace(/0+$/, '');
  return `${whole}${digits === '' ? '' : `.${digits}`}Z`;
}

function toTicks(iso: string): bigint {
  const [whole = '', fraction = ''] = iso.replace(/Z$/, '').split('.');
  const seconds = BigInt(Date.parse(`${whole}Z`)) * 10_000n;
  return seconds + BigInt(fraction.padEnd(7, '0').slice(0, 7));
}

/** Returns the ETag of a last-modified time: `0x` and its .NET ticks in hex, as in all recorded replies of Azure. */
export function etagOf(lastModified: string): string {
  return `0x${(toTicks(lastModified) + ticksAtEpoch).toString(16).toUpperCase()}`;
}

/** The duration that Batch returns for an unlimited one. */
export const infiniteDuration = 'P10675199DT2H48M5.4775807S';

// The package tinyduration accepts a duration anywhere in a text, such as `xPT5M!`, so its pattern is not used.
const duration =
  /^(-)?P(?=[\dT])(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;

const dayMs = 86_400_000;

/** Days beyond which a duration is unlimited: Batch's longest has 10,675,199. */
const unlimitedDays = 10_000_000;

/**
 * Milliseconds of an ISO 8601 duration, in which a year has 365 days and a month 30, as .NET counts them. Infinity for
 * Batch's longest; undefined for text that is no duration.
 */
export function durationMs(text: string | undefined): number | undefined {
  const match = text === undefined || text.length > 64 ? null : duration.exec(text);
  if (match === null) return undefined;
  const [years = 0, months = 0, weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = match
    .slice(2)
    .map((part) => Number(part ?? 0));
  const total = years * 365 + months * 30 + weeks * 7 + days;
  const ms = (((total * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000;
  return (match[1] ? -1 : 1) * (total > unlimitedDays ? Number.POSITIVE_INFINITY : ms);
}

/**
 * A duration as Azure returns it, whatever form it was sent in: days, hours, minutes and seconds with up to seven
 * fraction digits, without those that are 0 (`P1W` → `P7D`, `PT90M` → `PT1H30M`). Milliseconds.
 */
export function durationText(ms: number): string {
  if (!Number.isFinite(ms)) return infiniteDuration;
  const positive = Math.abs(ms);
  const days = Math.floor(positive / dayMs);
  const ticks = Math.round((positive - days * dayMs) * 10_000);
  const seconds = ticks / 10_000_000;
  const parts = [
    [Math.floor(seconds / 3600), 'H'],
    [Math.floor(seconds / 60) % 60, 'M'],
    [Number((seconds % 60).toFixed(7)), 'S'],
  ] as const;
  const time = parts.map(([count, unit]) => (count === 0 ? '' : `${count}${unit}`)).join('');
  const text = `${days === 0 ? '' : `${days}D`}${time === '' ? '' : `T${time}`}`;
  return `${ms < 0 ? '-' : ''}P${text === '' ? 'T0S' : text}`;
}
