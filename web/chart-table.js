/**
 * The figures of a chart as a table behind a disclosure: for people who do not see the canvas, and for all who want to read a number.
 *
 * A disclosure, not a hidden table: it is reached by keyboard, seen by those who see it open, and while it is closed a screen reader does
 * not walk through fifty cells. Nothing is written while it is closed.
 */
import { quantity } from "./quantity.js";

const SPAN = 10; // seconds to a row: 120 rows would be read by nobody

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function row(cells) {
  const made = element("tr");
  made.append(...cells);
  return made;
}

function heading(text, scope) {
  const made = element("th", text);
  made.scope = scope;
  return made;
}

/**
 * The highest value of each span of ten seconds; undefined where there is none. The newest span comes first.
 * @param {number[]} x seconds before now
 * @param {(number | null | undefined)[]} values
 * @returns {Map<number, number | undefined>} by the age of the span's end in seconds
 */
export function peaks(x, values) {
  const found = new Map();
  for (let index = x.length - 1; index >= 0; index -= 1) {
    const span = Math.floor((-x[index] - 1) / SPAN) * SPAN;
    const [value, before] = [values[index] ?? undefined, found.get(span)];
    found.set(span, before === undefined || value > before ? value : before);
  }
  return found;
}

/**
 * @param {{title: string, unit: string, columns: {key: string, label: string}[], onOpen: () => void}} options
 */
export function createChartTable({ title, unit, columns, onOpen }) {
  const disclosure = element("details");
  disclosure.className = "chart-table";
  const summary = element("summary", "Table");
  const named = element("span", ` of ${title}`);
  named.className = "visually-hidden";
  summary.append(named);
  const table = element("table");
  const head = element("thead");
  const body = element("tbody");
  head.append(row([heading("Seconds ago", "col"), ...columns.map(({ label }) => heading(label, "col"))]));
  table.append(element("caption", `${title}: the highest second of each ${SPAN}. Renewed every ${SPAN} s.`), head, body);
  disclosure.append(summary, table);
  const toggled = () => disclosure.open && onOpen();
  disclosure.addEventListener("toggle", toggled);

  /** The cells of each row, kept: a screen reader that reads one must not lose its place when the values change. */
  let rows = [];

  function rowFor(span) {
    const cells = columns.map(() => element("td"));
    body.append(row([heading(`${span} to ${span + SPAN}`, "row"), ...cells]));
    return cells;
  }

  return {
    element: disclosure,
    isOpen: () => disclosure.open,
    /** @param {import("./samples.js").Series} series of the same length each time */
    fill(series) {
      const found = columns.map(({ key }) => peaks(series.x, series[key]));
      const spans = [...found[0].keys()];
      if (rows.length === 0) rows = spans.map(rowFor);
      rows.forEach((cells, index) => {
        cells.forEach((cell, column) => {
          cell.textContent = quantity(found[column].get(spans[index]), unit);
        });
      });
    },
  };
}
