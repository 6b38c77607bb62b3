import assert from "node:assert/strict";
import { test } from "node:test";

import { createSse, streamAddress } from "../../web/client/sse.js";
import { FakeClock, fakeEventSource, recorder, surroundings } from "./fakes.mjs";

const URL_ = "http://host/dashboard/stream";

function start(options = {}) {
  const clock = new FakeClock();
  const reported = recorder();
  const EventSource = fakeEventSource();
  const client = createSse({
    url: URL_, stream: "dashboard_updates", EventSource, ...surroundings(clock), ...reported.handlers, ...options,
  });
  client.open();
  return { clock, reported, client, EventSource };
}

function startLive(options) {
  const parts = start(options);
  parts.EventSource.latest.receives("verdict", { verdict: "fresh", position: "k3f9-7", replaying: 0, missed: null }, "k3f9-7");
  return parts;
}

const resumesFrom = (source) => source.url.searchParams.get("last_event_id");

test("the address names the stream, and the position when there is one", () => {
  assert.equal(streamAddress(URL_, "a b", ""), `${URL_}?stream=a+b`);
  assert.equal(streamAddress(`${URL_}?x=1`, "s", "k3f9-7"), `${URL_}?x=1&stream=s&last_event_id=k3f9-7`);
});

test("it is live after the verdict, and starts at the position of the page", () => {
  const { reported, client, EventSource } = start({ position: "k3f9-5" });
  assert.equal(resumesFrom(EventSource.latest), "k3f9-5");
  assert.equal(client.state, "connecting");
  EventSource.latest.receives("verdict", { verdict: "recovered", position: "k3f9-5", replaying: 2, missed: null }, "k3f9-5");
  assert.equal(client.state, "live");
  assert.deepEqual(reported.verdicts, [{ verdict: "recovered", position: "k3f9-5", replaying: 2, missed: null }]);
});

test("updates and heartbeats move the position", () => {
  const { reported, client, EventSource } = startLive();
  EventSource.latest.receives("message", { a: 1 }, "k3f9-8");
  assert.deepEqual(reported.updates, [[{ a: 1 }, "k3f9-8"]]);
  EventSource.latest.receives("heartbeat", { time: "now", position: "k3f9-9" }, "k3f9-9");
  assert.equal(client.position, "k3f9-9");
});

test("a second verdict on the same connection is reported, the state stays", () => {
  const { reported, EventSource } = startLive();
  EventSource.latest.receives("verdict", { verdict: "gap", position: "k3f9-90" }, "k3f9-90");
  assert.deepEqual(reported.verdicts.map(({ verdict }) => verdict), ["fresh", "gap"]);
  assert.deepEqual(reported.states.map(([state]) => state), ["connecting", "live"]);
});

test("while the browser retries by itself the client waits", () => {
  const { clock, reported, client, EventSource } = startLive();
  EventSource.latest.fails(0);
  assert.deepEqual(reported.last(), ["reconnecting", { reason: "connection lost" }]);
  clock.advance(20_000);
  assert.equal(EventSource.all.length, 1);
  EventSource.latest.receives("verdict", { verdict: "recovered", position: "k3f9-7" }, "k3f9-7");
  assert.equal(client.state, "live");
});

test("an EventSource that gave up is replaced, with backoff and the last position", () => {
  const { clock, reported, EventSource } = startLive({ random: () => 1 });
  EventSource.latest.receives("message", {}, "k3f9-8");
  const delays = [];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    EventSource.latest.fails(2);
    const [state, { reason, retryIn }] = reported.last();
    assert.deepEqual([state, reason], ["reconnecting", "refused"]);
    delays.push(retryIn);
    clock.advance(retryIn);
    assert.equal(EventSource.all.length, attempt + 2);
    assert.equal(resumesFrom(EventSource.latest), "k3f9-8");
  }
  assert.deepEqual(delays, [1000, 2000, 4000]);
});

test("a silent stream is replaced", () => {
  const { clock, client, EventSource } = startLive({ staleAfter: 30_000 });
  clock.advance(29_000);
  EventSource.latest.receives("heartbeat", {}, "");
  clock.advance(29_000);
  assert.equal(client.state, "live");
  clock.advance(1500);
  assert.equal(EventSource.all.length, 2);
  assert.equal(EventSource.all[0].readyState, 2);
  assert.equal(resumesFrom(EventSource.latest), "k3f9-7");
});

test("a goodbye is the reason of the loss that follows it, and of no other", () => {
  const { reported, EventSource } = startLive();
  EventSource.latest.receives("goodbye", { reason: "server_restart", retry_ms: 2310 });
  EventSource.latest.fails(0);
  assert.deepEqual(reported.last(), ["reconnecting", { reason: "server_restart", retryIn: 2310 }]);
  EventSource.latest.receives("verdict", { verdict: "recovered", position: "k3f9-7" }, "k3f9-7");
  EventSource.latest.fails(0);
  assert.deepEqual(reported.last(), ["reconnecting", { reason: "connection lost" }]);
});

test("after token_expired the client stops", () => {
  const { clock, reported, EventSource } = startLive();
  EventSource.latest.receives("goodbye", { reason: "token_expired", retry_ms: 1 });
  assert.deepEqual(reported.last(), ["stopped", { reason: "token_expired" }]);
  clock.advance(600_000);
  assert.equal(EventSource.all.length, 1);
});

test("invalid JSON is counted, and its position kept, or it would be sent again", () => {
  const { reported, client, EventSource } = startLive();
  EventSource.latest.receives("message", "{", "k3f9-8");
  assert.deepEqual(reported.ignored, ["bad_json"]);
  assert.equal(client.position, "k3f9-8");
  EventSource.latest.receives("message", "null", "k3f9-9");
  assert.deepEqual(reported.updates, [[null, "k3f9-9"]]);
});

test("close() leaves no timer; open() resumes", () => {
  const { clock, client, EventSource } = startLive();
  client.close();
  assert.equal(EventSource.latest.readyState, 2);
  assert.equal(clock.pending, 0);
  client.open();
  assert.equal(resumesFrom(EventSource.latest), "k3f9-7");
});
