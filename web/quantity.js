/** A value with its unit, as short as it can be read beside a chart. Pure. */
import { UNKNOWN } from "./format.js";

/** Three digits are what eyes compare: 0.042, 4.2, 42, 4,200. Zeros at the end say nothing beside an axis. */
function digits(value) {
  const size = Math.abs(value);
  const places = size >= 100 ? 0 : size >= 1 ? 1 : 2;
  const rounded = Number(value.toFixed(places));
  return (rounded === 0 ? 0 : rounded).toLocaleString("en");
}

/**
 * @param {unknown} value anything but a finite number is a dash
 * @param {string} unit "ms" becomes s and min when it is long; any other stands behind the number
 */
export function quantity(value, unit) {
  if (!Number.isFinite(value)) return UNKNOWN;
  if (unit !== "ms") return unit ? `${digits(value)} ${unit}` : digits(value);
  const size = Math.abs(value);
  if (size < 1000) return `${digits(value)} ms`;
  return size < 120_000 ? `${digits(value / 1000)} s` : `${digits(value / 60_000)} min`;
}
