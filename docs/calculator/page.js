/** Draws what was worked out. The only file that knows the page and all the parts. Everything goes into it as text, never as markup. */
(() => {
  "use strict";

  const { coefficients, plans, model, fit, difference, words, inputs } = globalThis.calculator;
  const { NAMES, TRANSPORTS, number, amount, span, price, ends } = words;
  const FALLBACK_PROCESSES = 2; // where no offer says how many
  const at = (selector) => document.querySelector(selector);
  const form = at("#inputs");

  function element(tag, content, attributes = {}) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...[content].flat());
    return made;
  }

  const head = (texts) => element("thead", element("tr", texts.map((text) => element("th", text, { scope: "col" }))));

  /** A row whose first cell is its heading. */
  const row = ([name, ...cells]) => element("tr", [element("th", name, { scope: "row" }), ...cells.map((cell) => element("td", cell))]);

  function table(id, columns, rows) {
    at(id).replaceChildren(head(columns), element("tbody", rows.map(row)));
  }

  const list = (id, sentences) => at(id).replaceChildren(...sentences.map((sentence) => element("li", sentence)));

  /** A value with its range below it. */
  function ranged(range, unit) {
    const below = span(range, unit);
    return [amount(range.value, unit), ...(below ? [element("small", below)] : [])];
  }

  /** The cheapest offer of each transport, and what it takes there. */
  function found(load, assumptions) {
    return TRANSPORTS.map((transport) => {
      const offers = fit.offers(coefficients, plans, load, transport, assumptions);
      const best = fit.cheapest(offers);
      const processes = best ? best.value.count * best.plan.processes : FALLBACK_PROCESSES;
      const estimate = model.estimate(coefficients, load, transport, processes);
      return { transport, offers, best, processes, estimate, metered: fit.metered(plans.metered, estimate) };
    });
  }

  function drawResults(columns) {
    const of = (name, cell) => [name, ...columns.map(cell)];
    table("#results", ["Quantity", ...columns.map(({ transport }) => NAMES[transport])], [
      of("Cheapest on Heroku", ({ best }) => (best ? `${best.value.count} x ${best.plan.name}` : "none with a known price")),
      of("Its price a month", ({ best }) => price(best?.value.usd)),
      of("Processes", ({ processes }) => number(processes)),
      of("Memory of all", ({ estimate }) => ranged(estimate.memory, "MB")),
      of("CPU of all", ({ estimate }) => ranged(estimate.cores, "cores")),
      of("Egress a month", ({ estimate }) => ranged(estimate.egress, "GB")),
      of(`Metered, ${plans.metered.name}`, ({ metered: { value, low, high } }) => [
        price(value),
        element("small", `${price(low)} to ${price(high)}`),
      ]),
      of("CPU to take all in again", ({ estimate }) => ranged(estimate.takeIn, "s")),
    ]);
  }

  function drawOffers(columns) {
    const shown = columns.filter(({ transport }) => transport !== "cable+ext");
    const heads = shown.flatMap(({ transport }) => [`${NAMES[transport]}: dynos`, "US$", "decided by"]);
    const rows = plans.dynos.map((plan, place) => [
      plan.name,
      ...shown.flatMap(({ offers }) => {
        const offer = offers[place];
        return [ends(offer, ({ count }) => number(count)), offer.low ? ends(offer, ({ usd }) => price(usd)) : "", words.limit(offer)];
      }),
    ]);
    table("#offers", ["Plan", ...heads], rows);
  }

  function drawDifferences(load, assumptions, columns) {
    const { cpuDiffers, memoryMore, egressTimes, sizeAlike, costsPart, CLIENTS } = difference;
    list(
      "#differences",
      words.differences({
        cpuDiffers: cpuDiffers(coefficients, load, columns[0].processes),
        memory: memoryMore(coefficients, load),
        cable: egressTimes(coefficients, load, "cable"),
        extended: egressTimes(coefficients, load, "cable+ext"),
        size: sizeAlike(coefficients, load),
        part: costsPart(coefficients, plans, load, assumptions),
        most: CLIENTS[1],
        platform: plans.metered.name,
        metered: Object.fromEntries(columns.map(({ transport, metered }) => [transport, metered])),
      }),
    );
  }

  function draw() {
    const { fault, load, assumptions } = inputs.read(form);
    document.body.toggleAttribute("data-outdated", Boolean(fault));
    if (fault) return void (at("#verdict").textContent = fault);
    const columns = found(load, assumptions);
    const best = Object.fromEntries(columns.map(({ transport, best: one }) => [transport, one]));
    const ranges = Object.fromEntries(columns.map(({ transport, offers }) => [transport, fit.prices(offers)]));
    at("#verdict").textContent = words.verdict(load, best, ranges);
    drawResults(columns);
    drawOffers(columns);
    drawDifferences(load, assumptions, columns);
    list("#beyond", model.extrapolated(coefficients, load, Math.min(...columns.map(({ processes }) => processes))));
  }

  /** What does not depend on what is entered. */
  function drawSources() {
    list("#sources", plans.sources.map(({ what, where, date }) => `${what}: ${where}${date ? `, ${date}` : ""}.`));
    table("#checks", ["Row", "Clients", "Updates a second", "In one publish", "Model, cores", "Measured, cores"], coefficients.checks.map(drawCheck));
    table("#coefficients", ["Coefficient", "Value", "Range", "From"], Object.values(coefficients.values).map(drawCoefficient));
    table(
      "#files",
      ["Result file", "Measured", "Commit", "Machine"],
      coefficients.files.map(({ file, date, commit, machine }) => [file, date, commit, machine]),
    );
  }

  function drawCheck({ file, transport, inputs: given, cores }) {
    const said = model.cores(coefficients, { reconnects: 0, ...given }, transport, 1);
    return [`${file}, ${NAMES[transport]}`, number(given.clients), number(given.rate), number(given.burst), ranged(said, ""), ranged(cores, "")];
  }

  function drawCoefficient({ says, unit, value, low, high, from }) {
    const sources = typeof from === "string" ? [from] : from.map(({ file, of }) => `${file}, ${of}`);
    return [says, `${number(value)} ${unit}`, span({ low, high }, ""), sources.flatMap((source) => [source, element("br", [])])];
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    draw();
    // Not a new entry for each key that is pressed.
    if (!document.body.hasAttribute("data-outdated")) history.replaceState(null, "", inputs.toAddress(form));
  });
  addEventListener("hashchange", () => {
    inputs.fromAddress(form, location.hash);
    draw();
  });
  form.elements.cpu.defaultValue = String(Math.round(coefficients.values["core-share"].value * 100));
  inputs.fromAddress(form, location.hash);
  drawSources();
  draw();
})();
