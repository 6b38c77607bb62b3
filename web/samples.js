/**
 * The delivery lags of one connection over the last minutes: percentiles of all of them, and a series for charts with one value a second.
 *
 * There is a histogram for each second, in a ring, and one of all of them: nothing grows, at one update a second or at a thousand. Pure:
 * the moments are handed in, in ms of a clock that never goes back.
 */
import { CLASSES, classOf, quantiles } from "./histogram.js";


const SHARES = [0.5, 0.95, 0.99];

/**
 * @typedef {object} Series one value for each finished second, oldest first
 * @property {number[]} x seconds before now: -120 to -1
 * @property {(number | null | undefined)[]} p50 ms; null while there was no connection (a gap in a line), undefined in a second without any
 *   lag (the line goes on)
 * @property {(number | null | undefined)[]} p95
 * @property {(number | null | undefined)[]} p99
 * @property {(number | null)[]} rate updates in that second
 */

/** @param {{seconds?: number}} options how far back they reach */
export function createSamples({ seconds = 120 } = {}) {
  const slots = seconds + 1; // the finished seconds, and the one that runs
  const counts = new Uint32Array(slots * CLASSES);
  const all = new Uint32Array(CLASSES); // of all slots together, so that percentiles cost one pass
  const lags = new Float64Array(slots);
  const updates = new Float64Array(slots);
  const connected = new Uint8Array(slots); // 1: that second is no gap
  const values = new Float64Array(slots * SHARES.length); // percentiles of a second, kept until it gets another lag
  const known = new Uint8Array(slots);
  let total = 0;
  let newest = -Infinity; // the second that runs
  let isConnected = false;
  let drawn = null; // what series() last returned, until it would be another

  const slotOf = (second) => ((second % slots) + slots) % slots;
  const countsOf = (slot) => counts.subarray(slot * CLASSES, (slot + 1) * CLASSES);

  function empty(slot) {
    if (lags[slot] > 0) {
      const old = countsOf(slot);
      for (let index = 0; index < CLASSES; index += 1) all[index] -= old[index];
      old.fill(0);
    }
    total -= lags[slot];
    lags[slot] = updates[slot] = 0;
    connected[slot] = isConnected ? 1 : 0;
  }

  /** Make the second of `at` the newest one; what is older than the window is forgotten. */
  function advance(at) {
    const second = Math.floor(at / 1000);
    if (!(second > newest)) return;
    const first = Math.max(newest + 1, second - seconds);
    for (let passed = first; passed <= second; passed += 1) empty(slotOf(passed));
    newest = second;
    drawn = null;
  }

  /** The slot that `at` belongs to; -1 when it is too old. */
  function find(at) {
    advance(at);
    const second = Math.floor(at / 1000);
    return second >= newest - seconds ? slotOf(second) : -1;
  }

  function percentilesOf(slot) {
    const kept = values.subarray(slot * SHARES.length, (slot + 1) * SHARES.length);
    if (!known[slot]) {
      kept.set(quantiles(countsOf(slot), lags[slot], SHARES));
      known[slot] = 1;
    }
    return kept;
  }

  function count(at, n = 1) {
    const slot = find(at);
    found(at);
    if (slot < 0) return slot;
    updates[slot] += n;
    connected[slot] = 1;
    if (slot !== slotOf(newest)) drawn = null;
    return slot;
  }

  function found(at) {
    advance(at);
    isConnected = true;
    connected[slotOf(newest)] = 1;
  }

  return {
    /** One update that arrived at `at`, and its lag in ms. A lag that is no finite number is not known: the update is counted only. */
    add(at, lag) {
      const slot = count(at);
      if (slot < 0 || !Number.isFinite(lag)) return;
      const index = classOf(lag);
      counts[slot * CLASSES + index] += 1;
      all[index] += 1;
      lags[slot] += 1;
      total += 1;
      known[slot] = 0;
    },
    /** `n` updates whose lag says nothing about the wire: replayed ones, or such without a stamp. */
    count(at, n) {
      count(at, n);
    },
    /** The connection is there: seconds without an update are a rate of 0 from now on, not a gap. */
    found,
    /** The connection is gone: a gap, until something arrives or found() is called. */
    lost(at) {
      advance(at);
      isConnected = false;
      const slot = slotOf(newest);
      if (updates[slot] === 0) connected[slot] = 0; // a rate of 0 would be that of a part of a second
    },
    /** @returns {{p50: number, p95: number, p99: number, count: number}} of all lags in the window; NaN of none */
    percentiles(now) {
      advance(now);
      const [p50, p95, p99] = quantiles(all, total, SHARES);
      return { p50, p95, p99, count: total };
    },
    /**
     * The second that runs is left out: it would always look like a fall. So there is nothing new to draw within a second, and what
     * is returned is then the same object.
     * @returns {Series}
     */
    series(now) {
      advance(now);
      if (drawn) return drawn;
      const series = { x: [], p50: [], p95: [], p99: [], rate: [] };
      for (let back = seconds; back >= 1; back -= 1) {
        const slot = slotOf(newest - back);
        const missing = connected[slot] ? undefined : null;
        const [p50, p95, p99] = lags[slot] > 0 ? percentilesOf(slot) : [missing, missing, missing];
        series.x.push(-back);
        series.p50.push(p50);
        series.p95.push(p95);
        series.p99.push(p99);
        series.rate.push(connected[slot] ? updates[slot] : null);
      }
      drawn = series;
      return series;
    },
    /** Forget all samples; whether there is a connection stays known. */
    clear() {
      for (let slot = 0; slot < slots; slot += 1) empty(slot);
      connected.fill(0);
      drawn = null;
      if (newest > -Infinity && isConnected) connected[slotOf(newest)] = 1;
    },
  };
}
