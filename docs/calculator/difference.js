/** Where the two transports differ, and from where on they do. Pure. Needs model.js and fit.js. */
(() => {
  "use strict";

  const { cores, egress } = globalThis.calculator.model;
  const { offers, cheapest, prices } = globalThis.calculator.fit;
  const BOTH = ["sse", "cable"];
  const ALIKE = 1.1; // less than a tenth more
  const SIZES = [2, 65_536]; // bytes: the smallest update and the largest
  const CLIENTS = [100, 200_000];
  const STEP = 1.1;

  /** Whole numbers from one to the other, each a tenth more than the one before: prices rise in steps, and may meet again. */
  function ladder([first, last]) {
    const steps = Math.ceil(Math.log(last / first) / Math.log(STEP));
    const found = Array.from({ length: steps + 1 }, (_, step) => Math.min(last, Math.round(first * STEP ** step)));
    return [...new Set(found)];
  }

  /** Whether the measurements tell the CPU of both apart: the ranges have nothing in common. */
  function cpuDiffers(coefficients, inputs, processes) {
    const [sse, cable] = BOTH.map((transport) => cores(coefficients, inputs, transport, processes));
    return sse.low > cable.high || cable.low > sse.high;
  }

  /** MB that cable takes more than SSE: each connection's, at the ends that are nearest and farthest. What is the same for both is left out. */
  function memoryMore({ values }, { clients }) {
    const [sse, cable] = BOTH.map((key) => values[`memory-${key}`]);
    const more = { value: cable.value - sse.value, low: cable.low - sse.high, high: cable.high - sse.low };
    return Object.fromEntries(Object.entries(more).map(([end, kib]) => [end, (clients * kib) / 1024]));
  }

  /** How many times the bytes of SSE a transport sends, as measured. */
  function egressTimes(coefficients, inputs, transport) {
    return egress.at("value", coefficients, inputs, transport) / egress.at("value", coefficients, inputs, "sse");
  }

  /** The smallest update at which cable sends less than a tenth more than SSE; undefined when none of 64 KiB does. */
  function sizeAlike(coefficients, inputs) {
    const alike = (size) => egressTimes(coefficients, { ...inputs, size }, "cable") < ALIKE;
    let [differs, found] = [SIZES[0] - 1, SIZES[1]];
    if (!alike(found)) return undefined;
    // What is around an update weighs the less the larger it is, so there is one size from which on it is so.
    while (found - differs > 1) {
      const middle = (differs + found) >> 1;
      if (alike(middle)) found = middle;
      else differs = middle;
    }
    return found;
  }

  /**
   * The fewest connections at which the cheapest offers differ in price, the prices, and whether their ranges do too; undefined when no number
   * of those looked at does.
   */
  function costsPart(coefficients, plans, inputs, assumptions) {
    for (const clients of ladder(CLIENTS)) {
      const both = (ends) => BOTH.map((transport) => offers(coefficients, plans, { ...inputs, clients }, transport, assumptions, ends));
      const [sse, cable] = both(["value"]).map((found) => cheapest(found)?.value.usd);
      if (sse === undefined && cable === undefined) return undefined; // dearer than what prices are known of
      if (sse !== cable) return { clients, sse, cable, apart: apart(...both(["low", "high"]).map(prices)) };
    }
    return undefined;
  }

  /** Whether two ranges have nothing in common. */
  const apart = (one, other) => one.high < other.low || other.high < one.low;

  globalThis.calculator = { ...globalThis.calculator, difference: { cpuDiffers, memoryMore, egressTimes, sizeAlike, costsPart, apart, CLIENTS } };
})();
