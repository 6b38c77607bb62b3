/**
 * Which dynos carry it, how many, and what that costs; and what it costs where it is metered. Pure: coefficients and plans are handed in.
 * Needs model.js.
 */
(() => {
  "use strict";

  const { cores, memory } = globalThis.calculator.model;
  const MOST_DYNOS = 1000;
  const DEPLOY = 2; // old and new dynos run side by side, and so do their connections to the services
  const REDIS = 2; // connections of a process (docs/operations.md)
  const POSTGRES = 3;
  const ENDS = ["value", "low", "high"];

  /**
   * @typedef {{streams: number, sharedCores: number, memoryShare: number, coreShare: number}} Assumptions `streams`: as many as the router
   *   passes to one dyno; `sharedCores`: what a shared dyno gets of a core; the shares are those that are planned with
   */

  /** What keeps so many dynos of a plan from carrying it: "router", "memory", "CPU"; undefined when nothing does. */
  function obstacle(coefficients, inputs, transport, plan, assumptions, end, count) {
    if (inputs.clients / count > assumptions.streams) return "router";
    const processes = count * plan.processes;
    if (memory.at(end, coefficients, inputs, transport, processes) / count > plan.mb * assumptions.memoryShare) return "memory";
    // A process has one thread that counts: more cores than processes are of no use.
    const usable = Math.min(plan.cores ?? assumptions.sharedCores, plan.processes) * assumptions.coreShare;
    return cores.at(end, coefficients, inputs, transport, processes) / count > usable ? "CPU" : undefined;
  }

  /** The fewest dynos that carry it, and what one less would lack; undefined when no number does. More dynos never carry less. */
  function fewest(coefficients, inputs, transport, plan, assumptions, end) {
    const lacks = (count) => obstacle(coefficients, inputs, transport, plan, assumptions, end, count);
    let [short, enough] = [0, plan.most ?? MOST_DYNOS];
    if (lacks(enough)) return undefined;
    while (enough - short > 1) {
      const middle = (short + enough) >> 1;
      if (lacks(middle)) short = middle;
      else enough = middle;
    }
    return { count: enough, limit: short ? lacks(short) : undefined };
  }

  const smallest = (plans, connections) => plans.find((plan) => plan.connections >= connections);

  /** The price a month of so many dynos with their services. `usd` is undefined where no price is known that allows the connections. */
  function priced(plans, plan, { count, limit }) {
    const processes = count * plan.processes * DEPLOY;
    const redis = smallest(plans.redis, processes * REDIS);
    const postgres = smallest(plans.postgres, processes * POSTGRES);
    return { count, limit, redis, postgres, usd: redis && postgres && count * plan.usd + redis.usd + postgres.usd };
  }

  /** A plan at each end of the range; an end is undefined where it does not carry it. */
  function offer(coefficients, plans, inputs, transport, plan, assumptions, wanted) {
    const ends = wanted.map((end) => {
      const found = fewest(coefficients, inputs, transport, plan, assumptions, end);
      return [end, found && priced(plans, plan, found)];
    });
    return { plan, ...Object.fromEntries(ends) };
  }

  /** All plans for one transport, at those ends of the range. */
  const offers = (coefficients, plans, inputs, transport, assumptions, wanted = ENDS) =>
    plans.dynos.map((plan) => offer(coefficients, plans, inputs, transport, plan, assumptions, wanted));

  /** The one with the lowest known price; undefined when there is none. */
  function cheapest(found) {
    const known = found.filter((one) => one.value?.usd !== undefined);
    return known.reduce((best, one) => (best && best.value.usd <= one.value.usd ? best : one), undefined);
  }

  /** The lowest known price at each end of the range, of whichever plan; Infinity where none is known. */
  function prices(found) {
    const lowest = (end) => Math.min(...found.map((one) => one[end]?.usd ?? Infinity));
    return { low: lowest("low"), high: lowest("high") };
  }

  /** US$ a month where memory, CPU and egress are metered, at each end of an estimate. Without the database and Redis. */
  function metered({ memory, core, egress, least }, estimate) {
    const usd = (end) => Math.max(least, (estimate.memory[end] / 1024) * memory + estimate.cores[end] * core + estimate.egress[end] * egress);
    return Object.fromEntries(ENDS.map((end) => [end, usd(end)]));
  }

  globalThis.calculator = { ...globalThis.calculator, fit: { offers, cheapest, prices, metered } };
})();
