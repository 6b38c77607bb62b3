import assert from "node:assert/strict";
import { test } from "node:test";

import { PROTOCOLS, createCable } from "../../web/client/cable.js";
import { FakeClock, fakeWebSocket, recorder, surroundings } from "./fakes.mjs";

const IDENTIFIER = '{"channel":"DashboardUpdatesChannel"}';
const WELCOME = { type: "welcome" };
const PING = { type: "ping", message: 1 };
const confirmation = (verdict, position) => ({ identifier: IDENTIFIER, type: "confirm_subscription", verdict, position });
const data = (message, offset, epoch = "k3f9") => ({ identifier: IDENTIFIER, message, stream_id: "s", epoch, offset });

function start(options = {}) {
  const clock = new FakeClock();
  const reported = recorder();
  const WebSocket = fakeWebSocket();
  const client = createCable({
    url: "ws://host/cable", identifier: IDENTIFIER, WebSocket, ...surroundings(clock), ...reported.handlers, ...options,
  });
  client.open();
  return { clock, reported, client, WebSocket };
}

function startLive(options) {
  const parts = start(options);
  parts.WebSocket.latest.receives(WELCOME);
  parts.WebSocket.latest.receives(confirmation("fresh", "k3f9-7"));
  return parts;
}

test("it offers both protocols, the extended one first", () => {
  const { WebSocket } = start();
  assert.deepEqual(WebSocket.latest.protocols, PROTOCOLS);
  assert.deepEqual(PROTOCOLS, ["actioncable-v1-ext-json", "actioncable-v1-json"]);
});

test("it subscribes after the welcome, and is live once that is confirmed", () => {
  const { reported, client, WebSocket } = start();
  assert.deepEqual(WebSocket.latest.sent, []);
  WebSocket.latest.receives(WELCOME);
  assert.deepEqual(WebSocket.latest.sent, [{ command: "subscribe", identifier: IDENTIFIER }]);
  assert.equal(client.state, "connecting");
  WebSocket.latest.receives(confirmation("fresh", "k3f9-7"));
  assert.equal(client.state, "live");
  assert.deepEqual(reported.verdicts, [{ verdict: "fresh", position: "k3f9-7" }]);
  assert.equal(client.position, "k3f9-7");
});

test("the page's position is sent with the first subscribe", () => {
  const { WebSocket } = start({ position: "k3f9-5" });
  WebSocket.latest.receives(WELCOME);
  assert.equal(WebSocket.latest.sent[0].last_event_id, "k3f9-5");
});

test("updates move the position; an answer without the triple does not", () => {
  const { reported, client, WebSocket } = startLive();
  WebSocket.latest.receives(data({ a: 1 }, 8));
  WebSocket.latest.receives({ identifier: IDENTIFIER, message: { a: 2 } });
  assert.deepEqual(reported.updates, [[{ a: 1 }, "k3f9-8"], [{ a: 2 }, "k3f9-8"]]);
  assert.equal(client.position, "k3f9-8");
});

test("any JSON may be an update: a string stays a string, null stays null", () => {
  const { reported, WebSocket } = startLive();
  WebSocket.latest.receives(data('{"a":1}', 8));
  WebSocket.latest.receives(data(null, 9));
  assert.deepEqual(reported.updates, [['{"a":1}', "k3f9-8"], [null, "k3f9-9"]]);
});

test("a recovered client's position moves with the replay, so a connection lost before it skips nothing", () => {
  const { client, WebSocket } = start({ position: "k3f9-5" });
  WebSocket.latest.receives(WELCOME);
  WebSocket.latest.receives(confirmation("recovered", "k3f9-9"));
  assert.equal(client.position, "k3f9-5");
  WebSocket.latest.receives(data({}, 6));
  assert.equal(client.position, "k3f9-6");
});

test("after a gap the position is the server's", () => {
  const { client, WebSocket } = start({ position: "old-5" });
  WebSocket.latest.receives(WELCOME);
  WebSocket.latest.receives(confirmation("gap", "k3f9-9"));
  assert.equal(client.position, "k3f9-9");
});

test("an unconfirmed subscribe is sent again, and a second confirmation is ignored", () => {
  const { clock, reported, WebSocket } = start();
  const socket = WebSocket.latest;
  socket.receives(WELCOME);
  clock.advance(2000);
  socket.receives(PING);
  clock.advance(1000);
  assert.equal(socket.sent.length, 2);
  assert.deepEqual(socket.sent[0], socket.sent[1]);
  socket.receives(confirmation("fresh", "k3f9-7"));
  socket.receives(data({}, 8));
  socket.receives(confirmation("fresh", "k3f9-7"));
  assert.equal(reported.verdicts.length, 1);
  assert.equal(reported.updates.length, 1);
  clock.advance(5000);
  assert.equal(socket.sent.length, 2);
});

test("a second welcome does not subscribe twice", () => {
  const { WebSocket } = startLive();
  WebSocket.latest.receives(WELCOME);
  assert.equal(WebSocket.latest.sent.length, 1);
});

test("after a rejected subscription the client stops", () => {
  const { clock, client, reported, WebSocket } = start();
  WebSocket.latest.receives(WELCOME);
  WebSocket.latest.receives({ identifier: IDENTIFIER, type: "reject_subscription" });
  assert.deepEqual(reported.last(), ["stopped", { reason: "subscription rejected" }]);
  clock.advance(120_000);
  assert.equal(client.state, "stopped");
  assert.equal(WebSocket.all.length, 1);
  assert.equal(clock.pending, 0);
});

test("pings keep a quiet connection live", () => {
  const { clock, client, WebSocket } = startLive();
  for (let ping = 0; ping < 20; ping += 1) {
    clock.advance(3000);
    WebSocket.latest.receives(PING);
  }
  assert.equal(client.state, "live");
  assert.equal(WebSocket.all.length, 1);
});

test("six seconds of silence are a loss, and the position is sent with the next subscribe", () => {
  const { clock, reported, client, WebSocket } = startLive();
  WebSocket.latest.receives(data({}, 12));
  clock.advance(5999);
  assert.equal(client.state, "live");
  clock.advance(1);
  assert.deepEqual(reported.last(), ["reconnecting", { reason: "silence", retryIn: 500 }]);
  assert.equal(WebSocket.all[0].readyState, 3);
  clock.advance(500);
  assert.equal(WebSocket.all.length, 2);
  WebSocket.latest.receives(WELCOME);
  assert.equal(WebSocket.latest.sent[0].last_event_id, "k3f9-12");
  WebSocket.latest.receives(confirmation("recovered", "k3f9-12"));
  assert.equal(client.state, "live");
});

test("a socket that does not open within six seconds is closed", () => {
  const { clock, client, WebSocket } = start();
  clock.advance(6500);
  assert.equal(client.state, "reconnecting");
  assert.equal(WebSocket.all.length, 2);
});

test("late events of a closed socket are ignored", () => {
  const { clock, reported, WebSocket } = startLive();
  const [first] = WebSocket.all;
  const { onmessage, onclose } = first;
  clock.advance(6500);
  onmessage({ data: JSON.stringify(data({ late: true }, 99)) });
  onclose({ code: 1006 });
  assert.equal(WebSocket.all.length, 2);
  assert.deepEqual(reported.last(), ["reconnecting", { reason: "silence", retryIn: 500 }]);
});

test("after a goodbye the client waits as long as the server said", () => {
  const { clock, reported, WebSocket } = startLive();
  WebSocket.latest.receives({ type: "disconnect", reason: "server_restart", reconnect: true, retry_in: 2310 });
  assert.deepEqual(reported.last(), ["reconnecting", { reason: "server_restart", retryIn: 2310 }]);
  WebSocket.all[0].disconnects(1001);
  clock.advance(2309);
  assert.equal(WebSocket.all.length, 1);
  clock.advance(1);
  assert.equal(WebSocket.all.length, 2);
});

test("after a disconnect with reconnect false the client stops", () => {
  const { clock, reported, WebSocket } = startLive();
  WebSocket.latest.receives({ type: "disconnect", reason: "unauthorized", reconnect: false });
  assert.deepEqual(reported.last(), ["stopped", { reason: "unauthorized" }]);
  clock.advance(600_000);
  assert.equal(WebSocket.all.length, 1);
});

test("delays grow while nothing answers, and are reset after ten live seconds", () => {
  const { clock, reported, WebSocket } = start({ random: () => 1 });
  const delays = [];
  for (let attempt = 0; attempt < 4; attempt += 1) {
    WebSocket.latest.disconnects();
    delays.push(reported.last()[1].retryIn);
    clock.advance(delays.at(-1));
  }
  assert.deepEqual(delays, [1000, 2000, 4000, 8000]);
  WebSocket.latest.receives(WELCOME);
  WebSocket.latest.receives(confirmation("fresh", "k3f9-7"));
  for (let second = 0; second < 10; second += 1) {
    clock.advance(1000);
    WebSocket.latest.receives(PING);
  }
  WebSocket.latest.disconnects();
  assert.equal(reported.last()[1].retryIn, 1000);
});

test("a connection that drops at once does not reset the delays", () => {
  const { clock, reported, WebSocket } = start({ random: () => 1 });
  for (const expected of [1000, 2000, 4000]) {
    WebSocket.latest.receives(WELCOME);
    WebSocket.latest.receives(confirmation("fresh", "k3f9-7"));
    WebSocket.latest.disconnects();
    assert.equal(reported.last()[1].retryIn, expected);
    clock.advance(expected);
  }
});

test("wake() ends a pending delay", () => {
  const { client, WebSocket } = start();
  WebSocket.latest.disconnects();
  client.wake();
  assert.equal(WebSocket.all.length, 2);
  client.wake();
  assert.equal(WebSocket.all.length, 2);
});

test("in a hidden tab nothing is stale; once it is visible the client checks again", () => {
  let hidden = true;
  const { clock, client } = startLive({ isHidden: () => hidden });
  clock.advance(60_000);
  assert.equal(client.state, "live");
  hidden = false;
  clock.advance(2000);
  assert.equal(client.state, "reconnecting");
});

test("after the machine slept there is time to read what was sent meanwhile", () => {
  const { clock, client, WebSocket } = startLive();
  clock.sleep(3_600_000);
  assert.equal(client.state, "live");
  WebSocket.latest.receives(PING);
  clock.advance(5000);
  assert.equal(client.state, "live");
});

test("after the machine slept a dead connection is found within two seconds", () => {
  const { clock, client } = startLive();
  clock.sleep(3_600_000);
  clock.advance(2000);
  assert.equal(client.state, "reconnecting");
});

test("close() leaves no timer; open() resumes", () => {
  const { clock, client, WebSocket } = startLive();
  client.close();
  assert.equal(client.state, "stopped");
  assert.equal(clock.pending, 0);
  assert.equal(WebSocket.latest.readyState, 3);
  client.open();
  client.open();
  assert.equal(WebSocket.all.length, 2);
  WebSocket.latest.receives(WELCOME);
  assert.equal(WebSocket.latest.sent[0].last_event_id, "k3f9-7");
});

test("unknown frames are counted, and nothing is thrown", () => {
  const { reported, client, WebSocket } = startLive();
  const socket = WebSocket.latest;
  for (const frame of ["{", "17", "null", "[]", new ArrayBuffer(2)]) socket.onmessage({ data: frame });
  socket.receives({ identifier: "another", message: 1 });
  socket.receives({ type: "constructor" });
  socket.receives({});
  assert.deepEqual(reported.ignored, [...Array(5).fill("bad_json"), "unknown_identifier", "unknown_type", "unknown_type"]);
  assert.deepEqual(reported.updates, []);
  assert.equal(client.state, "live");
});

test("history answers of the extended protocol are not counted as unknown", () => {
  const { reported, WebSocket } = startLive();
  WebSocket.latest.receives({ type: "confirm_history", identifier: IDENTIFIER });
  WebSocket.latest.receives({ type: "reject_history", identifier: IDENTIFIER });
  assert.deepEqual(reported.ignored, []);
});

test("an address that the browser refuses stops the client with the browser's message", () => {
  const WebSocket = class {
    constructor() {
      throw new SyntaxError("bad address");
    }
  };
  const { clock, reported } = start({ WebSocket });
  assert.deepEqual(reported.last(), ["stopped", { reason: "SyntaxError: bad address" }]);
  assert.equal(clock.pending, 0);
});
