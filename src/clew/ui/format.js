// Numbers, times and foreign text as people read them. Pure.

const COUNT = new Intl.NumberFormat("en");
const CLOCK = new Intl.DateTimeFormat(undefined, {hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23"});
const DAY = new Intl.DateTimeFormat(undefined, {day: "numeric", month: "short"});
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, {day: "numeric", month: "short", year: "numeric"});
const AGO = new Intl.RelativeTimeFormat("en", {numeric: "always", style: "short"});

/** 420 µs, 42.0 ms, 1.24 s, 2 min 05 s, 1 h 02 min; "running" when it has no end. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "running";
  if (ms <= 0) return "0 ms";
  if (ms < 0.001) return "<1 µs";
  if (ms < 0.9995) return `${three(ms * 1000)} µs`;
  if (ms < 999.5) return `${three(ms)} ms`;
  if (ms < 59_950) return `${three(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
  return `${COUNT.format(Math.floor(seconds / 3600))} h ${pad(Math.floor((seconds % 3600) / 60))} min`;
}

// Three figures, zeros kept, so that columns of durations line up.
function three(value) {
  return value < 99.95 ? value.toPrecision(3) : value.toFixed(0);
}

/** At most *significant* figures, without a tail of zeros. */
export function digits(value, significant) {
  if (!Number.isFinite(value)) return String(value);
  const rounded = Number(value.toPrecision(significant));
  return rounded >= 10_000 ? COUNT.format(rounded) : String(rounded);
}

function pad(number) {
  return String(number).padStart(2, "0");
}

/** 1,234 */
export function count(value) {
  return value === null || value === undefined ? "–" : COUNT.format(value);
}

/** "1 span", "1,234 spans" */
export function plural(value, noun) {
  return `${COUNT.format(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** $0.0012: two significant figures under a cent, cents above. */
export function cost(usd) {
  if (usd === null || usd === undefined) return "–";
  return usd !== 0 && Math.abs(usd) < 0.01 ? `$${Number(usd.toPrecision(2))}` : `$${usd.toFixed(2)}`;
}

/** 37 % */
export function percent(part) {
  return part > 0 && part < 0.01 ? "<1 %" : `${Math.round(part * 100)} %`;
}

/** 14:03:22 in the reader's zone. */
export function clock(iso) {
  const date = new Date(iso);
  return isTime(date) ? CLOCK.format(date) : "";
}

/** 21 Nov, with the year when it is another one. */
export function day(iso) {
  const date = new Date(iso);
  if (!isTime(date)) return String(iso);
  return (date.getFullYear() === new Date().getFullYear() ? DAY : DAY_OF_YEAR).format(date);
}

// A client's clock can be thousands of years off, further than a Date reaches.
function isTime(date) {
  return !Number.isNaN(date.getTime());
}

/** 2026-11-21 14:03:22.123456 UTC, for tooltips: what the server said, to the microsecond. */
export function utc(iso) {
  return `${String(iso).replace("T", " ").replace(/Z$/, "")} UTC`;
}

/** "12 sec. ago", "3 hr. ago", or the day when it is over a week ago. */
export function ago(iso, nowMs = Date.now()) {
  const seconds = (nowMs - Date.parse(iso)) / 1000;
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 5) return "now";
  if (seconds < 60) return AGO.format(-Math.round(seconds), "second");
  if (seconds < 3600) return AGO.format(-Math.round(seconds / 60), "minute");
  if (seconds < 86_400) return AGO.format(-Math.round(seconds / 3600), "hour");
  if (seconds < 7 * 86_400) return AGO.format(-Math.round(seconds / 86_400), "day");
  return day(iso);
}

/** Milliseconds as an axis shows them, all ticks in one unit. */
export function tick(ms, stepMs) {
  if (ms === 0) return "0";
  if (stepMs >= 60_000) return `${Number((ms / 60_000).toPrecision(6))} min`;
  if (stepMs >= 100) return `${Number((ms / 1000).toPrecision(6))} s`;
  if (stepMs >= 0.1) return `${Number(ms.toPrecision(6))} ms`;
  return `${Number((ms * 1000).toPrecision(6))} µs`;
}

/**
 * Make foreign text show what it is: control characters as pictures, direction overrides by name.
 *
 * A right-to-left override would let a name read as another name.
 */
export function visible(text) {
  return String(text)
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, (at) => String.fromCodePoint(0x2400 + at.charCodeAt(0)))
    .replace(/\u007f/g, "␡")
    .replace(/[\u0080-\u009f\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u2069\ufeff]/g, (at) => `‹U+${at.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);
}

/** `visible`, on one line. */
export function oneLine(text, limit = 400) {
  const cut = String(text).slice(0, limit);
  return visible(cut.replace(/\s+/g, " ").trim()) + (text.length > limit ? "…" : "");
}
