/** The words that all findings of the transport doctor share, and how a finding is written down. Pure. */

/**
 * @typedef {"good" | "note" | "warning" | "bad"} Level `note`: it works, and is good to know; `bad`: the transport cannot be used like that
 * @typedef {{id: string, level: Level, title: string, detail: string, advice?: string, measured?: string, transport?: "sse" | "cable"}}
 *   Finding `advice`: what to do; `measured`: the figures behind it
 */

export const NAMES = { sse: "SSE", cable: "WebSocket" };
export const RANK = { good: 0, note: 1, warning: 2, bad: 3 };
export const SLOW = 1000; // ms: no step of a healthy connection takes that long, not even around the world

const PASS_HOST = "let the proxy pass the Host header on (nginx: `proxy_set_header Host $http_host;`)";
export const UNBUFFER =
  "Turn buffering and compression off for this path on every proxy (nginx: `proxy_buffering off; gzip off;`, see X-Accel-Buffering).";
export const UPGRADE =
  "Check the path (usually /cable), and that every proxy passes upgrades on (nginx: `proxy_http_version 1.1; " +
  "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;`). If they do, add this page's origin to " +
  `ALLOWED_ORIGINS, or ${PASS_HOST}.`;
export const HOST = `${capitalized(PASS_HOST)}.`;
export const LIST_HOST = `List the page's host in ALLOWED_HOSTS, or ${PASS_HOST}.`;
export const TICKET = "Open the page with a ticket that opens this stream (see POST /tickets).";

/** `more` holds `advice` and `measured`. @returns {Finding} */
const finding = (level) => (id, title, detail, more) => ({ id, level, title, detail, ...more });
export const good = finding("good");
export const note = finding("note");
export const warning = finding("warning");
export const bad = finding("bad");

/** The worst level among findings. @param {Finding[]} findings @returns {Level} */
export function worst(findings) {
  return findings.reduce((level, one) => (RANK[one.level] > RANK[level] ? one.level : level), /** @type {Level} */ ("good"));
}

/** A duration in ms. */
export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A title in the middle of a sentence; names such as WebSocket, HTTP and X-Accel-Buffering stay as they are. */
export function uncapitalized(text) {
  return /^[A-Z][a-z]* /.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
