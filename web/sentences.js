/** What the page says about connections, in sentences. Pure; what a server has said is text, cut to a length that a page can show. */
import { duration } from "./format.js";

const MAX_REASON = 200;
/** An attempt that takes longer than this may wait for the browser, not for the server, in ms. */
const LONG = 5000;
/** How long both may take to bring one update before one of them is called behind, in ms. */
const IN_STEP_WITHIN = 1500;

/** What the server and the client (web/client) call things, as people say them. */
const REASONS = {
  server_restart: "The server is restarting",
  too_slow: "This page read too slowly",
  full: "The server is full",
  unavailable: "The server cannot check tickets now",
  unauthorized: "The server does not allow it",
  token_expired: "The permission ran out",
  invalid_request: "The server did not understand the request",
  lost: "The connection was lost",
  silence: "Nothing was heard for too long",
  refused: "The server refused the connection",
  ended: "The server has ended the stream",
  rejected: "The server has no such stream",
  no_ticket: "No ticket",
  no_url: "No address",
  bad_url: "The address is not one",
  offline: "This browser is offline",
  online: "The network has changed",
  hidden: "This page was out of sight for long",
  reconnect: "The connection was cut",
  closed: "",
};

/**
 * What a transport is doing, beside the name of its state.
 * @param {{transport?: string, state: string, detail?: {reason?: string, message?: string, retryIn?: number, final?: boolean}, stateAge?: number}} feed
 *   `retryIn` and `stateAge` in ms
 */
export function describeState({ transport, state, detail = {}, stateAge = 0 }) {
  const reason = reasonOf(detail);
  const sentences = {
    live: () => ["Updates come as they are published"],
    stale: () => ["Connected, but nothing is heard: these figures may be old"],
    connecting: () => [reason, reason ? "Connecting again" : "Opening the connection", stateAge > LONG && hintOf(transport)],
    waiting: () => [reason, nextAttempt(detail, stateAge)],
    closed: () => [reason, detail.final ? "It does not come back by itself" : "Not connected: it catches up when it connects"],
  };
  const said = Object.hasOwn(sentences, state) ? sentences[state]() : [];
  return said.filter(Boolean).map((sentence) => `${sentence}.`).join(" ");
}

/** Without this the seventh tab would wait in silence: the browser says nothing of the connections that its others hold. */
function hintOf(transport) {
  return transport === "sse"
    ? "It takes long: over HTTP/1.1 a browser opens six connections to a host, for all of its tabs together"
    : "It takes long";
}

function nextAttempt({ reason, retryIn }, stateAge) {
  if (reason === "hidden") return "It goes on as soon as the page is seen";
  if (!Number.isFinite(retryIn)) return "It tries again by itself";
  const left = Math.ceil((retryIn - stateAge) / 1000);
  return left > 0 ? `Next attempt in ${duration(left * 1000)}` : "Next attempt now";
}

function reasonOf({ reason, message }) {
  if (typeof reason !== "string") return "";
  const words = Object.hasOwn(REASONS, reason) ? REASONS[reason] : reason;
  const said = typeof message === "string" && message !== "" ? `${words}: ${message}` : words;
  return said.slice(0, MAX_REASON).replace(/[.\s]+$/, "");
}

/**
 * How the transports stand to each other, in one sentence; empty where there is only one.
 * @param {{title: string, state: string, isLive: boolean, position: string, age: number, completeness: {loss: string}}[]} feeds
 */
export function describeComparison(feeds) {
  const live = feeds.filter(({ isLive }) => isLive);
  if (feeds.length < 2) return "";
  if (live.length === feeds.length) return describeLive(feeds);
  if (live.length === 0) return describeNone(feeds);
  const away = feeds.find(({ isLive }) => !isLive);
  return `${live[0].title} is live. ${away.title} is ${away.state}: ${away.state === "stale" ? "its figures may be old" : "it catches up when it is back"}.`;
}

function describeLive(feeds) {
  const broken = feeds.filter(({ completeness }) => completeness.loss !== "");
  if (broken.length > 0) return `Both transports are live, but ${broken.map(({ title, completeness }) => `${title} has ${completeness.loss}`).join(", ")}.`;
  // While an update is on its way to the second of them they differ, and nobody could read that sentence.
  const isSettled = feeds.every(({ age }) => !(age <= IN_STEP_WITHIN));
  const differ = feeds.some(({ position }) => position !== feeds[0].position);
  if (differ && isSettled) return "Both transports are live, but one of them is behind.";
  return "Both transports are live, and have brought the same updates.";
}

function describeNone(feeds) {
  if (feeds.every(({ state }) => state === "closed")) return "Neither transport is connected: all figures are old.";
  if (feeds.every(({ state }) => state === "connecting")) return "Both transports are connecting.";
  return "Neither transport is live: all figures are old, until one of them is back.";
}
