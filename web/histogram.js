/**
 * Lags counted in classes, each 2 % wider than the one before. So the memory is the same however many they are, and a percentile is that of
 * a sample which was really there, within 1 % or 0.05 ms, whichever is more. (Exact ones would take sorting 120,000 numbers for each
 * drawing.) Pure.
 */

const GROWTH = 1.02; // from one class to the next: its middle is within 1 % of all that is in it
const LEAST = 0.05; // ms; the class in the middle holds what is smaller: browsers' clocks tell tenths of a ms
const MIDDLE = 1080; // classes on each side of that one: up to a day. Above that a lag counts as a day

/** How many classes there are. */
export const CLASSES = 2 * MIDDLE + 1;

/** The class of a lag in ms. Negative lags have theirs: two clocks may differ, and a chart has to show it. */
export function classOf(lag) {
  const size = Math.abs(lag);
  if (size <= LEAST) return MIDDLE;
  const steps = Math.min(MIDDLE, Math.ceil(Math.log(size / LEAST) / Math.log(GROWTH)));
  return lag > 0 ? MIDDLE + steps : MIDDLE - steps;
}

/** The lag that stands for a class: as far, in per cent, from its lower bound as from its upper one. */
function lagOf(index) {
  const steps = index - MIDDLE;
  if (steps === 0) return 0;
  return Math.sign(steps) * LEAST * GROWTH ** Math.abs(steps) * (2 / (1 + GROWTH));
}

/**
 * For each share the smallest lag that at least this share of all does not exceed (nearest rank); NaN of none.
 * @param {Uint32Array} counts by class
 * @param {number} total the sum of `counts`
 * @param {number[]} shares ascending, 0 to 1
 * @returns {number[]} ms
 */
export function quantiles(counts, total, shares) {
  const found = shares.map(() => NaN);
  let [seen, next] = [0, 0];
  for (let index = 0; total > 0 && next < shares.length; index += 1) {
    seen += counts[index];
    for (; next < shares.length && seen >= Math.max(1, Math.ceil(shares[next] * total)); next += 1) found[next] = lagOf(index);
  }
  return found;
}
