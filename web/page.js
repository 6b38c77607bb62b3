/** Puts the page together: settings in, panels out, and the buttons. The only file that knows both transports. */
import { createCable } from "./client/cable.js";
import { createSse } from "./client/sse.js";
import { ticketsFrom } from "./client/ticket.js";
import { createPanel } from "./panel.js";

const settings = JSON.parse(document.querySelector("#page-settings").textContent);
const position = document.querySelector("meta[name=stream-position]").content;
const template = document.querySelector("#panel-template");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const wires = { sse: { title: "Server-Sent Events", open: openSse }, cable: { title: "Action Cable", open: openCable } };
const shown = settings.view === "both" ? ["sse", "cable"] : [settings.view];

/**
 * Unix ms with fractions: Date.now() is too coarse for a lag of one or two. Anchored anew when the two clocks part, as they do
 * when the machine sleeps or its clock is set.
 */
let anchor = performance.timeOrigin;
function now() {
  const drift = Date.now() - (anchor + performance.now());
  if (Math.abs(drift) > 20) anchor += drift;
  return anchor + performance.now();
}

// --- drawing: as often as eyes can follow, nothing while paused (WCAG 2.2.2) or hidden

let paused = false;
let drawTimer = null;
let drawnAt = 0; // by performance.now(): the clock may be set back

function draw() {
  clearTimeout(drawTimer);
  drawTimer = null;
  drawnAt = performance.now();
  if (paused || document.hidden) return;
  for (const { panel } of connections) panel.draw();
}

function drawSoon() {
  if (drawTimer !== null) return;
  const gap = calm.matches ? 1000 : 100;
  drawTimer = setTimeout(() => requestAnimationFrame(draw), Math.max(0, drawnAt + gap - performance.now()));
}

function pause() {
  paused = !paused;
  document.documentElement.toggleAttribute("data-paused", paused);
  document.querySelector("#pause").textContent = paused ? "Resume" : "Pause";
  draw();
}

// --- connections

/**
 * Where the server wants tickets: one for each attempt, got with the long-lived one behind the # of the page's address, which no browser
 * sends to a server; or with none, from a demo on this machine.
 */
const token = new URLSearchParams(location.hash.slice(1)).get("ticket");
const ticket = settings.tickets
  ? ticketsFrom(new URL(settings.tickets, location.href).href, { streams: [settings.stream], token })
  : undefined;

function openSse(handlers) {
  return createSse({
    ...handlers,
    ticket,
    url: new URL(settings.sse_endpoint, location.href).href,
    stream: settings.stream,
    staleAfter: settings.sse_connection_timeout * 1000,
    base: settings.sse_retry_interval,
  });
}

function openCable(handlers) {
  const url = new URL(settings.cable_endpoint, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const identifier = JSON.stringify({ channel: "DashboardUpdatesChannel", stream: settings.stream });
  return createCable({ ...handlers, ticket, url: url.href, identifier });
}

function connect(transport) {
  const { title, open } = wires[transport];
  const endpoint = transport === "sse" ? `GET ${settings.sse_endpoint}` : `WS ${settings.cable_endpoint}`;
  const panel = createPanel(template, { transport, title, endpoint, now });
  const client = open({
    position,
    onState: (state, loss) => panel.setState(state, loss),
    onVerdict: (verdict) => {
      panel.setVerdict(verdict, client.position);
      drawSoon();
    },
    onUpdate: (data, at) => {
      panel.update(data, at);
      drawSoon();
    },
    onIgnored: (what) => {
      console.warn(`${title}: a frame was not understood (${what})`);
      panel.ignored();
      drawSoon();
    },
  });
  panel.start(settings.snapshot, position);
  panel.setState("stopped", {});
  panel.toggle.addEventListener("click", () => (client.state === "stopped" ? client.open() : client.close()));
  document.querySelector("#panels").append(panel.element);
  return { panel, client };
}

const connections = shown.map(connect);
const each = (act) => () => connections.forEach(({ client }) => act(client));

// --- the page's life: a page in the back-forward cache must hold no connection, and wants it again when it comes back

let asleep = [];

addEventListener("pagehide", () => {
  asleep = connections.filter(({ client }) => client.state !== "stopped");
  each((client) => client.close())();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) asleep.forEach(({ client }) => client.open());
});
addEventListener("online", each((client) => client.wake()));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  each((client) => client.wake())();
  draw();
});

// --- what the server has to do without, in its words; that it does not answer is the panels' to tell

const HEALTH_SECONDS = 5;

async function showHealth() {
  if (document.hidden || !connections.some(({ client }) => client.state === "live")) return;
  // An error of the server, or a page of a proxy, has no such list.
  const { degraded = [] } = await fetch(settings.health_endpoint)
    .then((response) => response.json())
    .catch(() => ({}));
  document.querySelector("#degraded").textContent = degraded.join(" ");
}

// --- buttons

async function trigger(button) {
  const answer = document.querySelector("#answer");
  button.disabled = true;
  try {
    const response = await fetch(button.dataset.trigger, { method: "POST" });
    const body = await response.json().catch(() => ({}));
    answer.textContent = response.ok ? `Published up to ${body.position}` : (body.detail ?? `Refused (${response.status})`);
  } catch {
    answer.textContent = "The server cannot be reached";
  }
  button.disabled = false;
}

document.querySelector("#pause").addEventListener("click", pause);
document.querySelector("#demo").hidden = !settings.demo;
document.querySelector("#locked").hidden = !settings.tickets || settings.demo || token !== null;
for (const button of document.querySelectorAll("[data-trigger]")) button.addEventListener("click", () => trigger(button));
for (const link of document.querySelectorAll("[data-view]")) {
  if (link.dataset.view === settings.view) link.setAttribute("aria-current", "page");
  if (token) link.hash = location.hash;
}

draw();
showHealth();
setInterval(showHealth, HEALTH_SECONDS * 1000);
setInterval(draw, 1000); // ages grow without any update
if (settings.sse_auto_refresh) each((client) => client.open())();
