/** Numbers and moments as people read them. Pure; anything that is not what was promised becomes a dash. */

export const UNKNOWN = "–";

/** A figure with at most `digits` decimals, always the same number of them, so that it does not jump about. */
export function figure(value, digits = 1) {
  return Number.isFinite(value) ? value.toFixed(digits) : UNKNOWN;
}

/** How long ago, from ms. */
export function age(ms) {
  if (!Number.isFinite(ms)) return UNKNOWN;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 1) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s ago`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min ago`;
}

/** A lag in ms. A negative one is no lag: the two clocks differ, and saying so is the only honest figure. */
export function lag(ms) {
  if (!Number.isFinite(ms)) return UNKNOWN;
  if (ms <= -1) return "clocks differ";
  return ms < 100 ? `${Math.max(0, ms).toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** A duration in ms as seconds with one decimal. */
export function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** The local time of day of an RFC 3339 moment. */
export function clock(moment) {
  const date = new Date(moment ?? NaN);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** A whole number with thin gaps between the thousands. */
export function count(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Which side of the thresholds of protocol §4 a percentage is on. */
export function grade(name, value) {
  const [warning, critical] = THRESHOLDS[name] ?? [Infinity, Infinity];
  if (value > critical) return "critical";
  return value > warning ? "warning" : "good";
}

const THRESHOLDS = { cpu: [70, 90], memory: [80, 95] };
