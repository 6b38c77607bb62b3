/**
 * What is wrong with a connection that opened, and what is right, in the words of `dashboard-rt doctor` where it finds the same. Pure:
 * each check takes an observation, what else was seen, and the observation of the other transport, and returns findings.
 *
 * @typedef {import("./doctor-observation.js").Observation} Observation
 * @typedef {import("./doctor-findings.js").Seen} Seen
 * @typedef {import("./doctor-words.js").Finding} Finding
 */
import { BASE, EXTENDED } from "./doctor-observation.js";
import { bad, capitalized, duration, good, NAMES, note, SLOW, TICKET, UNBUFFER, warning } from "./doctor-words.js";

// Heroku's router cuts after 55 s of silence, so half of that; the stock Action Cable client reconnects after 6 s.
const MAX_SILENCE = { sse: 25_000, cable: 6000 };
// Two intervals of 15 s and of 3 s, and some more: watched this long, a heartbeat must have come.
const HEARTBEAT_DUE = { sse: 35_000, cable: 7000 };
// The cable's is larger since its pings carry whole seconds only.
const MAX_SPREAD = { sse: 1000, cable: 2000 };
const SHORTEST_IDLE = 500; // ms
const PING = 3000; // ms: so long the cable is silent anyway
const STEPS = {
  head: ["the head of the answer", "See whether the server is busy (/dashboard/stats) or the proxy waits for the first bytes."],
  first_byte: ["the first byte", UNBUFFER],
  first_event: ["the first event", UNBUFFER],
};
// A Map, since a reason is text by whoever answered: an object has members that nobody wrote down.
const GOODBYES = new Map([
  ["full", ["The server is full", "Raise MAX_CLIENTS or MAX_CLIENTS_PER_ADDRESS, or start another process."]],
  ["server_restart", ["The server was being restarted", "Check again."]],
  ["token_expired", ["The ticket has expired", "Open the page with a fresh ticket."]],
  ["unauthorized", ["The ticket is missing, or not valid", TICKET]],
  ["unavailable", ["The server's database is away", "Look into the server's log, or use a ticket that is not single-use."]],
  ["rejected", ["The subscription was rejected", "Check the stream's name against the server's STREAMS, and what the ticket opens."]],
]);
const BEAT = {
  sse: "Set SSE_HEARTBEAT to 15: routers cut quiet connections, Heroku's after 55 s; else something buffers.",
  cable: "Set CABLE_PING to 3: the stock client reconnects after 6 s without a frame; else something buffers.",
};

/** @param {Observation} observation @param {Seen} seen @param {Observation} other @returns {Finding[]} */
export function checkOpened(observation, seen, other) {
  const checks = [checkSteps, checkSseHead, checkCompression, checkSubprotocol, checkDelivery, checkHeartbeat, checkSequence, checkEnding];
  return checks.flatMap((check) => check(observation, seen, other) ?? []);
}

function checkSteps({ marks, endedAt, watchedTo }, { slowAfter = SLOW }) {
  const late = [];
  let [previous, name] = [0, "the start"];
  for (const [step, [words, advice]] of Object.entries(STEPS)) {
    const missing = marks[step] === undefined;
    const took = (missing ? watchedTo : marks[step]) - previous;
    const measured = duration(took);
    if (missing && endedAt !== undefined) return late; // checkEnding says why
    if (took > slowAfter && missing) {
      const detail = `${measured} after ${name} there was no sign of ${words}: something buffers.`;
      late.push(bad(`late_${step}`, "A proxy holds the stream back", detail, { advice, measured }));
    } else if (took > slowAfter) {
      late.push(warning(`late_${step}`, "Slow to open", `${capitalized(words)} came ${measured} after ${name}.`, { advice, measured }));
    }
    if (missing) return late;
    [previous, name] = [marks[step], words];
  }
  const measured = Object.entries(STEPS).map(([step, [words]]) => `${words.replace("the ", "")} ${duration(marks[step])}`);
  if (late.length) return late;
  return good("opening", "Opens at once", "Its answer and its first event came without delay.", { measured: measured.join(", ") });
}

function checkSseHead({ transport, head: { headers } }, { crossOrigin }) {
  if (transport !== "sse" || crossOrigin) return []; // pages of other origins are not shown these headers
  const found = [];
  if ("content-length" in headers) {
    const detail = `The stream has a content-length (${headers["content-length"]}): it was collected.`;
    found.push(bad("content_length", "A proxy collects the stream", detail, { advice: UNBUFFER }));
  }
  const buffering = headers["x-accel-buffering"];
  if (buffering === undefined && !/^nginx/.test(headers.server ?? "")) {
    const advice = "Fine where an nginx on the way took it, else let the proxy pass it on."; // it obeys it and does not pass it on
    found.push(note("x_accel_buffering", "A header did not arrive", "No x-accel-buffering header arrived.", { advice }));
  } else if (buffering !== undefined && buffering.toLowerCase() !== "no") {
    const advice = "It must say `no`, or nginx collects events before it sends them.";
    found.push(warning("x_accel_buffering", "A header was changed", `X-Accel-Buffering is ${buffering}.`, { advice }));
  }
  return found;
}

function checkCompression({ head: { headers = {}, extensions = "" } }) {
  const encoding = headers["content-encoding"] ?? "identity";
  if (encoding !== "identity") {
    const advice = "Leave text/event-stream out of what the proxy compresses: a compressor holds events back.";
    return warning("compression", "The stream is compressed", `Its content-encoding is ${encoding}.`, { advice });
  }
  if (!extensions.includes("permessage-deflate")) return [];
  const advice = "Set WS_COMPRESSION=off: it takes 32 to 64 KB a connection, and each client's bytes are packed alone.";
  return warning("compression", "The WebSocket is compressed", "permessage-deflate was negotiated.", { advice });
}

function checkSubprotocol({ transport, head: { subprotocol } }) {
  if (transport !== "cable") return [];
  if (subprotocol === EXTENDED) {
    return good("subprotocol", "The subprotocol is right", `${EXTENDED} was agreed on: a client that comes back gets what it missed.`);
  }
  const advice = `Let the proxy pass the whole Sec-WebSocket-Protocol on; without ${EXTENDED} nothing can be resumed.`;
  const detail = subprotocol
    ? `The subprotocol is ${subprotocol}, ${EXTENDED} was offered first.`
    : `No subprotocol was named, offered were ${EXTENDED} and ${BASE}.`;
  return warning("subprotocol", "Another subprotocol came back", detail, { advice });
}

/**
 * Events that were sent apart and arrived together: without a buffer their delays are alike. Only differences of delays are compared, so
 * the clocks need not agree. Heartbeats and updates apart, since their stamps may come from two machines.
 */
function checkDelivery(observation, seen, other) {
  const spread = Math.max(delaySpread(ofKind(observation, "heartbeat")), delaySpread(live(observation)));
  if (spread > MAX_SPREAD[observation.transport]) {
    const measured = duration(spread);
    const detail = `Some events came ${measured} later than others: in lumps.`;
    return bad("buffering", "Updates come in lumps", detail, { advice: UNBUFFER, measured });
  }
  return checkTestUpdates(observation, seen) ?? checkBehind(observation, seen, other);
}

function checkTestUpdates(observation, { tests, slowAfter = SLOW }) {
  // On the base protocol no update carries its position.
  if (observation.transport === "cable" && observation.head.subprotocol !== EXTENDED) return undefined;
  const arrivals = arrivalTimes(ofKind(observation, "update"));
  const end = observation.endedAt ?? observation.watchedTo;
  const due = tests.filter(({ position, at }) => arrivals.has(position) || at + slowAfter < end); // others may be on their way
  if (!due.length) return undefined;
  const missing = due.filter(({ position }) => !arrivals.has(position)).length;
  if (missing) {
    const detail = `Of ${due.length} test updates ${missing} did not arrive: something buffers.`;
    return bad("buffering", "Updates are held back", detail, { advice: UNBUFFER });
  }
  const slowest = Math.max(...due.map(({ position, at }) => arrivals.get(position) - at));
  if (slowest > slowAfter) {
    const measured = duration(slowest);
    return bad("buffering", "Updates come late", `A test update took ${measured}.`, { advice: UNBUFFER, measured });
  }
  const measured = `${due.length} test updates, the slowest after ${duration(slowest)}`;
  return good("delivery", "Each update comes at once", "Nothing on the way collects updates.", { measured });
}

function checkBehind(observation, { slowAfter = SLOW }, other) {
  const [own, others] = [arrivalTimes(live(observation)), arrivalTimes(live(other))];
  const lags = [...own].filter(([position]) => others.has(position)).map(([position, at]) => at - others.get(position));
  if (!lags.length) return [];
  const most = Math.max(...lags);
  if (most > slowAfter) {
    const measured = duration(most);
    const detail = `Updates come up to ${measured} later than over ${NAMES[other.transport]}.`;
    return bad("behind", "Updates come late", detail, { advice: UNBUFFER, measured });
  }
  const detail = `Updates come as soon as over ${NAMES[other.transport]}.`;
  return good("delivery", "Each update comes at once", detail, { measured: `${lags.length} compared` });
}

function checkHeartbeat(observation, seen, other) {
  const { transport, watchedTo, endedAt, marks } = observation;
  const count = ofKind(observation, "heartbeat").length;
  const [silence, watched] = [duration(Math.max(...silences(observation))), duration(watchedTo - marks.head)];
  const advice = BEAT[transport];
  if (observation.events.length && Math.max(...silences(observation)) > MAX_SILENCE[transport]) {
    return warning("silence", "Silent for long", `Nothing came for ${silence}.`, { advice, measured: silence });
  }
  if (count) {
    const measured = `${count} in ${watched}, longest silence ${silence}`;
    return good("heartbeat", "Heartbeats come", "They keep a quiet connection open, and tell a live one from a dead one.", { measured });
  }
  if (endedAt !== undefined) return []; // checkEnding has more to say
  if (watchedTo - marks.head > HEARTBEAT_DUE[transport]) {
    return warning("no_heartbeat", "No heartbeat came", `No heartbeat came in ${watched}.`, { advice, measured: watched });
  }
  // The other transport's heartbeats come more often: where it has fallen silent and this one is silent since, the way itself is dead.
  if (other.head && lastSilence(other) > MAX_SILENCE[other.transport] && lastSilence(observation) + PING >= lastSilence(other)) {
    const detail = `Nothing came any more since ${NAMES[other.transport]} fell silent.`;
    return warning("silence", "Silent for long", detail, { advice, measured: duration(lastSilence(observation)) });
  }
  return note("too_short", "No heartbeat yet", `It was watched for ${watched}, which may be too short to see one.`);
}

function checkSequence(observation) {
  const placed = observation.events.filter(({ kind, position }) => ["update", "verdict"].includes(kind) && position);
  const updates = placed.filter(({ kind }) => kind === "update").length;
  const steps = placed.slice(1).map(({ kind, position }, index) => (kind === "update" ? idsBetween(placed[index], position) : 1));
  const lost = steps.filter((ids) => ids > 1).length;
  const doubled = steps.filter((ids) => ids < 1).length;
  if (lost || doubled) {
    const detail = `Of ${updates} updates ${lost} came behind a hole, ${doubled} came again.`;
    const advice = "Report it with the output of `dashboard-rt listen --debug`.";
    return bad("sequence", "Updates were lost or doubled", detail, { advice });
  }
  if (!updates || placed.length > updates) return [];
  return note("no_verdict", "The server tells no verdict", "It is not dashboard-rt: nothing resumes.");
}

function checkEnding(observation) {
  const { endedAt, marks, transport } = observation;
  if (endedAt === undefined) return [];
  const measured = duration(endedAt - marks.head);
  const goodbye = ofKind(observation, "goodbye")[0];
  if (goodbye) {
    const [title, advice] = GOODBYES.get(goodbye.reason) ?? ["The server ended the connection", "The server's log says why."];
    const detail = `The server said goodbye after ${measured}: ${goodbye.reason ?? "without a reason"}.`;
    return bad("goodbye", title, detail, { advice, measured });
  }
  // An idle timeout shows in that the last silence was the longest: any other cut comes sooner, between two heartbeats.
  const [quiet, ...before] = silences(observation).reverse();
  const idle = quiet > SHORTEST_IDLE && quiet >= Math.max(0, ...before);
  const cause = idle ? `, after ${duration(quiet)} of silence: something on the way cuts idle connections` : "";
  const beat = transport === "sse" ? "SSE_HEARTBEAT" : "CABLE_PING";
  const advice = `Raise the read timeout of the proxy (nginx: \`proxy_read_timeout 1h;\`) or lower ${beat}, or see why the server cut it.`;
  const title = idle ? "An idle connection is cut" : "The connection was cut";
  return bad("cut", title, `The connection ended after ${measured}, without a goodbye${cause}.`, { advice, measured });
}

// --- reading observations

function ofKind(observation, kind) {
  return observation.events.filter((event) => event.kind === kind);
}

/** The first update of a connection may be a state that was published long before. */
function live(observation) {
  return ofKind(observation, "update").slice(1);
}

function delaySpread(events) {
  const delays = events.filter(({ sentAt }) => sentAt !== undefined).map(({ at, sentAt }) => at - sentAt);
  return delays.length ? Math.max(...delays) - Math.min(...delays) : 0;
}

function arrivalTimes(updates) {
  return new Map(updates.filter(({ position }) => position).map(({ position, at }) => [position, at]));
}

/** The times between two events, in ms, from the head to the end. */
function silences({ marks, events, watchedTo, endedAt }) {
  const times = [marks.head, ...events.map(({ at }) => at), endedAt ?? watchedTo];
  return times.slice(1).map((time, index) => time - times[index]);
}

function lastSilence(observation) {
  return silences(observation).at(-1);
}

/** How many ids there are from an event to the update behind it: one, as they are contiguous. Another epoch begins anew. */
function idsBetween(before, position) {
  const [[epoch, id], [nextEpoch, nextId]] = [split(before.position), split(position)];
  return epoch === nextEpoch ? nextId - id : 1;
}

function split(position) {
  const at = position.lastIndexOf("-");
  return [position.slice(0, at), Number(position.slice(at + 1))];
}
