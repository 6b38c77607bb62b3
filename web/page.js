/** Puts the page together: settings in, panels out, and the buttons. The only file that knows both transports. */
import { connectCable, connectSse, ticketsFrom } from "./client/index.js";
import { createPanel } from "./panel.js";

const settings = JSON.parse(document.querySelector("#page-settings").textContent);
const position = document.querySelector("meta[name=stream-position]").content;
const template = document.querySelector("#panel-template");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const wires = {
  sse: { title: "Server-Sent Events", connect: connectSse, endpoint: settings.sse_endpoint },
  cable: { title: "Action Cable", connect: connectCable, endpoint: settings.cable_endpoint },
};
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

const tuning = {
  sse: { lostAfter: settings.sse_connection_timeout * 1000, backoffBase: settings.sse_retry_interval },
  cable: {},
};

/** One panel and its client, of which there is a new one after each Disconnect. */
function openPanel(transport) {
  const { title, connect, endpoint } = wires[transport];
  const panel = createPanel(template, { transport, title, endpoint: `${transport === "sse" ? "GET" : "WS"} ${endpoint}`, now });
  const connection = { panel, client: undefined, open };
  let at = position;

  function open() {
    connection.client = connect({
      ...tuning[transport],
      url: endpoint,
      stream: settings.stream,
      position: at,
      ticket,
      onState(state, detail) {
        at = connection.client.position;
        panel.setState(state, detail);
      },
      onVerdict(verdict) {
        panel.setVerdict(verdict, verdict.position);
        drawSoon();
      },
      onUpdate(data, detail) {
        panel.update(data, detail.position);
        drawSoon();
      },
      onIgnored(what) {
        console.warn(`${title}: a frame was not understood (${what})`);
        panel.ignored();
        drawSoon();
      },
    });
    panel.setState("connecting", {});
  }

  panel.start(settings.snapshot, position);
  panel.setState("closed", {});
  panel.toggle.addEventListener("click", () => (isOpen(connection) ? connection.client.close() : open()));
  document.querySelector("#panels").append(panel.element);
  return connection;
}

const isOpen = ({ client }) => client !== undefined && client.state !== "closed";
const connections = shown.map(openPanel);

document.addEventListener("visibilitychange", draw);

// --- what the server has to do without, in its words; that it does not answer is the panels' to tell

const HEALTH_SECONDS = 5;

async function showHealth() {
  if (document.hidden || !connections.some(({ client }) => client?.state === "live")) return;
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
if (settings.sse_auto_refresh) connections.forEach(({ open }) => open());
