import assert from "node:assert/strict";
import { test } from "node:test";

import { describeComparison, describeState } from "../../web/sentences.js";

test("each state has its sentence", () => {
  assert.equal(describeState({ state: "live" }), "Updates come as they are published.");
  assert.equal(describeState({ state: "stale" }), "Connected, but nothing is heard: these figures may be old.");
  assert.equal(describeState({ state: "connecting" }), "Opening the connection.");
  assert.equal(describeState({ state: "connecting", detail: { reason: "online" } }), "The network has changed. Connecting again.");
  assert.equal(describeState({ state: "closed" }), "Not connected: it catches up when it connects.");
  assert.equal(describeState({ state: "constructor" }), "");
});

test("an attempt that takes long says what may keep it", () => {
  assert.match(describeState({ transport: "sse", state: "connecting", stateAge: 6000 }), /^Opening the connection\. It takes long: .*six connections/);
  assert.equal(describeState({ transport: "cable", state: "connecting", stateAge: 6000 }), "Opening the connection. It takes long.");
  assert.equal(describeState({ transport: "sse", state: "connecting", stateAge: 4000 }), "Opening the connection.");
});

test("waiting says why and counts down", () => {
  const detail = { reason: "server_restart", retryIn: 4200 };
  assert.equal(describeState({ state: "waiting", detail, stateAge: 0 }), "The server is restarting. Next attempt in 5 s.");
  assert.equal(describeState({ state: "waiting", detail, stateAge: 3300 }), "The server is restarting. Next attempt in 1 s.");
  assert.equal(describeState({ state: "waiting", detail, stateAge: 4300 }), "The server is restarting. Next attempt now.");
  assert.equal(
    describeState({ state: "waiting", detail: { reason: "hidden" } }),
    "This page was out of sight for long. It goes on as soon as the page is seen.",
  );
  assert.equal(describeState({ state: "waiting", detail: {} }), "It tries again by itself.");
});

test("what does not come back says so", () => {
  const detail = { reason: "no_ticket", message: "refused (401).", final: true };
  assert.equal(describeState({ state: "closed", detail }), "No ticket: refused (401). It does not come back by itself.");
});

test("what a stranger calls a reason is text of a bounded length, and no name of ours", () => {
  const long = describeState({ state: "waiting", detail: { reason: "x".repeat(10_000) } });
  assert.ok(long.length < 300);
  assert.match(describeState({ state: "waiting", detail: { reason: "toString" } }), /^toString\./);
  assert.equal(describeState({ state: "waiting", detail: { reason: { toString: 1 } } }), "It tries again by itself.");
});

const feed = (title, state, position = "k-1", age = 9000, loss = "") => ({
  title, state, position, age, isLive: state === "live", completeness: { loss },
});

test("how the two stand to each other", () => {
  const say = (...feeds) => describeComparison(feeds);
  assert.equal(say(feed("A", "live")), "");
  assert.equal(say(feed("A", "live"), feed("B", "live")), "Both transports are live, and have brought the same updates.");
  assert.equal(say(feed("A", "live"), feed("B", "waiting")), "A is live. B is waiting: it catches up when it is back.");
  assert.equal(say(feed("A", "stale"), feed("B", "live")), "B is live. A is stale: its figures may be old.");
  assert.equal(say(feed("A", "connecting"), feed("B", "connecting")), "Both transports are connecting.");
  assert.equal(say(feed("A", "closed"), feed("B", "closed")), "Neither transport is connected: all figures are old.");
  assert.equal(say(feed("A", "closed"), feed("B", "stale")), "Neither transport is live: all figures are old, until one of them is back.");
});

test("they differ only when an update has had its time to reach both", () => {
  const settling = [feed("A", "live", "k-2", 200), feed("B", "live", "k-1", 9000)];
  assert.match(describeComparison(settling), /the same updates/);
  const settled = [feed("A", "live", "k-2", 2000), feed("B", "live", "k-1", 9000)];
  assert.equal(describeComparison(settled), "Both transports are live, but one of them is behind.");
});

test("who has updates missing has not brought the same", () => {
  const feeds = [feed("A", "live", "k-2", 9000, "14 updates / 3 s missing"), feed("B", "live", "k-2")];
  assert.equal(describeComparison(feeds), "Both transports are live, but A has 14 updates / 3 s missing.");
});
