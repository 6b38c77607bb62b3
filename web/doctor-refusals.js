/** Why a connection of either transport did not open, and what to do about it. Pure. */
import { BASE, EXTENDED } from "./doctor-observation.js";
import { bad, duration, LIST_HOST, NAMES, TICKET, UNBUFFER, UPGRADE } from "./doctor-words.js";

const ROOM = "Wait, or raise its limits (MAX_CLIENTS, MAX_CLIENTS_PER_ADDRESS).";
const BEHIND = "Check that the server runs, and where the proxy looks for it.";
const RUNS = "Check that the server runs, and your network.";
const STATUSES = {
  401: ["A ticket is wanted", TICKET],
  403: ["Access is refused", `${TICKET} If that is not it, ask who runs the proxy.`],
  404: ["There is no such stream or path", "Check the address, and the stream's name against the server's STREAMS."],
  407: ["A proxy wants a login", "Log in to the proxy, or exempt this server from it."],
  421: ["The server does not know this host", LIST_HOST],
  429: ["The server is full", ROOM],
  502: ["A proxy cannot reach the server", BEHIND],
  503: ["The server is full, or starting", ROOM],
  504: ["A proxy cannot reach the server", BEHIND],
};

/**
 * @param {import("./doctor-observation.js").Observation} observation that has no head
 * @param {import("./doctor-findings.js").Seen} seen
 * @param {import("./doctor-observation.js").Observation} other that of the other transport
 * @returns {import("./doctor-words.js").Finding}
 */
export function explainUnopened(observation, seen, other) {
  const { transport, failure, url } = observation;
  const reachable = seen.http.answered !== undefined || other.head !== undefined;
  switch (failure?.reason) {
    case undefined:
      return unanswered(observation, seen, other);
    case "status":
      return refused(failure.status, transport);
    case "content_type": {
      const advice = "Check the address; a proxy may have answered in the server's place.";
      return bad("content_type", "This is no event stream", `The content type is ${failure.detail}, not text/event-stream.`, { advice });
    }
    case "ticket":
      return bad("ticket", "There is no ticket", `One is wanted, and none was given: ${failure.detail}.`, { advice: TICKET });
    case "bad_url": {
      const advice = "Use the scheme of the page: from a page of https: a browser opens wss: alone.";
      return bad("bad_url", `${NAMES[transport]} cannot be opened`, `The browser refuses ${url}: ${failure.detail}.`, { advice });
    }
    case "handshake":
      return noHandshake(failure, reachable);
    default:
      return unreachable(failure, seen.crossOrigin && reachable);
  }
}

function refused(status, transport) {
  const [title, advice] = STATUSES[status] ?? ["The server refuses", "Check the path, and look into the server's log."];
  return bad("status", title, `The answer is ${status} instead of ${transport === "sse" ? 200 : 101}.`, { advice });
}

function unanswered({ transport, watchedTo }, { http, pageProtocol }, other) {
  const measured = duration(watchedTo);
  // A WebSocket needs none of the six. Where another request was answered, one of them was free.
  if (transport === "sse" && http.answered === undefined && other.head && pageProtocol === "http/1.1") {
    const detail =
      `No request was answered within ${measured}, while a WebSocket opened: over HTTP/1.1 a browser opens six connections to a host, ` +
      "for all of its tabs together, and they are taken.";
    const advice = "Close other tabs of this server, let them share one connection, use WebSockets, or serve HTTP/2.";
    return bad("connection_limit", "All connections of this browser are in use", detail, { advice, measured });
  }
  const [title, advice] = transport === "sse" ? ["A proxy holds the stream back", UNBUFFER] : ["The handshake is not answered", UPGRADE];
  return bad("no_answer", title, `No head of an answer came within ${measured}.`, { advice, measured });
}

function noHandshake({ status, at, opensWithoutSubprotocol }, reachable) {
  if (opensWithoutSubprotocol) {
    const detail = `The handshake fails when ${EXTENDED} and ${BASE} are offered, and succeeds when none is: neither came back.`;
    const advice = "Let the proxy pass Sec-WebSocket-Protocol on both ways; clients close without it.";
    return bad("subprotocol", "The subprotocol gets lost", detail, { advice });
  }
  // 404 is what our path says to plain HTTP: that tells nothing.
  if (status in STATUSES && status !== 404) return refused(status, "cable");
  const measured = `failed after ${duration(at)}`;
  if (!reachable) {
    const detail = "Neither WebSockets nor HTTP get an answer.";
    return bad("unreachable", "The server cannot be reached", detail, { advice: RUNS, measured });
  }
  const detail =
    "The handshake failed, while HTTP to this server works: a proxy or a firewall blocks WebSockets, or this page's origin is refused.";
  return bad("upgrade", "WebSockets are blocked", detail, { advice: UPGRADE, measured });
}

function unreachable({ detail, at }, notAllowed) {
  if (notAllowed) {
    const advice = "Add the origin of this page to ALLOWED_ORIGINS.";
    return bad("cors", "This page may not read the stream", "The server does not allow the origin of this page.", { advice });
  }
  const measured = `failed after ${duration(at)}`;
  return bad("unreachable", "The server cannot be reached", `The request failed: ${detail}.`, { advice: RUNS, measured });
}
