/** What is Action Cable's own; what both transports promise is in connection.test.mjs. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { PROTOCOLS } from "../../web/client/cable.js";
import { IDENTIFIER, start, startLive, WIRES } from "./wires.mjs";

const [, cable] = WIRES;
const WELCOME = { type: "welcome" };
const confirmation = (verdict, position) => ({ identifier: IDENTIFIER, type: "confirm_subscription", verdict, position });

test("it offers both protocols, the extended one first", async () => {
  const { Kind } = await start(cable);
  assert.deepEqual(Kind.latest.protocols, PROTOCOLS);
  assert.deepEqual(PROTOCOLS, ["actioncable-v1-ext-json", "actioncable-v1-json"]);
});

test("the scheme is a WebSocket's, whatever the app calls it", async () => {
  const cases = [["http://h/cable", "ws://h/cable"], ["https://h/cable", "wss://h/cable"], ["wss://h/cable", "wss://h/cable"], ["/cable", "ws://host/cable"]];
  for (const [url, opened] of cases) {
    const { Kind } = await start(cable, { url });
    assert.equal(Kind.latest.url.href, opened);
  }
});

test("it subscribes after the welcome, to the channel and the stream that it was given", async () => {
  const { Kind } = await start(cable);
  assert.deepEqual(Kind.latest.sent, []);
  Kind.latest.receives(WELCOME);
  assert.deepEqual(Kind.latest.sent, [{ command: "subscribe", identifier: IDENTIFIER }]);
  const { Kind: Other } = await start(cable, { channel: "Chat", stream: undefined, position: "k3f9-5" });
  Other.latest.receives(WELCOME);
  assert.deepEqual(Other.latest.sent, [{ command: "subscribe", identifier: '{"channel":"Chat"}', last_event_id: "k3f9-5" }]);
});

test("an unconfirmed subscribe is sent again, and a second confirmation is ignored", async () => {
  const { clock, reported, Kind } = await start(cable);
  const socket = Kind.latest;
  socket.receives(WELCOME);
  clock.advance(2000);
  socket.receives({ type: "ping" });
  clock.advance(1000);
  assert.equal(socket.sent.length, 2);
  assert.deepEqual(socket.sent[0], socket.sent[1]);
  socket.receives(confirmation("fresh", "k3f9-7"));
  cable.updates(socket, {}, "k3f9-8");
  socket.receives(confirmation("fresh", "k3f9-7"));
  assert.deepEqual([reported.verdicts.length, reported.updates.length], [1, 1]);
  clock.advance(5000);
  assert.equal(socket.sent.length, 2);
});

test("a connection that ends before the confirmation subscribes no more", async () => {
  const { clock, client, Kind } = await start(cable);
  Kind.latest.receives(WELCOME);
  client.close();
  assert.equal(clock.pending, 0);
});

test("a second welcome does not subscribe twice", async () => {
  const { Kind } = await startLive(cable);
  Kind.latest.receives(WELCOME);
  assert.equal(Kind.latest.sent.length, 1);
});

test("an update without its place in the stream does not move the position", async () => {
  const { reported, client, Kind } = await startLive(cable);
  const strange = [{}, { epoch: "k3f9" }, { epoch: 7, offset: 8 }, { epoch: "k3f9", offset: "8" }, { epoch: "k3f9", offset: 1e999 }];
  for (const more of strange) Kind.latest.receives({ identifier: IDENTIFIER, message: 1, ...more });
  assert.equal(reported.updates.length, strange.length);
  assert.equal(client.position, "k3f9-7");
});

test("a rejected subscription ends it", async () => {
  const { clock, client, reported, Kind } = await start(cable);
  Kind.latest.receives(WELCOME);
  Kind.latest.receives({ identifier: IDENTIFIER, type: "reject_subscription" });
  assert.deepEqual(reported.last(), ["closed", { transport: "cable", reason: "rejected", final: true }]);
  clock.advance(120_000);
  assert.deepEqual([client.state, Kind.all.length, Kind.open, clock.pending], ["closed", 1, 0, 0]);
});

test("a disconnect that forbids coming back ends it, unless another ticket may help", async () => {
  const cases = [["unauthorized", undefined, "closed"], ["token_expired", "t", "closed"], ["remote", () => "t", "closed"], ["unauthorized", () => "t", "waiting"], ["token_expired", () => "t", "waiting"]];
  for (const [reason, ticket, state] of cases) {
    const { reported, Kind } = await startLive(cable, { ticket });
    Kind.latest.receives({ type: "disconnect", reason, reconnect: false });
    assert.deepEqual([reported.last()[0], reported.last()[1].reason], [state, reason]);
  }
});

test("the close code is told", async () => {
  const { reported, Kind } = await startLive(cable);
  Kind.latest.disconnects(1011);
  assert.deepEqual(reported.last()[1], { transport: "cable", reason: "lost", status: 1011, retryIn: 500 });
});

test("frames that are not understood are counted, and nothing is thrown", async () => {
  const { reported, client, Kind } = await startLive(cable);
  const socket = Kind.latest;
  for (const frame of ["{", "17", "null", "[]", new ArrayBuffer(2)]) socket.onmessage({ data: frame });
  socket.receives({ identifier: "another", message: 1 });
  for (const frame of [{ type: "constructor" }, { type: { toString: 1 } }, { type: ["ping"] }, { type: null }, {}]) socket.receives(frame);
  assert.deepEqual(reported.ignored, [...Array(5).fill("bad_json"), "unknown_identifier", ...Array(5).fill("unknown_type")]);
  assert.deepEqual([reported.updates, client.state, client.stats.ignored], [[], "live", 11]);
});

test("history answers of the extended protocol are not counted as unknown", async () => {
  const { reported, Kind } = await startLive(cable);
  Kind.latest.receives({ type: "confirm_history", identifier: IDENTIFIER });
  Kind.latest.receives({ type: "reject_history", identifier: IDENTIFIER });
  assert.deepEqual(reported.ignored, []);
});

test("an error is listened to from the start to behind the end: the package ws ends the process otherwise", async () => {
  const { client, Kind } = await start(cable);
  const socket = Kind.latest;
  assert.equal(typeof socket.onerror, "function");
  client.close();
  assert.equal(typeof socket.onerror, "function");
});
