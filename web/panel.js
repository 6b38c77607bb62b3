/** One panel: what one transport is doing, drawn from its feed. Text from a wire goes into the page as text, never as markup. */
import { createChart } from "./chart.js";
import { fieldsOf, write } from "./fields.js";
import { UNKNOWN, age, bytes, count, lag } from "./format.js";
import { describeState } from "./sentences.js";

const LINES = [
  { key: "p50", label: "p50", tone: 1 },
  { key: "p95", label: "p95", tone: 2 },
  { key: "p99", label: "p99", tone: 3 },
];
const PERCENTILES = ["p50", "p95", "p99"];
const CURSORS = "panels"; // charts of this name show the same moment
const CHART_GAP = 500; // ms between two drawings of a chart: its values are of whole seconds

/**
 * @param {HTMLTemplateElement} template
 * @param {{endpoint: string, chip: HTMLElement, scales: {lag: object, rate: object}, now: () => number}} options the chip says the state at
 *   the top of the page; the scales are those of all panels: the same height has to mean the same value
 */
export function createPanel(template, feed, { endpoint, chip, scales, now }) {
  const element = template.content.cloneNode(true).querySelector(".panel");
  const fields = fieldsOf(element);
  const [cut, toggle] = ["cut", "toggle"].map((action) => element.querySelector(`[data-action=${action}]`));
  const chartsAt = (name) => element.querySelector(`[data-chart=${name}]`);
  let charts = null;
  let chartsDrawnAt = -Infinity;

  element.dataset.transport = feed.transport;
  element.id = `panel-${feed.transport}`;
  chip.hidden = false;
  write(fields.title, feed.title);
  fields.title.id = `title-${feed.transport}`;
  element.setAttribute("aria-labelledby", fields.title.id);
  write(fields.endpoint, endpoint);
  write(fields.spoken, `${feed.title}: `);
  cut.setAttribute("aria-label", `Cut the connection of ${feed.title}`);
  cut.addEventListener("click", feed.cut);
  toggle.addEventListener("click", () => (feed.state === "closed" ? feed.connect() : feed.disconnect()));

  /** Not before the panel is in the page: a chart has to know its width and its colours. */
  function createCharts() {
    const common = { sync: CURSORS };
    return [
      createChart(chartsAt("lag"), { ...common, title: "Delivery lag", unit: "ms", scale: scales.lag, series: LINES }),
      createChart(chartsAt("rate"), {
        ...common,
        title: "Updates per second",
        unit: "/s",
        scale: scales.rate,
        series: [{ key: "rate", label: "updates", tone: 1 }],
      }),
    ];
  }

  function drawCharts() {
    charts ??= createCharts();
    if (now() - chartsDrawnAt < CHART_GAP) return;
    chartsDrawnAt = now();
    const series = feed.samples.series(now());
    for (const chart of charts) chart.draw(series);
  }

  return {
    element,
    /** Not left to draw(): whether one is connected is true in a paused page, too. */
    showState() {
      const isClosed = feed.state === "closed";
      write(toggle, isClosed ? "Connect" : "Disconnect");
      toggle.setAttribute("aria-label", `${toggle.textContent} ${feed.title}`);
      cut.disabled = isClosed;
      element.dataset.state = feed.state;
      write(fields.state, feed.state);
      chip.dataset.state = feed.state;
      write(fieldsOf(chip).state, feed.state);
      write(fields.sentence, describeState(feed));
    },
    draw() {
      write(fields.sentence, describeState(feed));
      drawFigures(fields, feed, now());
      drawFacts(fields, feed);
      drawCharts();
    },
  };
}

function drawFigures(fields, feed, at) {
  const percentiles = feed.samples.percentiles(at);
  write(fields.age, age(feed.age));
  for (const name of PERCENTILES) write(fields[name], lag(percentiles[name]));
  write(fields["lag-note"], feed.clocksDiffer ? "not shown: the publisher's clock differs" : "");
}

function drawFacts(fields, feed) {
  const { completeness } = feed;
  write(fields.complete, completeness.summary);
  write(fields.loss, completeness.loss);
  write(fields["caught-up"], count(completeness.caughtUp));
  write(fields.reconnects, count(feed.reconnects));
  write(fields.updates, count(feed.updates));
  write(fields.received, bytes(feed.bytes));
  write(fields.position, feed.position || UNKNOWN);
  fields["ignored-row"].hidden = feed.notUnderstood === 0;
  write(fields.ignored, count(feed.notUnderstood));
}
