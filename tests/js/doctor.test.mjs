import assert from "node:assert/strict";
import { test } from "node:test";

import { diagnose, reportText } from "../../web/doctor-diagnosis.js";
import { findAll } from "../../web/doctor-findings.js";
import { watchSse } from "../../web/doctor-observation.js";
import { FakeClock } from "./fakes.mjs";

const EXTENDED = "actioncable-v1-ext-json";
const HEADERS = { "x-accel-buffering": "no" };
const NOTHING = { degraded: [], bySettings: [] };

/** A connection that opened at once, was told its verdict and a heartbeat each second, and was watched for eight seconds. */
function observed(transport, more = {}) {
  const head = transport === "sse" ? { status: 200, headers: HEADERS } : { subprotocol: EXTENDED, extensions: "" };
  const beats = [1, 2, 3, 4, 5, 6, 7].map((second) => ({ kind: "heartbeat", at: second * 1000 + 10, sentAt: 5_000_000 + second * 1000 }));
  const events = [{ kind: "verdict", at: 10, position: "e-4" }, ...beats];
  const marks = { head: 5, first_byte: 6, first_event: 10 };
  return { transport, url: "https://example.org/x", marks, head, events, watchedTo: 8000, ...more };
}

function update(id, at, sentAt = at) {
  return { kind: "update", at, sentAt: 9_000_000 + sentAt, position: `e-${id}` };
}

function seen(sse, cable, more = {}) {
  const http = { ...NOTHING, answered: 3, protocol: "h2" };
  return { sse: observed("sse", sse), cable: observed("cable", cable), http, tests: [], ...more };
}

function found(what, transport) {
  const mine = findAll(what).filter((finding) => finding.transport === transport);
  return Object.fromEntries(mine.map((finding) => [finding.id, finding]));
}

const levels = (what, transport) =>
  Object.values(found(what, transport))
    .filter(({ level }) => level === "warning" || level === "bad")
    .map(({ id }) => id);

const withEvents = (...events) => ({ events: [...observed("sse").events, ...events].sort((one, other) => one.at - other.at) });

test("a healthy connection is good in all", () => {
  const what = seen();
  assert.deepEqual(new Set(findAll(what).map(({ level }) => level)), new Set(["good"]));
  assert.equal(found(what, "sse").opening.measured, "head of the answer 5 ms, first byte 6 ms, first event 10 ms");
  assert.equal(found(what, "cable").heartbeat.measured, "7 in 8.0 s, longest silence 1.0 s");
});

test("events that were sent apart and came together are lumps; a constant delay is not", () => {
  const lump = [update(5, 100), update(6, 4000, 1500), update(7, 4000, 3900)];
  assert.deepEqual(levels(seen(withEvents(...lump)), "sse"), ["buffering"]);
  assert.equal(found(seen(withEvents(...lump)), "sse").buffering.measured, "2.4 s");
  const late = [update(5, 100), update(6, 4000, 1500), update(7, 6400, 3900)];
  assert.deepEqual(levels(seen(withEvents(...late)), "sse"), []);
  // The first update is a state that may have been published long before.
  assert.deepEqual(levels(seen(withEvents(update(5, 100, -90_000), update(6, 200))), "sse"), []);
});

test("heartbeats tell of lumps by themselves", () => {
  const beats = [0, 1000, 2600].map((sentAt) => ({ kind: "heartbeat", at: 2700, sentAt }));
  const events = [{ kind: "verdict", at: 10, position: "e-4" }, ...beats];
  assert.deepEqual(levels(seen({ events }), "sse"), ["buffering"]);
  assert.deepEqual(levels(seen({}, { events: events.slice(0, 3) }), "cable"), []); // whole seconds: less than two are no spread
});

test("test updates that come late, or not at all, are a buffer; those of the last second are not missed", () => {
  const tests = [
    { position: "e-5", at: 1000 },
    { position: "e-6", at: 2000 },
    { position: "e-7", at: 7500 },
  ];
  const prompt = found(seen(withEvents(update(5, 1004), update(6, 2009)), {}, { tests }), "sse");
  assert.equal(prompt.delivery.measured, "2 test updates, the slowest after 9 ms");
  assert.equal(found(seen(withEvents(update(5, 1004)), {}, { tests }), "sse").buffering.title, "Updates are held back");
  const late = found(seen(withEvents(update(5, 2300, 1000), update(6, 3300, 2000)), {}, { tests }), "sse");
  assert.equal(late.buffering.detail, "A test update took 1.3 s.");
});

test("without test updates each transport is the clock of the other", () => {
  const fast = withEvents(update(5, 100), update(6, 2000));
  const slow = { events: [...observed("cable").events, update(5, 100), update(6, 3500)].sort((one, other) => one.at - other.at) };
  assert.equal(found(seen(fast, slow), "cable").behind.measured, "1.5 s");
  assert.equal(found(seen(fast, slow), "sse").delivery.measured, "1 compared");
});

test("slow and missing steps", () => {
  const slow = found(seen({ marks: { head: 1500, first_byte: 1501, first_event: 1502 } }), "sse");
  assert.equal(slow.late_head.detail, "The head of the answer came 1.5 s after the start.");
  const missing = found(seen({ marks: { head: 5, first_byte: 6 }, events: [] }), "sse").late_first_event;
  assert.deepEqual([missing.level, missing.measured], ["bad", "8.0 s"]);
});

test("silence and missing heartbeats, by what each transport promises", () => {
  const verdict = observed("sse").events.slice(0, 1);
  assert.deepEqual(levels(seen({ events: verdict, watchedTo: 20_000 }), "sse"), []);
  assert.equal(found(seen({ events: verdict, watchedTo: 20_000 }), "sse").too_short.level, "note");
  assert.deepEqual(levels(seen({ events: verdict, watchedTo: 30_000 }), "sse"), ["silence"]);
  assert.deepEqual(levels(seen({}, { events: verdict }), "cable"), ["silence"]);
  const updates = [10, 20, 30].map((at, index) => update(5 + index, at * 1000));
  assert.deepEqual(levels(seen({ events: [...verdict, ...updates], watchedTo: 36_000 }), "sse"), ["no_heartbeat"]);
});

test("where both have fallen silent at once, neither is called well", () => {
  const until = (end) => observed("cable").events.filter(({ at }) => at < end);
  const verdict = [...observed("sse").events.slice(0, 1), update(5, 4000)];
  const dead = seen({ events: verdict, watchedTo: 20_000 }, { events: until(3500), watchedTo: 20_000 });
  assert.deepEqual(levels(dead, "sse"), ["silence"]);
  assert.equal(findAll(dead)[0].level, "warning");
  assert.match(findAll(dead)[0].detail, /^Both have something to mend/);
  const later = seen({ events: [...verdict, update(6, 15_000)], watchedTo: 20_000 }, { events: until(3500), watchedTo: 20_000 });
  assert.deepEqual(levels(later, "sse"), []); // SSE has spoken since
});

test("lost and doubled updates; a jump behind a verdict is neither", () => {
  assert.deepEqual(levels(seen(withEvents(update(5, 20), update(7, 30))), "sse"), ["sequence"]);
  assert.deepEqual(levels(seen(withEvents(update(5, 20), update(5, 30))), "sse"), ["sequence"]);
  assert.deepEqual(levels(seen(withEvents(update(6, 20))), "sse"), ["sequence"]); // the verdict said 4
  assert.deepEqual(levels(seen(withEvents(update(5, 20), { ...update(1, 30), position: "f-1" })), "sse"), []); // another epoch
  const gap = { kind: "verdict", at: 25, position: "e-90" };
  assert.deepEqual(levels(seen(withEvents(update(5, 20), gap, update(91, 30))), "sse"), []);
});

test("a server without verdicts is another one", () => {
  const events = observed("sse").events.slice(1).concat(update(5, 7500));
  assert.equal(found(seen({ events }), "sse").no_verdict.level, "note");
  assert.equal(found(seen(withEvents(update(5, 7500))), "sse").no_verdict, undefined);
});

test("a cut is of an idle connection when its last silence was the longest", () => {
  const ended = (endedAt) => found(seen({ endedAt, watchedTo: endedAt }), "sse").cut;
  assert.equal(ended(9000).title, "An idle connection is cut");
  assert.match(ended(9000).detail, /2.0 s of silence/);
  assert.equal(ended(7800).title, "The connection was cut");
  const soon = found(seen({ events: [], marks: { head: 5 }, endedAt: 100, watchedTo: 100 }), "sse");
  assert.deepEqual(Object.keys(soon), ["cut"]); // that no heartbeat came says nothing
});

test("a goodbye says why; its reason is text by a stranger", () => {
  const goodbye = (reason) => found(seen(withEvents({ kind: "goodbye", at: 7900, reason }), {}, {}), "sse");
  assert.deepEqual(goodbye("full").goodbye, undefined); // it did not end
  const ending = (reason) => found(seen({ ...withEvents({ kind: "goodbye", at: 7900, reason }), endedAt: 7901 }), "sse").goodbye;
  assert.equal(ending("full").title, "The server is full");
  assert.equal(ending("constructor").title, "The server ended the connection");
  assert.equal(ending(undefined).detail, "The server said goodbye after 7.9 s: without a reason.");
});

test("what was agreed on in the handshake", () => {
  const agreed = (more) => levels(seen({}, { head: { subprotocol: EXTENDED, extensions: "", ...more } }), "cable");
  assert.deepEqual(agreed({ extensions: "permessage-deflate; server_no_context_takeover" }), ["compression"]);
  assert.deepEqual(agreed({ subprotocol: "actioncable-v1-json" }), ["subprotocol"]);
  assert.deepEqual(agreed({ subprotocol: "" }), ["subprotocol"]);
});

test("headers that a proxy changed", () => {
  const headed = (headers) => levels(seen({ head: { status: 200, headers } }), "sse");
  assert.deepEqual(headed({ ...HEADERS, "content-length": "7" }), ["content_length"]);
  assert.deepEqual(headed({ "x-accel-buffering": "yes" }), ["x_accel_buffering"]);
  assert.deepEqual(headed({ ...HEADERS, "content-encoding": "br" }), ["compression"]);
  assert.equal(found(seen({ head: { status: 200, headers: {} } }), "sse").x_accel_buffering.level, "note");
  assert.equal(found(seen({ head: { status: 200, headers: { server: "nginx/1.22" } } }), "sse").x_accel_buffering, undefined);
  assert.equal(found(seen({ head: { status: 200, headers: {} } }, {}, { crossOrigin: true }), "sse").x_accel_buffering, undefined);
});

const unopened = (failure) => ({ head: undefined, marks: {}, events: [], failure });

test("a stream that never opened is told from a browser without connections", () => {
  const limited = { http: NOTHING, pageProtocol: "http/1.1" };
  assert.deepEqual(levels(seen(unopened(), {}, limited), "sse"), ["connection_limit"]);
  assert.deepEqual(levels(seen(unopened(), {}, { ...limited, http: { ...NOTHING, answered: 5 } }), "sse"), ["no_answer"]);
  assert.deepEqual(levels(seen(unopened(), {}, { http: NOTHING, pageProtocol: "h2" }), "sse"), ["no_answer"]);
  assert.deepEqual(levels(seen(unopened(), unopened(), limited), "sse"), ["no_answer"]);
});

test("a failed request to another origin is CORS where others are answered", () => {
  const failed = unopened({ reason: "unreachable", at: 4, detail: "Failed to fetch" });
  assert.deepEqual(levels(seen(failed, {}, { crossOrigin: true }), "sse"), ["cors"]);
  assert.deepEqual(levels(seen(failed), "sse"), ["unreachable"]);
});

test("a handshake that failed: blocked, without a server, refused, or without its subprotocol", () => {
  const failed = (more) => unopened({ reason: "handshake", at: 4, detail: "close code 1006", ...more });
  assert.deepEqual(levels(seen({}, failed({ status: 404 })), "cable"), ["upgrade"]);
  assert.deepEqual(levels(seen({}, failed({ status: 502 })), "cable"), ["status"]);
  assert.deepEqual(levels(seen({}, failed({ status: 404, opensWithoutSubprotocol: true })), "cable"), ["subprotocol"]);
  assert.deepEqual(levels(seen(failed(), failed(), { http: NOTHING }), "cable"), ["unreachable"]);
});

test("which transport to use follows from what was found", () => {
  const title = (what) => findAll(what)[0].title;
  const http1 = { http: { ...NOTHING, answered: 3, protocol: "http/1.1" } };
  assert.equal(title(seen()), "Use SSE here");
  assert.equal(title(seen({}, {}, http1)), "Use WebSocket here");
  assert.equal(title(seen({ endedAt: 9000 }, {})), "Use WebSocket here");
  assert.equal(title(seen({}, { endedAt: 9000 }, http1)), "Use SSE here");
  assert.equal(title(seen({ endedAt: 9000 }, { endedAt: 9000 })), "Neither transport works well here");
  assert.equal(findAll(seen({ endedAt: 9000 }))[0].detail, "SSE has a problem: an idle connection is cut.");
});

test("what the server has to do without, and a host that it does not know", () => {
  const what = seen({}, {}, { http: { ...NOTHING, degraded: ["Redis is away."], bySettings: ["Slow."] }, testsRefused: 403 });
  const ids = findAll(what).filter(({ transport }) => !transport).map(({ id, level }) => [id, level]);
  assert.deepEqual(ids.slice(1), [["origin", "bad"], ["outage", "warning"], ["slow_settings", "note"]]);
});

// --- watching

const encoder = new TextEncoder();
const VERDICT = 'retry: 1000\n\nevent: verdict\nid: e-7\ndata: {"verdict":"fresh"}\n\n';
const UPDATE = 'id: e-8\ndata: {"a":1,"published_at_ms":12}\n\n';

function bodyOf(text, size) {
  const bytes = encoder.encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
}

async function watched(response, more = {}) {
  const clock = new FakeClock();
  const platform = { ...clock, now: clock.now, fetch: async () => response };
  const { signal } = new AbortController();
  const url = "https://user:hunter2@example.org/s?ticket=secret";
  const watch = watchSse({ url, since: clock.time, signal, platform, ...more });
  await watch.done;
  return watch.observation;
}

test("a stream is read across any cuts of its bytes", async () => {
  for (const size of [1, 7, 1000]) {
    const headers = { "content-type": "text/event-stream; charset=utf-8" };
    const { events, endedAt, head } = await watched(new Response(bodyOf(VERDICT + UPDATE, size), { headers }));
    const seenThere = events.map(({ kind, position, sentAt }) => [kind, position, sentAt]);
    assert.deepEqual(seenThere, [["verdict", "e-7", undefined], ["update", "e-8", 12]]);
    assert.deepEqual([endedAt, head.status], [0, 200]);
  }
});

test("other answers are failures, and no secret is in what is shown", async () => {
  const refused = await watched(new Response("{}", { status: 503 }));
  assert.deepEqual([refused.failure.reason, refused.failure.status, refused.head], ["status", 503, undefined]);
  assert.equal((await watched(new Response("<html>"))).failure.reason, "content_type");
  const without = await watched(undefined, { ticket: () => Promise.reject(new Error("no")) });
  assert.deepEqual([without.failure.reason, without.failure.detail], ["ticket", "no"]);
  assert.doesNotMatch(refused.url, /secret|user|hunter2/);
});

test("a check ends with its time, its signal, or both connections", async () => {
  const clock = new FakeClock();
  class Refusing {
    constructor() {
      queueMicrotask(() => this.onclose?.({ code: 1006 }));
    }
    close() {}
  }
  const never = (_, { signal }) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      if (signal.aborted) reject(signal.reason);
    });
  const platform = { now: clock.now, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, WebSocket: Refusing, fetch: never };
  const options = { sseUrl: "https://example.org/s", cableUrl: "https://example.org/cable", seconds: 5, platform };
  const checking = diagnose(options);
  await new Promise(setImmediate);
  clock.advance(5000);
  assert.equal((await checking)[0].title, "Neither transport works well here");
  assert.equal(clock.pending, 0);
  const aborted = await diagnose({ ...options, signal: AbortSignal.abort() });
  assert.ok(aborted.length > 1);
  const failing = async () => Promise.reject(new TypeError("Failed to fetch"));
  assert.ok(await diagnose({ ...options, platform: { ...platform, fetch: failing } }));
  assert.equal(clock.pending, 0);
});

test("the report is plain text, with what to do", () => {
  const report = reportText(findAll(seen({ endedAt: 9000 })), ["page     https://example.org"]);
  assert.match(report, /^Connection check of dashboard-rt\npage     https:\/\/example.org\n\nWhich transport here: warning\n/);
  assert.match(report, /\nSSE: bad\n {2}bad: An idle connection is cut \(9.0 s\)\n {4}The connection ended .*\n {4}-> Raise the read/);
});
