/** Puts the page together: settings in, feeds, panels and dashboard out, and its controls. The only module that knows all the parts. */
import { connectCable, connectSse, ticketsFrom } from "./client/index.js";
import { createClockOffset } from "./clock-offset.js";
import { createDashboard } from "./dashboard.js";
import { createDoctorDialog } from "./doctor.js";
import { createDrawing } from "./drawing.js";
import { createFeed, pickFeed } from "./feed.js";
import { write } from "./fields.js";
import { clock } from "./format.js";
import { createPanel } from "./panel.js";
import { createPublishing } from "./publishing.js";
import { createSamples } from "./samples.js";
import { createScale } from "./scale.js";
import { describeComparison } from "./sentences.js";
import { createWallClock } from "./wall-clock.js";

const at = (selector) => document.querySelector(selector);
const settings = JSON.parse(at("#page-settings").textContent);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// --- clocks

const wallNow = createWallClock();
const offset = createClockOffset({ url: new URL(settings.time_endpoint, location.href).href, now: wallNow });
const clocks = {
  now: () => performance.now(),
  wallNow,
  serverNow: () => wallNow() + offset.offset,
  error: () => (Number.isFinite(offset.error) ? offset.error : 0),
};

// --- the two transports

/**
 * Where the server wants tickets: one for each attempt, got with the long-lived one behind the # of the page's address, which no browser
 * sends to a server; or with none, from a demo on this machine.
 */
const token = new URLSearchParams(location.hash.slice(1)).get("ticket");
const ticket = settings.tickets
  ? ticketsFrom(new URL(settings.tickets, location.href).href, { streams: [settings.stream], token })
  : undefined;

const heartbeat = settings.sse_heartbeat * 1000;
const sseLimit = settings.sse_connection_timeout * 1000;
const ping = settings.cable_ping * 1000;

const transports = {
  sse: {
    title: "Server-Sent Events",
    endpoint: `GET ${settings.sse_endpoint}`,
    open: connectSse,
    options: {
      url: settings.sse_endpoint,
      staleAfter: heartbeat + Math.min(5000, (sseLimit - heartbeat) / 2), // a heartbeat may come late
      lostAfter: sseLimit,
      backoffBase: settings.sse_retry_interval,
    },
  },
  cable: {
    title: "WebSocket",
    endpoint: `Action Cable, ${settings.cable_endpoint}`,
    open: connectCable,
    options: { url: settings.cable_endpoint, staleAfter: 2 * ping, lostAfter: 3 * ping },
  },
};

const shown = settings.view === "both" ? Object.keys(transports) : [settings.view];
const scales = { lag: createScale({ least: 5 }), rate: createScale({ least: 5 }) };
const start = { position: at("meta[name=stream-position]").content, snapshot: settings.snapshot };
const dashboard = createDashboard(at("#dashboard"), { ...start, ...clocks });
const connections = shown.map(createConnection);
const feeds = connections.map(({ feed }) => feed);

function createConnection(transport) {
  const { title, endpoint, open, options } = transports[transport];
  const feed = createFeed({
    transport,
    title,
    clocks,
    samples: createSamples({ seconds: 120 }),
    ...start,
    staleAfter: options.staleAfter,
    open: (callbacks) => open({ ...options, stream: settings.stream, ticket, ...callbacks }),
    onChange: () => {
      if (feed === source) dashboard.take(feed);
      drawing.soon();
    },
    onState: () => {
      panel.showState();
      drawing.soon();
    },
  });
  const chip = at(`[data-chip=${transport}]`);
  const panel = createPanel(at("#panel-template"), feed, { endpoint, chip, scales, now: clocks.now });
  at("#panels").append(panel.element);
  return { feed, panel };
}

// --- drawing

let choice = "auto";
let drawnAt = NaN; // Unix ms
let source = feeds[0];

function draw() {
  source = pickFeed(feeds, choice, source);
  dashboard.take(source);
  dashboard.draw(source);
  for (const { panel } of connections) panel.draw();
  drawnAt = wallNow();
  write(at("#comparison"), describeComparison(feeds));
  at("#comparison").dataset.level = feeds.some(isTroubled) ? "attention" : "";
  write(at("#clock"), describeOffset());
}

const isTroubled = ({ state, completeness }) => completeness.loss !== "" || (state !== "live" && state !== "connecting");

const drawing = createDrawing({ draw, leastGap: () => (calm.matches ? 1000 : 100) });

function describeOffset() {
  if (!Number.isFinite(offset.error)) return "The server's clock has not been compared with this one yet.";
  const error = `± ${offset.error.toFixed(1)} ms`;
  if (offset.offset === 0) return `The server's clock and this one agree (${error}).`;
  const direction = offset.offset > 0 ? "ahead of" : "behind";
  return `The server's clock is ${Math.abs(offset.offset).toFixed(1)} ms ${direction} this one (${error}); the lag takes that into account.`;
}

// --- what the server has to do without, in its words; that it does not answer is the panels' to tell

const HEALTH_SECONDS = 5;

async function showHealth() {
  if (document.hidden || !feeds.some(({ isLive }) => isLive)) return;
  // An error of the server, or a page of a proxy, has no such list.
  const health = await fetch(settings.health_endpoint)
    .then((response) => response.json())
    .catch(() => null);
  const degraded = Array.isArray(health?.degraded) ? health.degraded : [];
  write(at("#degraded"), degraded.filter((sentence) => typeof sentence === "string").join(" "));
}

// --- controls

at("#pause").addEventListener("click", () => {
  const paused = !drawing.isPaused;
  document.documentElement.toggleAttribute("data-paused", paused);
  write(at("#pause-word"), paused ? "Resume" : "Pause");
  drawing.pause(paused);
  if (paused) write(at("#comparison"), `Paused: what you see is of ${clock(drawnAt)}. Updates are received all the same.`);
});

for (const input of document.querySelectorAll("[name=source]")) {
  input.addEventListener("change", () => {
    choice = input.value;
    drawing.now();
  });
}

for (const text of document.querySelectorAll("[data-lead]")) text.hidden = text.dataset.lead !== settings.view;
at("#source").hidden = feeds.length < 2;
at("#demo").hidden = !settings.demo;
at("#locked").hidden = !settings.tickets || settings.demo || token !== null;
createDoctorDialog({
  host: at("#doctor"),
  settings: () => ({
    sseUrl: settings.sse_endpoint,
    cableUrl: settings.cable_endpoint,
    healthUrl: settings.health_endpoint,
    triggerUrl: settings.demo ? at("[data-trigger]").dataset.trigger : undefined,
    stream: settings.stream,
    ticket,
  }),
});
createPublishing(document.querySelectorAll("[data-trigger]"), at("#answer"));
for (const link of document.querySelectorAll("[data-view]")) {
  if (link.dataset.view === settings.view) link.setAttribute("aria-current", "page");
  if (token) link.hash = location.hash;
}

document.addEventListener("visibilitychange", drawing.now);
for (const { panel } of connections) panel.showState();
drawing.now();
offset.start(drawing.soon);
setInterval(showHealth, HEALTH_SECONDS * 1000);
if (settings.sse_auto_refresh) for (const feed of feeds) feed.connect();
showHealth();
