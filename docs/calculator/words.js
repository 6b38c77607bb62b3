/** Numbers and findings in words. Pure. */
(() => {
  "use strict";

  const { TRANSPORTS } = globalThis.calculator.model;
  const { apart } = globalThis.calculator.difference;
  const NAMES = { sse: "SSE", cable: "cable", "cable+ext": "extended cable" };
  const DIGITS = 3;
  const UNKNOWN = "not known";

  /** Three digits; what stands before the point is never rounded away. */
  function number(value) {
    const whole = Math.abs(value) >= 10 ** DIGITS;
    return value.toLocaleString("en", whole ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: DIGITS });
  }

  const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

  const UNITS = {
    MB: (value) => (Math.abs(value) < 10_000 ? [value, "MB"] : [value / 1024, "GB"]),
    GB: (value) => (Math.abs(value) < 1000 ? [value, "GB"] : [value / 1000, "TB"]),
  };

  /** "1.5 TB" of 1,500 GB. MB of memory have 1,024 KiB, GB of traffic 10^9 bytes. */
  function amount(value, unit) {
    const [scaled, name] = UNITS[unit]?.(value) ?? [value, unit];
    return `${number(scaled)} ${name}`.trim();
  }

  /** "1.2 to 3.4", or "900 GB to 1.2 TB" where the units differ; empty when there is nothing between the two. */
  function span({ low, high }, unit) {
    const [least, most] = [amount(low, unit), amount(high, unit)];
    if (least === most) return "";
    const [[from, unitOfLow], [to, unitOfHigh]] = [least.split(" "), most.split(" ")];
    return unitOfLow === unitOfHigh ? `${from} to ${to}` : `${least} to ${most}`;
  }

  const price = (usd) => (usd === undefined ? UNKNOWN : `$${usd.toLocaleString("en", { maximumFractionDigits: 0 })}`);

  /** Something at both ends of an offer: "4", "4 to 6", "from 4" where the other end is too much for the plan. */
  function ends(offer, of) {
    if (!offer.low) return "too much";
    const least = of(offer.low);
    if (!offer.high) return `from ${least}`;
    const most = of(offer.high);
    return least === most ? least : `${least} to ${most}`;
  }

  const LIMITS = { router: "the router", memory: "memory", CPU: "CPU" };

  /** What decides how many dynos of a plan it takes. */
  const limit = (offer) => (offer.value ? (LIMITS[offer.value.limit] ?? "one is enough") : "no second dyno");

  /** "$15 to $103"; "$15 and more" where no price is known at the high end. */
  const range = ({ low, high }) =>
    high === Infinity ? `${price(low)} and more` : low === high ? price(low) : `${price(low)} to ${price(high)}`;

  /** The range of both prices together, where it is more than the one that was said. */
  function around(said, { sse, cable }) {
    const both = { low: Math.min(sse.low, cable.low), high: Math.max(sse.high, cable.high) };
    return both.low === said && both.high === said ? "" : ` The range is ${range(both)}.`;
  }

  /** Whether the ranges tell the two prices apart; nothing where one of them is not known at all. */
  function settled({ sse, cable }) {
    if (sse.low === Infinity || cable.low === Infinity) return "";
    const tell = apart(sse, cable) ? "they do not meet" : "they meet, so the measurements do not tell which is cheaper";
    return ` The ranges are ${range(sse)} and ${range(cable)}: ${tell}.`;
  }

  /** The first sentence: what it costs, with either transport. `best`: the cheapest offer by transport, `ranges`: its price's. */
  function verdict({ clients, rate }, best, ranges) {
    const load = `${plural(clients, "connection")} and ${plural(rate, "update")} a second`;
    const said = (offer) => offer && `${offer.value.count} x ${offer.plan.name}, ${price(offer.value.usd)}`;
    const [sse, cable] = [said(best.sse), said(best.cable)];
    if (!sse && !cable) return `${load}: no plan with a known price carries that.`;
    if (sse === cable) return `${load}: ${sse} a month, with SSE and with cable alike.${around(best.sse.value.usd, ranges)}`;
    return `${load}: ${sse ?? UNKNOWN} a month with SSE, ${cable ?? UNKNOWN} with cable.${settled(ranges)}`;
  }

  /** Where the transports differ, in sentences. */
  function differences(found) {
    const { cpuDiffers, memory, cable, extended, size, part, most, platform, metered } = found;
    const percent = (times) => `${number((times - 1) * 100)} %`;
    return [
      cpuDiffers ? "CPU: the ranges of the two do not meet." : "CPU: the measurements do not tell the two apart.",
      `Memory: cable takes ${amount(memory.value, "MB")} more for these connections (${span(memory, "MB")}).`,
      `Egress: cable sends ${percent(cable)} more than SSE, with the extended protocol ${percent(extended)} more: ` +
        "it names its subscription in each update, and says ping every three seconds.",
      size === undefined
        ? "At this rate no size of an update brings the difference below a tenth."
        : `At this rate the difference is below a tenth from updates of ${number(size)} bytes on (base protocol).`,
      part
        ? `Heroku's price: they part at about ${number(part.clients)} connections, ${price(part.sse)} for SSE and ${price(part.cable)} for cable` +
          `${part.apart ? "" : "; their ranges meet there"}.`
        : `Heroku's price: the same at each number of connections up to ${number(most)}, as far as prices are known.`,
      `Where memory, CPU and egress are metered, at ${platform}: ${price(metered.sse.value)} a month (${range(metered.sse)}) for SSE, ` +
        `${price(metered.cable.value)} (${range(metered.cable)}) for cable.`,
    ];
  }

  globalThis.calculator = { ...globalThis.calculator, words: { NAMES, TRANSPORTS, number, amount, span, price, ends, limit, verdict, differences } };
})();
