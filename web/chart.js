/**
 * One chart of series over the last minutes, by uPlot, with its legend and its table.
 *
 * It draws what it is handed; what the values are is the business of samples.js. Charts with the same `sync` share one cursor, and with
 * the same `scale` one height. Colours and dashes are the style sheet's (chart.css), read when they may have changed.
 */
import { createChartTable } from "./chart-table.js";
import { quantity } from "./quantity.js";
import { createScale } from "./scale.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const WORDS_EVERY = 10_000; // ms between two labels for screen readers: more often nobody can listen
const AXES = { width: 4.7, height: 2.3, gap: 0.6 }; // em, the same in every chart: seconds are above each other, then
const TICK = 30; // seconds
const DASHES = { 1: [], 2: [7, 4], 3: [2, 3] }; // by tone: who does not see the colours sees these

/**
 * @typedef {object} Spec
 * @property {string} key of the array in what draw() is given
 * @property {string} label
 * @property {1 | 2 | 3} tone colour and dash
 * @property {"line" | "steps"} [shape]
 */

/**
 * @param {HTMLElement} host
 * @param {object} options
 * @param {string} options.title
 * @param {string} [options.of] what it is of, where others have the same title: not shown, for screen readers
 * @param {string} options.unit
 * @param {Spec[]} options.series
 * @param {string} [options.sync] the name of a group whose charts share the cursor
 * @param {ReturnType<typeof createScale>} [options.scale] shared with other charts
 * @param {() => number} [options.now] monotonic, ms
 */
export function createChart(host, { title, of, unit, series, sync, scale = createScale(), now = () => performance.now() }) {
  const spoken = of ? `${title}, ${of}` : title;
  const parts = build(title, spoken, series);
  const table = createChartTable({ title: spoken, unit, columns: series, onOpen: () => latest && table.fill(latest) });
  parts.figure.append(table.element);
  host.append(parts.figure);

  let plot = null;
  let latest = null;
  let look = null;
  let spokenAt = -Infinity;

  function options({ width, height }) {
    const { em, font } = look;
    const grid = { stroke: () => look.grid, width: 1 };
    const axis = { stroke: () => look.ink, grid, ticks: { show: false }, font };
    return {
      width,
      height,
      legend: { show: false },
      padding: [0.5 * em, 1.2 * em, 0, 0],
      cursor: {
        y: false,
        drag: { x: false, y: false },
        points: { size: 7 },
        ...(sync && { sync: { key: sync, scales: ["x", null] } }),
      },
      scales: {
        x: { time: false, range: (_, first) => [first, 0] },
        y: { range: () => withRoom(scale.range()) },
      },
      axes: [
        { ...axis, size: AXES.height * em, gap: AXES.gap * em, splits: (_, __, first) => ticks(first), values: (_, at) => at.map(moment) },
        {
          ...axis,
          size: AXES.width * em,
          gap: AXES.gap * em,
          splits: () => marks(scale.range()),
          values: (_, values) => values.map((value) => quantity(value, unit)),
        },
      ],
      series: [{}, ...series.map((spec, index) => line(spec, () => look.series[index]))],
      hooks: { setCursor: [({ cursor }) => showLegend(cursor)] },
    };
  }

  const canDraw = () => latest !== null && !document.hidden && parts.plot.clientWidth > 0;

  function draw() {
    if (!canDraw()) return;
    const values = series.map(({ key }) => latest[key]);
    const [low, high] = extremes(values);
    scale.report(redraw, low, high);
    if (plot) plot.setData([latest.x, ...values]);
    else {
      look = readLook(parts);
      plot = new uPlot(options(sizeOf(parts.plot)), [latest.x, ...values], parts.plot);
    }
    parts.empty.hidden = high > -Infinity;
    showLegend(plot.cursor);
    if (now() - spokenAt >= WORDS_EVERY) describe();
  }

  /** The scale has moved, or the colours: the same values, drawn again. */
  function redraw() {
    if (plot && canDraw()) plot.setData(plot.data);
  }

  function describe() {
    spokenAt = now();
    parts.plot.setAttribute("aria-label", sentence(spoken, unit, series, latest));
    if (table.isOpen()) table.fill(latest);
  }

  /** The values under the cursor; without one the newest. */
  function showLegend({ left, idx }) {
    const pointed = left >= 0 && Number.isInteger(idx);
    const at = pointed ? idx : latest.x.length - 1;
    parts.moment.textContent = pointed ? `${-latest.x[at]} s ago` : "";
    series.forEach(({ key }, which) => {
      parts.values[which].textContent = quantity(lastKnown(latest[key], at), unit);
    });
  }

  function recolour() {
    if (!plot) return;
    look = readLook(parts);
    redraw();
  }

  // In the next frame: what is done within the notice may resize what is observed, which browsers report as an error.
  let frame = 0;
  function fit() {
    // uPlot reads a font once: a page that writes larger on a large screen needs another plot.
    if (plot && readLook(parts).font !== look.font) {
      plot.destroy();
      plot = null;
    }
    const { width, height } = sizeOf(parts.plot);
    if (plot && width > 0 && (plot.width !== width || plot.height !== height)) plot.setSize({ width, height });
    draw(); // what came while there was no room, or nobody looked
  }
  const size = new ResizeObserver(() => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(fit);
  });
  size.observe(parts.plot);
  document.addEventListener("visibilitychange", fit);
  const stopWatching = watchTheme(recolour);

  return {
    element: parts.figure,
    /**
     * @param {import("./samples.js").Series} values kept while the page is hidden, and drawn when it is seen again; the same object again
     *   is not drawn again
     */
    draw(values) {
      if (values === latest) return;
      latest = values;
      draw();
    },
    destroy() {
      size.disconnect();
      cancelAnimationFrame(frame);
      document.removeEventListener("visibilitychange", fit);
      stopWatching();
      scale.forget(redraw);
      plot?.destroy();
      plot = latest = null;
      parts.figure.remove();
    },
  };
}

// --- what it is made of

function element(name, className, ...children) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

function build(title, spoken, series) {
  const swatches = series.map(({ tone }) => element("span", `chart-swatch tone-${tone}`));
  const values = series.map(() => element("span", "chart-value", "–"));
  const moment = element("span", "chart-moment");
  const entries = series.map(({ label }, index) => element("li", "chart-entry", swatches[index], `${label} `, values[index]));
  const legend = element("ul", "chart-legend", ...entries);
  const caption = element("figcaption", "chart-caption", element("span", "chart-title", title), moment, legend);
  const empty = element("p", "chart-empty", "Nothing to draw yet");
  const plot = element("div", "chart-plot");
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `${spoken}: nothing to draw yet`);
  const figure = element("figure", "chart", caption, element("div", "chart-frame", plot, empty));
  return { figure, plot, empty, moment, values, swatches };
}

function line({ label, tone, shape = "line" }, stroke) {
  const steps = shape === "steps";
  return {
    label,
    stroke,
    width: steps ? 2 : 1.75, // an even one leaves no hair at the end of a gap
    dash: DASHES[tone],
    ...(steps && { paths: uPlot.paths.stepped({ align: 1 }) }),
    // A value between two gaps has no line: without a point it would not be seen.
    points: { show: false, size: 4, fill: stroke, filter: (plot, index) => alone(plot.data[index]) },
  };
}

/** Which values have no neighbour that a line could come from. */
export function alone(values) {
  const found = [];
  let [candidate, joined] = [-1, false];
  values.forEach((value, index) => {
    if (value === undefined) return;
    if (value !== null && candidate < 0) [candidate, joined] = [index, false];
    else if (value !== null) joined = true;
    else {
      if (candidate >= 0 && !joined) found.push(candidate);
      candidate = -1;
    }
  });
  if (candidate >= 0 && !joined) found.push(candidate);
  return found;
}

/** The value at `index`, or the one before it that the line comes from: a second without an update is no reason for a dash. */
export function lastKnown(values, index) {
  let at = index;
  while (at > 0 && values[at] === undefined) at -= 1;
  return values[at];
}

function sizeOf(box) {
  return { width: box.clientWidth, height: box.clientHeight };
}

/** uPlot cuts off half of a line that runs along the edge, where it has gaps. */
function withRoom([low, high]) {
  const room = (high - low) * 0.04;
  return [low - room, high + room];
}

function marks([low, high]) {
  return [low, low < 0 ? 0 : high / 2, high];
}

/** Moments on the axis stay where they are while the lines move on. */
function ticks(first) {
  const found = [];
  for (let at = Math.ceil(first / TICK) * TICK; at <= 0; at += TICK) found.push(at);
  return found;
}

function moment(seconds) {
  if (seconds === 0) return "now";
  return seconds % 60 === 0 ? `${-seconds / 60} min` : `${-seconds} s`;
}

/** @returns {[number, number]} lowest and highest of all values; Infinity and -Infinity of none */
function extremes(arrays) {
  const found = [Infinity, -Infinity];
  for (const values of arrays) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      found[0] = Math.min(found[0], value);
      found[1] = Math.max(found[1], value);
    }
  }
  return found;
}

function sentence(title, unit, series, { x, ...values }) {
  const parts = series.map(({ key, label }) => {
    const known = values[key].filter(Number.isFinite);
    if (known.length === 0) return `${label}: nothing yet`;
    return `${label}: newest ${quantity(known.at(-1), unit)}, highest ${quantity(Math.max(...known), unit)}`;
  });
  return `${title}, the last ${-x[0]} seconds. ${parts.join("; ")}.`;
}

// --- colours: canvas takes no CSS variables, so they are read from elements that have them

function readLook({ figure, swatches }) {
  const style = getComputedStyle(figure);
  return {
    ink: style.color,
    grid: style.borderTopColor,
    em: parseFloat(style.fontSize),
    font: `${style.fontSize} ${style.fontFamily}`,
    series: swatches.map((swatch) => getComputedStyle(swatch).color),
  };
}

/** Calls `act` when the system's preference or the page's choice changes. Returns what ends that. */
function watchTheme(act) {
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", act);
  const choice = new MutationObserver(act);
  choice.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return () => {
    preference.removeEventListener("change", act);
    choice.disconnect();
  };
}
