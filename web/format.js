/** Numbers and moments as people read them. Pure; anything that is not what was promised becomes a dash. */

export const UNKNOWN = "–";

/** A figure with at most `digits` decimals, always the same number of them, so that it does not jump about. */
export function figure(value, digits = 1) {
  return Number.isFinite(value) ? value.toFixed(digits) : UNKNOWN;
}

/** How long, from ms, in whole units: "14 s", "3 min 5 s", "2 h 10 min". */
export function duration(ms) {
  if (!Number.isFinite(ms)) return UNKNOWN;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** How long ago, from ms. */
export function age(ms) {
  if (!Number.isFinite(ms)) return UNKNOWN;
  return ms < 1000 ? "just now" : `${duration(ms)} ago`;
}

/** A lag in ms, without its unit: three digits are all that one can read at a glance. */
export function lag(ms) {
  if (!Number.isFinite(ms)) return UNKNOWN;
  return ms < 99.95 ? Math.max(0, ms).toFixed(1) : count(Math.round(ms));
}

/** The local time of day of a moment in Unix ms. */
export function clock(at) {
  const date = new Date(Number.isFinite(at) ? at : NaN);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** A whole number with commas between the thousands, as charts and buttons have it. */
export function count(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** An amount of data: 1 kB are 1000 bytes. */
export function bytes(value) {
  if (!Number.isFinite(value)) return UNKNOWN;
  if (value < 1000) return `${value} B`;
  const power = Math.min(3, Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** power;
  return `${scaled.toFixed(scaled < 99.95 ? 1 : 0)} ${["B", "kB", "MB", "GB"][power]}`;
}

/** Which side of the thresholds of protocol §4 a percentage is on. */
export function grade(name, value) {
  const [warning, critical] = THRESHOLDS[name] ?? [Infinity, Infinity];
  if (value > critical) return "critical";
  return value > warning ? "warning" : "good";
}

const THRESHOLDS = { cpu: [70, 90], memory: [80, 95] };
