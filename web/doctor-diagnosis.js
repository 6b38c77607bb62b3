/**
 * Opens both transports at once, on the way that this page takes to the server, watches them for some seconds and says what was found,
 * as `dashboard-rt doctor` does from a terminal. Knows no page: what shows the findings is doctor.js.
 *
 * @typedef {import("./doctor-words.js").Finding} Finding
 */
import { watchCable, watchSse } from "./doctor-observation.js";
import { findAll } from "./doctor-findings.js";
import { NAMES, worst } from "./doctor-words.js";

const SECONDS = 20; // an SSE heartbeat comes every 15 s
const TEST_UPDATES = 3;
const TEST_INTERVAL = 600; // ms: the server takes two a second of a page
const READY_WAIT = 3000; // ms for both connections to open before test updates are published
const MAX_SENTENCES = 20;

/**
 * @param {{
 *   sseUrl: string, cableUrl: string, healthUrl?: string, triggerUrl?: string, stream?: string,
 *   ticket?: string | (() => string | Promise<string>), seconds?: number, slowAfter?: number, signal?: AbortSignal,
 *   onProgress?: (passed: number) => void, platform?: object,
 * }} options URLs may be relative to the page; `triggerUrl` publishes a test update (only where DEMO allows it); `signal` ends the watch
 *   early, and what was seen by then is judged; `slowAfter`: ms; `onProgress` is told the part of the time that has passed, 0 to 1
 * @returns {Promise<Finding[]>} which transport to use here, then what was found, the worst first
 */
export async function diagnose(options) {
  const { seconds = SECONDS, signal, onProgress = () => {}, slowAfter } = options;
  const platform = { ...BROWSER, ...options.platform };
  const since = platform.now();
  const over = new AbortController();
  const end = () => over.abort();
  const timer = platform.setTimeout(end, seconds * 1000);
  signal?.addEventListener("abort", end);
  if (signal?.aborted) end();
  const ticking = tick(platform, () => onProgress((platform.now() - since) / (seconds * 1000)));
  try {
    const watching = { stream: options.stream, ticket: options.ticket, since, signal: over.signal, platform };
    const addresses = [options.sseUrl, options.cableUrl, options.healthUrl, options.triggerUrl];
    const [sseUrl, cableUrl, healthUrl, triggerUrl] = addresses.map((url) => url && new URL(url, platform.location?.href).href);
    const sse = watchSse({ ...watching, url: sseUrl });
    const cable = watchCable({ ...watching, url: cableUrl });
    Promise.all([sse.done, cable.done]).then(end); // both are refused: there is nothing more to see
    // Asked last: where one connection of the browser's six is left, the stream has to get it.
    const asking = { since, signal: over.signal, platform };
    const [http, tests] = await Promise.all([
      askHealth(healthUrl, asking),
      publishTests(triggerUrl, [sse, cable], asking),
      sse.done,
      cable.done,
    ]);
    const { crossOrigin, pageProtocol } = ofPage(sseUrl, platform);
    return findAll({ sse: sse.observation, cable: cable.observation, http, ...tests, crossOrigin, pageProtocol, slowAfter });
  } finally {
    platform.clearTimeout(timer);
    ticking.stop();
    signal?.removeEventListener("abort", end);
    end();
  }
}

/**
 * The findings as text, to be sent to who runs the server.
 * @param {Finding[]} findings
 * @param {string[]} [about] lines about the browser and the page
 */
export function reportText(findings, about = []) {
  const lines = ["Connection check of dashboard-rt", ...about];
  for (const [name, group] of grouped(findings)) {
    lines.push("", `${name}: ${worst(group)}`);
    for (const { level, title, detail, advice, measured } of group) {
      lines.push(`  ${level}: ${title}${measured ? ` (${measured})` : ""}`, `    ${detail}`);
      if (advice) lines.push(`    -> ${advice}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The findings by what they are about, in the order in which they are shown. @returns {[string, Finding[]][]} */
export function grouped(findings) {
  const groups = [
    ["Which transport here", findings.filter(({ id }) => id === "transport")],
    [NAMES.sse, findings.filter(({ transport }) => transport === "sse")],
    [NAMES.cable, findings.filter(({ transport }) => transport === "cable")],
    ["Server", findings.filter(({ id, transport }) => id !== "transport" && transport === undefined)],
  ];
  return groups.filter(([, group]) => group.length);
}

// --- what is asked beside the two connections

async function askHealth(url, { since, signal, platform }) {
  const nothing = { degraded: [], bySettings: [] };
  if (!url) return nothing;
  try {
    const response = await platform.fetch(url, { cache: "no-store", signal });
    const answered = platform.now() - since;
    const body = await response.json().catch(() => null);
    const bySettings = sentences(body, "by_settings");
    const degraded = sentences(body, "degraded").filter((sentence) => !bySettings.includes(sentence));
    return { answered, degraded, bySettings, protocol: protocolOf(url, platform) };
  } catch {
    return nothing; // that it does not answer is part of what is seen
  }
}

function sentences(body, name) {
  const found = Array.isArray(body?.[name]) ? body[name] : [];
  return found.filter((each) => typeof each === "string").slice(0, MAX_SENTENCES).map((each) => each.slice(0, 500));
}

/** Publish some updates, apart from each other; returns them with the moment at which each was on its way. */
async function publishTests(url, watches, { since, signal, platform }) {
  const tests = [];
  if (!url) return { tests };
  await Promise.race([Promise.all(watches.map(({ ready }) => ready)), pause(READY_WAIT, signal, platform)]);
  for (let count = 0; count < TEST_UPDATES && !signal.aborted; count += 1) {
    if (count) await pause(TEST_INTERVAL, signal, platform);
    const at = platform.now() - since;
    const response = await platform.fetch(url, { method: "POST", signal }).catch(() => undefined);
    const body = await response?.json().catch(() => null);
    if (response && !response.ok) return { tests, testsRefused: response.status };
    if (typeof body?.position === "string") tests.push({ position: body.position, at });
  }
  return { tests };
}

function pause(ms, signal, platform) {
  return new Promise((resolve) => {
    const done = () => {
      platform.clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve(undefined);
    };
    const timer = platform.setTimeout(done, ms);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}

function tick(platform, act) {
  let timer;
  const again = () => {
    act();
    timer = platform.setTimeout(again, 250);
  };
  again();
  return { stop: () => platform.clearTimeout(timer) };
}

// --- what the browser says of the network

function ofPage(sseUrl, { location, performance }) {
  const page = performance?.getEntriesByType("navigation")[0]?.nextHopProtocol;
  const crossOrigin = location !== undefined && new URL(sseUrl).origin !== location.origin;
  return { crossOrigin, pageProtocol: crossOrigin ? undefined : page || undefined };
}

function protocolOf(url, { performance }) {
  return performance?.getEntriesByName(url).at(-1)?.nextHopProtocol || undefined;
}

const BROWSER = {
  now: () => performance.now(),
  // Wrapped: called as functions of another object, the browser's own throw "Illegal invocation".
  setTimeout: (act, delay) => globalThis.setTimeout(act, delay),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
  fetch: (url, options) => globalThis.fetch(url, options),
  WebSocket: globalThis.WebSocket,
  performance: globalThis.performance,
  location: globalThis.location,
};

