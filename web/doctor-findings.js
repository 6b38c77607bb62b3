/**
 * What was found on the way to a server, put together: of both transports, of the server, and which transport to use here. Pure.
 *
 * @typedef {import("./doctor-observation.js").Observation} Observation
 * @typedef {import("./doctor-words.js").Finding} Finding
 * @typedef {{answered?: number, protocol?: string, degraded: string[], bySettings: string[]}} Http what plain HTTP said beside: ms to its
 *   answer, the network protocol that it came over, and what the server has to do without
 * @typedef {{position: string, at: number}} TestUpdate published by the doctor, `at` in ms since the start
 * @typedef {{sse: Observation, cable: Observation, http: Http, tests: TestUpdate[], testsRefused?: number, pageProtocol?: string,
 *   crossOrigin?: boolean, slowAfter?: number}} Seen `testsRefused`: the status that refused a test update; `pageProtocol`: what the page
 *   came over; `slowAfter` in ms
 */
import { checkOpened } from "./doctor-checks.js";
import { explainUnopened } from "./doctor-refusals.js";
import { bad, good, HOST, NAMES, note, RANK, uncapitalized, warning, worst } from "./doctor-words.js";

/** @param {Seen} seen @returns {Finding[]} which transport to use, then all else that was found, the worst first */
export function findAll(seen) {
  const { sse, cable } = seen;
  const found = [...ofTransport(sse, seen, cable), ...ofTransport(cable, seen, sse), ...ofServer(seen)];
  found.sort((one, other) => RANK[other.level] - RANK[one.level]); // stable: alike ones keep their order
  return [choose(found, protocolOf(seen)), ...found];
}

function ofTransport(observation, seen, other) {
  const found = observation.head ? checkOpened(observation, seen, other) : [explainUnopened(observation, seen, other)];
  return found.map((finding) => ({ ...finding, transport: observation.transport }));
}

function ofServer({ http, testsRefused, ...seen }) {
  const found = http.degraded.map((sentence) => warning("outage", "The server has to do without something", sentence));
  found.push(...http.bySettings.map((sentence) => note("slow_settings", "The settings make the server slow", sentence)));
  if (testsRefused === 403) {
    const detail = "A test update that this page published was refused as that of another host's page (403).";
    found.push(bad("origin", "The server does not know this page's host", detail, { advice: HOST }));
  }
  const measured = protocolOf({ http, ...seen });
  if (measured && isLimited(measured)) {
    const detail =
      "A browser opens six connections to a host, for all of its tabs together, and each SSE stream keeps one: with six such tabs the " +
      "next one waits. WebSockets are not counted among them.";
    found.push(note("http_version", "HTTP/1.1: six connections for all tabs", detail, { measured }));
  } else if (measured) {
    const detail = "All requests and streams share one connection: tabs do not have to wait for each other.";
    found.push(good("http_version", "Tabs share one connection", detail, { measured }));
  }
  return found;
}

/** Which transport to use here, and why. @param {Finding[]} found @returns {Finding} */
function choose(found, protocol) {
  const levels = Object.fromEntries(["sse", "cable"].map((name) => [name, worst(found.filter(({ transport }) => transport === name))]));
  const [sse, cable] = [RANK[levels.sse], RANK[levels.cable]];
  if (Math.min(sse, cable) === RANK.bad) {
    return bad("transport", "Neither transport works well here", "What was found of each is below.");
  }
  if (Math.max(sse, cable) > RANK.note && sse !== cable) {
    const [use, leave] = sse < cable ? ["sse", "cable"] : ["cable", "sse"];
    const problem = found.find(({ transport, level }) => transport === leave && level === levels[leave]);
    return warning("transport", `Use ${NAMES[use]} here`, `${NAMES[leave]} has a problem: ${uncapitalized(problem?.title ?? "")}.`);
  }
  const limited = isLimited(protocol ?? "http/1.1");
  const [level, both] = sse > RANK.note ? [warning, "Both have something to mend, which is below."] : [good, "Both work."];
  const why = limited
    ? "Over HTTP/1.1 SSE streams use up the six connections of the browser, and WebSockets do not."
    : "SSE shares the connection of the page, and asks of proxies only that they do not buffer.";
  return level("transport", `Use ${limited ? NAMES.cable : NAMES.sse} here`, `${both} ${why}`);
}

function protocolOf({ http, pageProtocol }) {
  return http.protocol ?? pageProtocol;
}

function isLimited(protocol) {
  return protocol.startsWith("http/1");
}
