/**
 * Watches one connection of each transport, on the way that every page takes, and records what happens on it.
 * SSE is read by fetch: an EventSource hides status and headers. What an observation means is the business of doctor-findings.js.
 *
 * @typedef {{kind: "verdict" | "update" | "heartbeat" | "goodbye" | "other", at: number, position?: string, sentAt?: number,
 *   reason?: string}} Observed `at` in ms since the start of the watch, `sentAt` in ms of the clock that stamped it
 * @typedef {{status?: number, headers?: Record<string, string>, subprotocol?: string, extensions?: string}} Head
 * @typedef {{reason: string, at: number, status?: number, detail?: string, opensWithoutSubprotocol?: boolean}} Failure
 * @typedef {{transport: "sse" | "cable", url: string, marks: Record<string, number>, events: Observed[], head?: Head, failure?: Failure,
 *   endedAt?: number, watchedTo: number}} Observation `head` once the connection is open, `failure` where it never was; `endedAt` where
 *   it ended by itself, `watchedTo` where the watch ended
 */
import { parseObject } from "./client/json.js";
import { createSseParser } from "./client/sse-parser.js";

export const EXTENDED = "actioncable-v1-ext-json";
export const BASE = "actioncable-v1-json";
const CHANNEL = "DashboardUpdatesChannel";

/**
 * @param {{url: string, stream?: string, ticket?: string | (() => string | Promise<string>), since: number, signal: AbortSignal,
 *   platform: object}} options `since`: the start of the watch, by platform.now(); `signal` ends it
 * @returns {Watch} what was observed so far, and promises of its first verdict, or end, and of its end
 *
 * @typedef {{observation: Observation, ready: Promise<void>, done: Promise<void>}} Watch
 */
export function watchSse(options) {
  return watch("sse", options, async (observer) => {
    const { platform, signal } = options;
    const address = await addressOf(options);
    if (options.stream) address.searchParams.set("stream", options.stream);
    const request = { headers: { accept: "text/event-stream" }, cache: "no-store", signal };
    const response = await platform.fetch(address.href, request).catch((error) => {
      if (!signal.aborted) observer.failed("unreachable", { detail: String(error.message ?? error) });
    });
    if (!response) return;
    const headers = Object.fromEntries(response.headers);
    const type = headers["content-type"] ?? "";
    if (response.status !== 200) observer.failed("status", { status: response.status, headers });
    else if (!type.startsWith("text/event-stream")) observer.failed("content_type", { detail: type || "none" });
    else {
      observer.opened({ status: response.status, headers });
      return readEvents(response.body.getReader(), observer);
    }
    await response.body?.cancel();
  });
}

/** As watchSse, over a WebSocket of Action Cable. */
export function watchCable(options) {
  return watch("cable", options, async (observer) => {
    const address = await addressOf(options);
    address.protocol = address.protocol.replace("http", "ws");
    const opened = await dialCable(address.href, [EXTENDED, BASE], options, observer);
    if (opened || options.signal.aborted) return;
    // A page is not told why a handshake failed. These two questions tell the reasons apart.
    const [status, opens] = await Promise.all([httpStatus(address, options), opensWithout(await addressOf(options), options)]);
    observer.explain({ status, opensWithoutSubprotocol: opens });
  });
}

/** Run `act` with an observer, and settle the promises of a watch however it ends. */
function watch(transport, { url, since, signal, platform }, act) {
  const now = () => platform.now() - since;
  /** @type {Observation} */
  const observation = { transport, url: shownUrl(url), marks: {}, events: [], watchedTo: 0 };
  let isReady = () => {};
  const ready = new Promise((resolve) => (isReady = resolve));
  const observer = {
    mark: (name) => (observation.marks[name] ??= now()),
    opened(head) {
      observer.mark("head");
      observation.head = head;
    },
    saw(event) {
      observer.mark("first_event");
      observation.events.push({ at: now(), ...event });
      if (event.kind === "verdict") isReady();
    },
    failed: (reason, more = {}) => void (observation.failure ??= { reason, at: now(), ...more }),
    explain: (more) => Object.assign(observation.failure ?? {}, more),
    ended: () => (observation.endedAt ??= now()),
  };
  const finish = () => {
    observation.watchedTo = now();
    isReady();
  };
  const done = act(observer)
    .catch((error) => {
      if (signal.aborted) return; // the ordinary end of a watch
      if (observation.head) observer.ended();
      else observer.failed(error.doctor ?? "bad_url", { detail: String(error.message ?? error) });
    })
    .then(finish);
  return { observation, ready, done };
}

async function addressOf({ url, ticket }) {
  const address = new URL(url);
  const text = typeof ticket === "function" ? await askFor(ticket) : ticket;
  if (text) address.searchParams.set("ticket", text);
  return address;
}

async function askFor(ticket) {
  try {
    return await ticket();
  } catch (error) {
    throw Object.assign(new Error(error?.message ?? String(error)), { doctor: "ticket" });
  }
}

/** Without what opens streams: a report is copied into chats. */
function shownUrl(url) {
  const address = new URL(url);
  for (const name of address.searchParams.keys()) if (/ticket|token|secret|password/i.test(name)) address.searchParams.set(name, "***");
  address.username &&= "***";
  address.password &&= "***";
  return address.href;
}

// --- SSE

async function readEvents(reader, observer) {
  const parser = createSseParser({ onEvent: (event) => observer.saw(sseEvent(event)) });
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return observer.ended();
    observer.mark("first_byte");
    parser.feed(value);
  }
}

function sseEvent({ type, data, lastEventId: position }) {
  const body = parseObject(data) ?? {};
  switch (type) {
    case "message":
      return { kind: "update", position, sentAt: publishedAt(body) };
    case "heartbeat":
      return { kind: "heartbeat", position, sentAt: finite(Date.parse(body.time)) };
    case "verdict":
      return { kind: "verdict", position };
    case "goodbye":
      return { kind: "goodbye", reason: word(body.reason) };
    default:
      return { kind: "other" };
  }
}

// --- Action Cable

/** Resolve when the connection has ended, or the watch: with whether it was open. */
function dialCable(address, protocols, { stream, signal, platform }, observer) {
  return new Promise((resolve) => {
    const socket = new platform.WebSocket(address, protocols);
    const end = () => {
      signal.removeEventListener("abort", end);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      resolve(opened);
    };
    let opened = false;
    socket.onopen = () => {
      opened = true;
      observer.opened({ subprotocol: socket.protocol, extensions: socket.extensions });
      const identifier = JSON.stringify({ channel: CHANNEL, ...(stream && { stream }) });
      socket.send(JSON.stringify({ command: "subscribe", identifier }));
    };
    socket.onmessage = ({ data }) => {
      observer.mark("first_byte");
      observer.saw(cableEvent(parseObject(data) ?? {}));
    };
    socket.onclose = ({ code, reason }) => {
      if (opened) observer.ended();
      else observer.failed("handshake", { detail: reason || `close code ${code}` });
      end();
    };
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

function cableEvent(frame) {
  switch (frame.type) {
    case "ping":
      return { kind: "heartbeat", sentAt: finite(frame.message * 1000) };
    case "confirm_subscription":
      return { kind: "verdict", position: word(frame.position) };
    case "reject_subscription":
      return { kind: "goodbye", reason: "rejected" };
    case "disconnect":
      return { kind: "goodbye", reason: word(frame.reason) };
    case undefined:
      return "message" in frame ? cableUpdate(frame) : { kind: "other" };
    default:
      return { kind: "other" };
  }
}

function cableUpdate({ message, epoch, offset }) {
  const position = typeof epoch === "string" && Number.isInteger(offset) ? `${epoch}-${offset}` : undefined;
  return { kind: "update", position, sentAt: publishedAt(message) };
}

/** The status of the path to plain HTTP: a proxy that cannot reach the server, or wants a login, answers so as well. */
async function httpStatus(address, { signal, platform }) {
  const url = address.href.replace(/^ws/, "http");
  const response = await platform.fetch(url, { cache: "no-store", redirect: "manual", signal }).catch(() => undefined);
  await response?.body?.cancel();
  return response?.status;
}

/** Whether the handshake succeeds when no subprotocol is offered: then one was lost on the way. */
function opensWithout(address, { signal, platform }) {
  address.protocol = address.protocol.replace("http", "ws");
  return new Promise((resolve) => {
    const socket = new platform.WebSocket(address.href);
    const settle = (opens) => {
      resolve(opens);
      socket.close();
    };
    socket.onopen = () => settle(true);
    socket.onclose = () => settle(false);
    signal.addEventListener("abort", () => settle(false), { once: true });
    if (signal.aborted) settle(false);
  });
}

// --- what strangers sent

/** @param {unknown} message any JSON value */
function publishedAt(message) {
  return finite(message?.published_at_ms);
}

function finite(value) {
  return Number.isFinite(value) ? value : undefined;
}

/** A short text that goes into a sentence. */
function word(value) {
  return typeof value === "string" ? value.slice(0, 100) : undefined;
}
