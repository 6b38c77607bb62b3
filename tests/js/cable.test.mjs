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
  const heard = recorder();
  const WebSocket = fakeWebSocket();
  const client = createCable({
    url: "ws://host/cable", identifier: IDENTIFIER, WebSocket, ...surroundings(clock), ...heard.handlers, ...options,
  });
  client.open();
  return { clock, heard, client, WebSocket };
}

function startLive(options) {
  const parts = start(options);
  parts.WebSocket.latest.says(WELCOME);
  parts.WebSocket.latest.says(confirmation("fresh", "k3f9-7"));
  return parts;
}

test("it offers both protocols, the extended one first", () => {
  const { WebSocket } = start();
  assert.deepEqual(WebSocket.latest.protocols, PROTOCOLS);
  assert.deepEqual(PROTOCOLS, ["actioncable-v1-ext-json", "actioncable-v1-json"]);
});

test("it subscribes after the welcome, and is live once that is confirmed", () => {
  const { heard, client, WebSocket } = start();
  assert.deepEqual(WebSocket.latest.sent, []);
  WebSocket.latest.says(WELCOME);
  assert.deepEqual(WebSocket.latest.sent, [{ command: "subscribe", identifier: IDENTIFIER }]);
  assert.equal(client.state, "connecting");
  WebSocket.latest.says(confirmation("fresh", "k3f9-7"));
  assert.equal(client.state, "live");
  assert.deepEqual(heard.verdicts, [{ verdict: "fresh", position: "k3f9-7" }]);
  assert.equal(client.position, "k3f9-7");
});

test("a page's position goes along with the first subscribe", () => {
  const { WebSocket } = start({ position: "k3f9-5" });
  WebSocket.latest.says(WELCOME);
  assert.equal(WebSocket.latest.sent[0].last_event_id, "k3f9-5");
});

test("updates move the position; an answer without the triple does not", () => {
  const { heard, client, WebSocket } = startLive();
  WebSocket.latest.says(data({ a: 1 }, 8));
  WebSocket.latest.says({ identifier: IDENTIFIER, message: { a: 2 } });
  assert.deepEqual(heard.updates, [[{ a: 1 }, "k3f9-8"], [{ a: 2 }, "k3f9-8"]]);
  assert.equal(client.position, "k3f9-8");
});

test("any JSON may be an update: a string stays a string, null stays null", () => {
  const { heard, WebSocket } = startLive();
  WebSocket.latest.says(data('{"a":1}', 8));
  WebSocket.latest.says(data(null, 9));
  assert.deepEqual(heard.updates, [['{"a":1}', "k3f9-8"], [null, "k3f9-9"]]);
});

test("a recovered client's position waits for the replay: cut off before it, nothing is skipped", () => {
  const { client, WebSocket } = start({ position: "k3f9-5" });
  WebSocket.latest.says(WELCOME);
  WebSocket.latest.says(confirmation("recovered", "k3f9-9"));
  assert.equal(client.position, "k3f9-5");
  WebSocket.latest.says(data({}, 6));
  assert.equal(client.position, "k3f9-6");
});

test("after a gap the server's position counts", () => {
  const { client, WebSocket } = start({ position: "old-5" });
  WebSocket.latest.says(WELCOME);
  WebSocket.latest.says(confirmation("gap", "k3f9-9"));
  assert.equal(client.position, "k3f9-9");
});

test("an unconfirmed subscribe is sent again, and two confirmations are one", () => {
  const { clock, heard, WebSocket } = start();
  const socket = WebSocket.latest;
  socket.says(WELCOME);
  clock.advance(2000);
  socket.says(PING);
  clock.advance(1000);
  assert.equal(socket.sent.length, 2);
  assert.deepEqual(socket.sent[0], socket.sent[1]);
  socket.says(confirmation("fresh", "k3f9-7"));
  socket.says(data({}, 8));
  socket.says(confirmation("fresh", "k3f9-7"));
  assert.equal(heard.verdicts.length, 1);
  assert.equal(heard.updates.length, 1);
  clock.advance(5000);
  assert.equal(socket.sent.length, 2);
});

test("a second welcome does not subscribe twice", () => {
  const { WebSocket } = startLive();
  WebSocket.latest.says(WELCOME);
  assert.equal(WebSocket.latest.sent.length, 1);
});

test("a rejected subscription is the end of it", () => {
  const { clock, client, heard, WebSocket } = start();
  WebSocket.latest.says(WELCOME);
  WebSocket.latest.says({ identifier: IDENTIFIER, type: "reject_subscription" });
  assert.deepEqual(heard.last(), ["stopped", { reason: "subscription rejected" }]);
  clock.advance(120_000);
  assert.equal(client.state, "stopped");
  assert.equal(WebSocket.all.length, 1);
  assert.equal(clock.pending, 0);
});

test("pings keep a quiet connection up", () => {
  const { clock, client, WebSocket } = startLive();
  for (let ping = 0; ping < 20; ping += 1) {
    clock.advance(3000);
    WebSocket.latest.says(PING);
  }
  assert.equal(client.state, "live");
  assert.equal(WebSocket.all.length, 1);
});

test("six seconds of silence are a loss, and the position goes along with the next subscribe", () => {
  const { clock, heard, client, WebSocket } = startLive();
  WebSocket.latest.says(data({}, 12));
  clock.advance(5999);
  assert.equal(client.state, "live");
  clock.advance(1);
  assert.deepEqual(heard.last(), ["reconnecting", { reason: "silence", retryIn: 500 }]);
  assert.equal(WebSocket.all[0].readyState, 3);
  clock.advance(500);
  assert.equal(WebSocket.all.length, 2);
  WebSocket.latest.says(WELCOME);
  assert.equal(WebSocket.latest.sent[0].last_event_id, "k3f9-12");
  WebSocket.latest.says(confirmation("recovered", "k3f9-12"));
  assert.equal(client.state, "live");
});

test("a socket that never opens is given up after six seconds, too", () => {
  const { clock, client, WebSocket } = start();
  clock.advance(6500);
  assert.equal(client.state, "reconnecting");
  assert.equal(WebSocket.all.length, 2);
});

test("the last words of a hung-up socket touch nothing", () => {
  const { clock, heard, WebSocket } = startLive();
  const [first] = WebSocket.all;
  const { onmessage, onclose } = first;
  clock.advance(6500);
  onmessage({ data: JSON.stringify(data({ late: true }, 99)) });
  onclose({ code: 1006 });
  assert.equal(WebSocket.all.length, 2);
  assert.deepEqual(heard.last(), ["reconnecting", { reason: "silence", retryIn: 500 }]);
});

test("a server that says goodbye is asked again when it said", () => {
  const { clock, heard, WebSocket } = startLive();
  WebSocket.latest.says({ type: "disconnect", reason: "server_restart", reconnect: true, retry_in: 2310 });
  assert.deepEqual(heard.last(), ["reconnecting", { reason: "server_restart", retryIn: 2310 }]);
  WebSocket.all[0].ends(1001);
  clock.advance(2309);
  assert.equal(WebSocket.all.length, 1);
  clock.advance(1);
  assert.equal(WebSocket.all.length, 2);
});

test("a server that does not want us back is left alone", () => {
  const { clock, heard, WebSocket } = startLive();
  WebSocket.latest.says({ type: "disconnect", reason: "unauthorized", reconnect: false });
  assert.deepEqual(heard.last(), ["stopped", { reason: "unauthorized" }]);
  clock.advance(600_000);
  assert.equal(WebSocket.all.length, 1);
});

test("delays grow while nothing answers, and start over after ten healthy seconds", () => {
  const { clock, heard, WebSocket } = start({ random: () => 1 });
  const delays = [];
  for (let attempt = 0; attempt < 4; attempt += 1) {
    WebSocket.latest.ends();
    delays.push(heard.last()[1].retryIn);
    clock.advance(delays.at(-1));
  }
  assert.deepEqual(delays, [1000, 2000, 4000, 8000]);
  WebSocket.latest.says(WELCOME);
  WebSocket.latest.says(confirmation("fresh", "k3f9-7"));
  for (let second = 0; second < 10; second += 1) {
    clock.advance(1000);
    WebSocket.latest.says(PING);
  }
  WebSocket.latest.ends();
  assert.equal(heard.last()[1].retryIn, 1000);
});

test("a connection that drops at once does not reset the delays", () => {
  const { clock, heard, WebSocket } = start({ random: () => 1 });
  for (const expected of [1000, 2000, 4000]) {
    WebSocket.latest.says(WELCOME);
    WebSocket.latest.says(confirmation("fresh", "k3f9-7"));
    WebSocket.latest.ends();
    assert.equal(heard.last()[1].retryIn, expected);
    clock.advance(expected);
  }
});

test("waking up cuts a pending delay short", () => {
  const { client, WebSocket } = start();
  WebSocket.latest.ends();
  client.wake();
  assert.equal(WebSocket.all.length, 2);
  client.wake();
  assert.equal(WebSocket.all.length, 2);
});

test("a hidden tab calls nothing stale; once seen again it looks anew", () => {
  let hidden = true;
  const { clock, client } = startLive({ isHidden: () => hidden });
  clock.advance(60_000);
  assert.equal(client.state, "live");
  hidden = false;
  clock.advance(2000);
  assert.equal(client.state, "reconnecting");
});

test("after a sleep what was sent meanwhile gets a moment to be read", () => {
  const { clock, client, WebSocket } = startLive();
  clock.sleep(3_600_000);
  assert.equal(client.state, "live");
  WebSocket.latest.says(PING);
  clock.advance(5000);
  assert.equal(client.state, "live");
});

test("after a sleep on a dead connection two seconds are enough", () => {
  const { clock, client } = startLive();
  clock.sleep(3_600_000);
  clock.advance(2000);
  assert.equal(client.state, "reconnecting");
});

test("closed is closed: no timer is left; opened again it resumes", () => {
  const { clock, client, WebSocket } = startLive();
  client.close();
  assert.equal(client.state, "stopped");
  assert.equal(clock.pending, 0);
  assert.equal(WebSocket.latest.readyState, 3);
  client.open();
  client.open();
  assert.equal(WebSocket.all.length, 2);
  WebSocket.latest.says(WELCOME);
  assert.equal(WebSocket.latest.sent[0].last_event_id, "k3f9-7");
});

test("what is not understood is counted, never thrown", () => {
  const { heard, client, WebSocket } = startLive();
  const socket = WebSocket.latest;
  for (const frame of ["{", "17", "null", "[]", new ArrayBuffer(2)]) socket.onmessage({ data: frame });
  socket.says({ identifier: "another", message: 1 });
  socket.says({ type: "constructor" });
  socket.says({});
  assert.deepEqual(heard.ignored, [...Array(5).fill("bad_json"), "unknown_identifier", "unknown_type", "unknown_type"]);
  assert.deepEqual(heard.updates, []);
  assert.equal(client.state, "live");
});

test("frames of the extended protocol that need no answer are no surprise", () => {
  const { heard, WebSocket } = startLive();
  WebSocket.latest.says({ type: "confirm_history", identifier: IDENTIFIER });
  WebSocket.latest.says({ type: "reject_history", identifier: IDENTIFIER });
  assert.deepEqual(heard.ignored, []);
});

test("an address the browser refuses stops with its sentence", () => {
  const WebSocket = class {
    constructor() {
      throw new SyntaxError("bad address");
    }
  };
  const { clock, heard } = start({ WebSocket });
  assert.deepEqual(heard.last(), ["stopped", { reason: "SyntaxError: bad address" }]);
  assert.equal(clock.pending, 0);
});
