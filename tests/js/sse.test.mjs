import assert from "node:assert/strict";
import { test } from "node:test";

import { createSse, streamAddress } from "../../web/client/sse.js";
import { FakeClock, fakeEventSource, recorder, surroundings } from "./fakes.mjs";

const URL_ = "http://host/dashboard/stream";

function start(options = {}) {
  const clock = new FakeClock();
  const heard = recorder();
  const EventSource = fakeEventSource();
  const client = createSse({
    url: URL_, stream: "dashboard_updates", EventSource, ...surroundings(clock), ...heard.handlers, ...options,
  });
  client.open();
  return { clock, heard, client, EventSource };
}

function startLive(options) {
  const parts = start(options);
  parts.EventSource.latest.says("verdict", { verdict: "fresh", position: "k3f9-7", replaying: 0, missed: null }, "k3f9-7");
  return parts;
}

const resumesFrom = (source) => source.url.searchParams.get("last_event_id");

test("the address names the stream, and the position when there is one", () => {
  assert.equal(streamAddress(URL_, "a b", ""), `${URL_}?stream=a+b`);
  assert.equal(streamAddress(`${URL_}?x=1`, "s", "k3f9-7"), `${URL_}?x=1&stream=s&last_event_id=k3f9-7`);
});

test("it is live once the verdict is there, and starts where the page was drawn", () => {
  const { heard, client, EventSource } = start({ position: "k3f9-5" });
  assert.equal(resumesFrom(EventSource.latest), "k3f9-5");
  assert.equal(client.state, "connecting");
  EventSource.latest.says("verdict", { verdict: "recovered", position: "k3f9-5", replaying: 2, missed: null }, "k3f9-5");
  assert.equal(client.state, "live");
  assert.deepEqual(heard.verdicts, [{ verdict: "recovered", position: "k3f9-5", replaying: 2, missed: null }]);
});

test("updates and heartbeats move the position", () => {
  const { heard, client, EventSource } = startLive();
  EventSource.latest.says("message", { a: 1 }, "k3f9-8");
  assert.deepEqual(heard.updates, [[{ a: 1 }, "k3f9-8"]]);
  EventSource.latest.says("heartbeat", { time: "now", position: "k3f9-9" }, "k3f9-9");
  assert.equal(client.position, "k3f9-9");
});

test("a second verdict on the same connection is told, the state stays", () => {
  const { heard, EventSource } = startLive();
  EventSource.latest.says("verdict", { verdict: "gap", position: "k3f9-90" }, "k3f9-90");
  assert.deepEqual(heard.verdicts.map(({ verdict }) => verdict), ["fresh", "gap"]);
  assert.deepEqual(heard.states.map(([state]) => state), ["connecting", "live"]);
});

test("what the browser retries by itself is left to it", () => {
  const { clock, heard, client, EventSource } = startLive();
  EventSource.latest.fails(0);
  assert.deepEqual(heard.last(), ["reconnecting", { reason: "connection lost" }]);
  clock.advance(20_000);
  assert.equal(EventSource.all.length, 1);
  EventSource.latest.says("verdict", { verdict: "recovered", position: "k3f9-7" }, "k3f9-7");
  assert.equal(client.state, "live");
});

test("an EventSource that gave up is replaced, with backoff and the last position", () => {
  const { clock, heard, EventSource } = startLive({ random: () => 1 });
  EventSource.latest.says("message", {}, "k3f9-8");
  const delays = [];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    EventSource.latest.fails(2);
    const [state, { reason, retryIn }] = heard.last();
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
  EventSource.latest.says("heartbeat", {}, "");
  clock.advance(29_000);
  assert.equal(client.state, "live");
  clock.advance(1500);
  assert.equal(EventSource.all.length, 2);
  assert.equal(EventSource.all[0].readyState, 2);
  assert.equal(resumesFrom(EventSource.latest), "k3f9-7");
});

test("a goodbye explains the loss behind it, once", () => {
  const { heard, EventSource } = startLive();
  EventSource.latest.says("goodbye", { reason: "server_restart", retry_ms: 2310 });
  EventSource.latest.fails(0);
  assert.deepEqual(heard.last(), ["reconnecting", { reason: "server_restart", retryIn: 2310 }]);
  EventSource.latest.says("verdict", { verdict: "recovered", position: "k3f9-7" }, "k3f9-7");
  EventSource.latest.fails(0);
  assert.deepEqual(heard.last(), ["reconnecting", { reason: "connection lost" }]);
});

test("a token that ran out is not tried again", () => {
  const { clock, heard, EventSource } = startLive();
  EventSource.latest.says("goodbye", { reason: "token_expired", retry_ms: 1 });
  assert.deepEqual(heard.last(), ["stopped", { reason: "token_expired" }]);
  clock.advance(600_000);
  assert.equal(EventSource.all.length, 1);
});

test("what is no JSON is counted, and its position kept: it would only come again", () => {
  const { heard, client, EventSource } = startLive();
  EventSource.latest.says("message", "{", "k3f9-8");
  assert.deepEqual(heard.ignored, ["bad_json"]);
  assert.equal(client.position, "k3f9-8");
  EventSource.latest.says("message", "null", "k3f9-9");
  assert.deepEqual(heard.updates, [[null, "k3f9-9"]]);
});

test("closed is closed: no timer is left; opened again it resumes", () => {
  const { clock, client, EventSource } = startLive();
  client.close();
  assert.equal(EventSource.latest.readyState, 2);
  assert.equal(clock.pending, 0);
  client.open();
  assert.equal(resumesFrom(EventSource.latest), "k3f9-7");
});
