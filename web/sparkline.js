/**
 * A line without axes beside a figure: where it came from. It has a fixed number of places in time, so that it costs the same however
 * often values come, and says its range in words.
 */
import { quantity } from "./quantity.js";
import { roundUp } from "./scale.js";

const SVG = "http://www.w3.org/2000/svg";
const WORDS_EVERY = 10_000; // ms between two labels for screen readers
const HEIGHT = 100; // of the drawing's own coordinates; the width is one for each place

/**
 * The values of the last `seconds`, as the newest of each of `places` equal parts, and the range of all of them. Pure.
 * @param {{seconds: number, places: number}} options
 */
export function createHistory({ seconds, places }) {
  const span = (seconds * 1000) / places;
  const newest = new Float64Array(places).fill(NaN);
  const low = new Float64Array(places).fill(NaN);
  const high = new Float64Array(places).fill(NaN);
  let last = -Infinity; // the part that runs

  function advance(at) {
    const part = Math.floor(at / span);
    for (let passed = Math.max(last + 1, part - places + 1); passed <= part; passed += 1) {
      newest[passed % places] = low[passed % places] = high[passed % places] = NaN;
    }
    last = Math.max(last, part);
  }

  return {
    /** A value that is no finite number is not known, and is left out. `at` in ms of a clock that never goes back. */
    add(at, value) {
      if (!Number.isFinite(value)) return;
      advance(at);
      const place = last % places;
      newest[place] = value;
      low[place] = Number.isNaN(low[place]) ? value : Math.min(value, low[place]);
      high[place] = Number.isNaN(high[place]) ? value : Math.max(value, high[place]);
    },
    /** @returns {number[]} oldest first; NaN in parts without a value */
    values(now) {
      advance(now);
      return Array.from({ length: places }, (_, index) => newest[(last + 1 + index) % places]);
    },
    /** @returns {{low: number, high: number, newest: number} | null} null without any value */
    range(now) {
      const known = this.values(now).filter(Number.isFinite);
      if (known.length === 0) return null;
      const finite = (values) => values.filter(Number.isFinite);
      return { low: Math.min(...finite(low)), high: Math.max(...finite(high)), newest: known.at(-1) };
    },
  };
}

/**
 * The paths of a line and of the area under it, in `values.length` x HEIGHT. A part without a value, between two that are at most `bridge`
 * parts apart, is drawn over; a longer gap is one. Pure.
 */
export function paths(values, top, bridge) {
  const runs = [];
  let before = -Infinity;
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) return;
    const y = HEIGHT * (1 - Math.min(1, Math.max(0, value / top)));
    const point = [index + 0.5, Math.round(y * 10) / 10];
    if (index - before > bridge) runs.push([point]);
    else runs.at(-1).push(point);
    before = index;
  });
  const join = (points) => points.map(([x, y]) => `${x} ${y}`).join("L");
  return {
    // A lone value gets a line of no length, which round caps make a point.
    line: runs.map((points) => `M${join(points)}${points.length === 1 ? "h0" : ""}`).join(""),
    area: runs.map((points) => `M${points[0][0]} ${HEIGHT}L${join(points)}L${points.at(-1)[0]} ${HEIGHT}Z`).join(""),
  };
}

/**
 * @param {HTMLElement} host
 * @param {object} options
 * @param {string} options.label what it is of
 * @param {string} [options.unit]
 * @param {number} [options.seconds] how far back it reaches
 * @param {number} [options.places] how many values it has at most
 * @param {number} [options.max] the value at the top; without it that follows the values
 * @param {number} [options.bridge] seconds without a value that are drawn over; longer ones are a gap
 * @param {() => number} [options.now] monotonic, ms
 */
export function createSparkline(host, { label, unit = "", seconds = 300, places = 100, max, bridge = 30, now = () => performance.now() }) {
  const history = createHistory({ seconds, places });
  const shapes = { area: shape("sparkline-area"), line: shape("sparkline-line") };
  const element = document.createElementNS(SVG, "svg");
  element.setAttribute("class", "sparkline");
  element.setAttribute("viewBox", `0 0 ${places} ${HEIGHT}`);
  element.setAttribute("preserveAspectRatio", "none");
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", `${label}: nothing yet`);
  element.append(shapes.area, shapes.line);
  host.append(element);
  const drawn = { area: "", line: "" };
  let spokenAt = -Infinity;

  function describe(at) {
    const range = history.range(at);
    if (range === null || now() - spokenAt < WORDS_EVERY) return;
    spokenAt = now();
    const [low, high, newest] = [range.low, range.high, range.newest].map((value) => quantity(value, unit));
    element.setAttribute("aria-label", `${label}, the last ${seconds / 60} minutes: from ${low} to ${high}, newest ${newest}`);
  }

  return {
    element,
    add: history.add,
    /** Draw what is known at `at`; nothing while the page is hidden. */
    draw(at = now()) {
      if (document.hidden) return;
      const values = history.values(at);
      const top = max ?? roundUp(Math.max(0, ...values.filter(Number.isFinite)));
      const made = paths(values, top || 1, (bridge * places) / seconds);
      for (const name of ["area", "line"]) {
        if (made[name] === drawn[name]) continue;
        drawn[name] = made[name];
        shapes[name].setAttribute("d", made[name]);
      }
      describe(at);
    },
    destroy() {
      element.remove();
    },
  };
}

function shape(className) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", className);
  return made;
}
