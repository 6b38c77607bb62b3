/**
 * An update of the dashboard (docs/protocol.md §4) as it comes off a wire: any JSON that anybody has published. It is read without ever
 * throwing: what can be used is used, the rest is counted. Pure; knows neither the page nor a transport.
 */
export const FIGURES = ["cpu", "memory", "disk", "network", "response_time"];
export const HEALTHS = ["online", "warning", "offline"];
export const LEVELS = ["info", "warning", "error"];

/** As many activities as the server sends, and as many characters of a text as a page can show: an update may have 64 KiB. */
const MAX_ACTIVITIES = 10;
const MAX_CHARACTERS = 300;
const DECIMAL = /^\s*-?\d{1,15}(\.\d{1,15})?\s*$/;

/**
 * @typedef {{health: string | null, message: string, uptime: number | null, checkedAt: number | null}} Status
 * @typedef {{at: number | null, message: string, level: string}} Activity
 * @typedef {{
 *   status?: Status, figures?: Record<string, number | null>, activities?: Activity[],
 *   publishedAt: number | null, faults: number,
 * }} Reading times in Unix ms; null: not told; a part that the update does not have is missing; `faults`: how many values made no sense
 */

/**
 * @param {unknown} data the parsed JSON of an update
 * @returns {Reading}
 */
export function readUpdate(data) {
  const reader = createReader();
  const update = reader.object(data);
  /** @type {Reading} */
  const reading = { publishedAt: null, faults: 0 };
  if (update) {
    const status = reader.object(own(update, "system_status"));
    const figures = reader.object(own(update, "metrics"));
    const activities = reader.list(own(update, "activities"));
    if (status) reading.status = readStatus(reader, status);
    if (figures) reading.figures = Object.fromEntries(FIGURES.map((name) => [name, reader.number(own(figures, name))]));
    if (activities) reading.activities = readActivities(reader, activities);
    reading.publishedAt = reader.number(own(update, "published_at_ms"));
  }
  const isEmpty = !reading.status && !reading.figures && !reading.activities;
  // Something of another kind on this stream, such as {"n": 1}: one thing that was not understood.
  reading.faults = reader.faults || (isEmpty ? 1 : 0);
  return reading;
}

function readStatus(reader, status) {
  return {
    health: reader.word(own(status, "status"), HEALTHS),
    message: reader.text(own(status, "message")) ?? "",
    uptime: reader.number(own(status, "uptime")),
    checkedAt: reader.time(own(status, "last_check")),
  };
}

function readActivities(reader, activities) {
  const read = [];
  for (const each of activities.slice(0, MAX_ACTIVITIES)) {
    // What is no activity, or has no message, is counted: `[]` is no object, `{}` no text.
    const activity = reader.object(each ?? []);
    const message = activity && reader.text(own(activity, "message") ?? {});
    if (message === null) continue;
    const level = reader.word(own(activity, "level"), LEVELS) ?? "info";
    read.push({ at: reader.time(own(activity, "time")), message, level });
  }
  return read;
}

/**
 * Reads values of a promised kind and counts those that are of another. Absent and null are nothing, which is no fault: a server that
 * does not know a figure says null.
 */
function createReader() {
  let faults = 0;
  const read = (value, isFine, convert = (it) => it) => {
    if (value === undefined || value === null) return null;
    if (isFine(value)) return convert(value);
    faults += 1;
    return null;
  };
  return {
    get faults() {
      return faults;
    },
    object: (value) => read(value, isObject),
    list: (value) => read(value, Array.isArray),
    // Not String(value): of an object with a toString of its own it throws.
    text: (value) => read(value, isPlain, (it) => shorten(String(it))),
    word: (value, words) => read(value, (it) => words.includes(it)),
    // Shells and spreadsheets like to quote their numbers. 1e999 is JSON, and Infinity.
    number: (value) => read(value, (it) => Number.isFinite(it) || (typeof it === "string" && DECIMAL.test(it)), Number),
    // Only of a string: asked about an object, Date.parse too would ask it for its text.
    time: (value) => read(value, (it) => typeof it === "string" && Number.isFinite(Date.parse(it)), Date.parse),
  };
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPlain(value) {
  return typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);
}

function shorten(text) {
  return text.length <= MAX_CHARACTERS ? text : `${text.slice(0, MAX_CHARACTERS)}…`;
}

/** Not object[name]: what an update does not have may be on its prototype, such as `constructor`. */
function own(object, name) {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
