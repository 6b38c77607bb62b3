/**
 * One panel: what one transport says, drawn. It is told things and remembers them at once; it draws when asked.
 * Everything that came over a wire goes into the page as text, never as markup.
 */
import { UNKNOWN, age, clock, count, figure, grade, lag, seconds } from "./format.js";

const PERCENTAGES = ["cpu", "memory", "disk"];
const FIGURES = [...PERCENTAGES, "network", "response_time"];
const HEALTHS = ["online", "warning", "offline"];
const VERDICTS = ["fresh", "recovered", "gap"];
const LEVELS = ["info", "warning", "error"];
const ACTIVITIES_SHOWN = 5;
const LAGS_KEPT = 101;

/** What the server calls things, as people say it. */
const REASONS = {
  server_restart: "The server is restarting",
  too_slow: "This page read too slowly",
  full: "The server is full",
  unavailable: "The server cannot check tickets now",
  silence: "No sign of life",
  lost: "The connection was lost",
  refused: "The server refused the stream",
  rejected: "There is no such stream",
  no_ticket: "No ticket",
  bad_url: "The browser refuses the address",
  offline: "There is no network",
  hidden: "Paused while nobody looks",
  online: "The network is back",
  unauthorized: "Not allowed",
  token_expired: "The permission ran out",
};

/**
 * @param {HTMLTemplateElement} template
 * @param {{transport: string, title: string, endpoint: string, now: () => number}} options `now` in Unix ms, with fractions
 */
export function createPanel(template, { transport, title, endpoint, now }) {
  const element = template.content.cloneNode(true).querySelector(".panel");
  const fields = collect(element);
  const memory = {
    data: null, dataAt: null, receivedAt: null, received: 0, ignored: 0,
    verdict: null, position: "", liveAt: Infinity, replayed: 0, lag: NaN, lags: [],
  };
  element.dataset.transport = transport;
  fields.title.textContent = title;
  fields.title.id = `title-${transport}`;
  fields.endpoint.textContent = endpoint;
  fields.spoken.textContent = `${title}: `;
  element.setAttribute("aria-labelledby", fields.title.id);

  function measure(data) {
    const at = data?.published_at_ms;
    // An update older than the connection was caught up on: its age says nothing about the wire.
    const late = Number.isFinite(at) && at < memory.liveAt;
    memory.replayed += late ? 1 : 0;
    memory.lag = late ? NaN : now() - at;
    if (Number.isNaN(memory.lag)) return;
    memory.lags.push(memory.lag);
    if (memory.lags.length > LAGS_KEPT) memory.lags.shift();
  }

  return {
    element,
    toggle: element.querySelector("[data-action=toggle]"),
    /** Draw what the page was rendered with. It is no received update. */
    start(snapshot, position) {
      Object.assign(memory, { data: snapshot, position });
    },
    /** Not left to draw(): whether one is connected is true in a paused or hidden page, too. */
    setState(state, loss) {
      if (state === "connecting") memory.liveAt = Infinity;
      const closed = state === "closed";
      this.toggle.textContent = closed ? "Connect" : "Disconnect";
      this.toggle.setAttribute("aria-label", `${this.toggle.textContent} ${title}`);
      write(fields.loss, describe(state, loss));
      if (element.dataset.state === state && fields.state.textContent) return;
      element.dataset.state = state;
      fields.state.textContent = state;
    },
    setVerdict(verdict, position) {
      Object.assign(memory, { verdict: verdict.verdict, position, liveAt: now(), replayed: 0 });
    },
    update(data, position) {
      measure(data);
      Object.assign(memory, { data, position, receivedAt: now(), received: memory.received + 1 });
    },
    ignored() {
      memory.ignored += 1;
    },
    draw() {
      drawHealth(fields, memory.data?.system_status);
      drawFigures(fields, element, memory.data?.metrics);
      drawActivities(fields.activities, memory.data?.activities);
      drawWire(fields, memory, now());
    },
  };
}

function collect(element) {
  const fields = {};
  for (const field of element.querySelectorAll("[data-field]")) fields[field.dataset.field] = field;
  return fields;
}

/** Writing the same text again would still make the browser lay it out, and a live region might speak it. */
function write(field, text) {
  if (field.textContent !== text) field.textContent = text;
}

function describe(state, { reason, retryIn, message }) {
  if (!reason || state === "live" || (state === "closed" && reason === "closed")) return "";
  const said = `${REASONS[reason] ?? reason}${message ? `: ${message}` : ""}`;
  return retryIn === undefined ? said : `${said}, next attempt in ${seconds(retryIn)}`;
}

function drawHealth(fields, status) {
  if (!status) return;
  const known = HEALTHS.includes(status.status);
  fields.health.dataset.health = known ? status.status : "unknown";
  write(fields.status, known ? status.status : UNKNOWN);
  write(fields.message, String(status.message ?? ""));
  write(fields.uptime, Number.isFinite(status.uptime) ? `${figure(status.uptime, 2)} %` : UNKNOWN);
  write(fields.checked, clock(status.last_check));
}

function drawFigures(fields, element, metrics) {
  if (!metrics) return;
  for (const name of FIGURES) write(fields[name], figure(metrics[name]));
  for (const name of PERCENTAGES) {
    const meter = element.querySelector(`[data-meter=${name}]`);
    const share = Number.isFinite(metrics[name]) ? Math.min(1, Math.max(0, metrics[name] / 100)) : 0;
    meter.style.transform = `scaleX(${share})`;
    meter.dataset.grade = grade(name, metrics[name]);
  }
}

function drawActivities(list, activities) {
  if (!Array.isArray(activities)) return;
  const shown = activities.slice(0, ACTIVITIES_SHOWN);
  const signature = JSON.stringify(shown);
  if (list.dataset.signature === signature) return;
  list.dataset.signature = signature;
  list.replaceChildren(...shown.map(activityItem));
}

function activityItem(activity) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const message = document.createElement("span");
  item.dataset.level = LEVELS.includes(activity?.level) ? activity.level : "info";
  time.dateTime = String(activity?.time ?? "");
  time.textContent = clock(activity?.time);
  message.textContent = String(activity?.message ?? "");
  if (item.dataset.level !== "info") message.prepend(levelMark(item.dataset.level));
  item.append(time, message);
  return item;
}

/** The level as a word: colour alone would not reach everyone (WCAG 1.4.1). */
function levelMark(level) {
  const mark = document.createElement("strong");
  mark.textContent = level;
  return mark;
}

function drawWire(fields, memory, at) {
  write(fields.verdict, told(memory));
  fields.verdict.dataset.verdict = memory.verdict ?? "";
  write(fields.position, memory.position || UNKNOWN);
  write(fields.received, count(memory.received));
  write(fields.age, memory.receivedAt === null ? UNKNOWN : age(at - memory.receivedAt));
  write(fields.lag, lag(memory.lag));
  write(fields.median, lag(median(memory.lags)));
  fields["ignored-row"].hidden = memory.ignored === 0;
  write(fields.ignored, count(memory.ignored));
}

function told({ verdict, replayed }) {
  if (verdict === "recovered" && replayed > 0) return `recovered, ${count(replayed)} replayed`;
  return VERDICTS.includes(verdict) ? verdict : UNKNOWN;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
