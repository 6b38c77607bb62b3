/**
 * FetchEventSource against real HTTP servers of Node: what WHATWG HTML §9.2 asks of an EventSource. The cases are those of
 * web-platform-tests `eventsource/` (request-*, eventsource-*, format-mime-*) and of LaunchDarkly's sse-contract-tests.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, test } from "node:test";

import { connectSse, FetchEventSource } from "../../web/client/index.js";
import { EVENT_STREAMS } from "./event-streams.mjs";

const EVENTS = { "content-type": "text/event-stream" };
const servers = [];
const sources = [];

after(() => {
  for (const source of sources) source.close();
  for (const server of servers) server.closeAllConnections(), server.close();
});

/** A server that answers the n-th request with `answers[n]`, the last one for all that follow. */
async function serve(...answers) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answers[Math.min(requests.length, answers.length) - 1](response, request);
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { requests, url: `http://127.0.0.1:${server.address().port}/stream` };
}

/** An answer that stays open behind `text`, unless `ends`. */
const streaming = (text, { status = 200, headers = EVENTS, ends = false } = {}) => (response) => {
  response.writeHead(status, headers);
  response.flushHeaders();
  if (text) response.write(text);
  if (ends) response.end();
};

function open(url, options) {
  const source = new FetchEventSource(url, options);
  sources.push(source);
  return source;
}

const next = (source, type) => once(source, type).then(([event]) => event);

/** The next `count` events of these types, in order. */
function collect(source, count, types = ["message"]) {
  const events = [];
  return new Promise((resolve) => {
    for (const type of types) {
      source.addEventListener(type, (event) => events.push(event) === count && resolve(events));
    }
  });
}

// --- the request

test("request-accept, request-cache-control: what it asks for", async () => {
  const { url, requests } = await serve(streaming("data:x\n\n"));
  await next(open(url), "message");
  const { method, headers } = requests[0];
  assert.equal(method, "GET");
  assert.equal(headers.accept, "text/event-stream");
  assert.equal(headers["cache-control"], "no-cache");
  assert.equal("last-event-id" in headers, false);
});

test("headers of one's own are sent", async () => {
  const { url, requests } = await serve(streaming("data:x\n\n"));
  await next(open(url, { headers: { authorization: "Bearer t" } }), "message");
  assert.equal(requests[0].headers.authorization, "Bearer t");
  assert.equal(requests[0].headers.accept, "text/event-stream");
});

test("eventsource-constructor-url-bogus: an address that is none throws a SyntaxError", () => {
  assert.throws(() => new FetchEventSource("http://this is invalid/"), { name: "SyntaxError" });
});

test("eventsource-prototype: constants, url, withCredentials", async () => {
  const { url } = await serve(streaming(""));
  const source = open(url, { withCredentials: true });
  assert.deepEqual([FetchEventSource.CONNECTING, FetchEventSource.OPEN, FetchEventSource.CLOSED], [0, 1, 2]);
  assert.deepEqual([source.CONNECTING, source.OPEN, source.CLOSED], [0, 1, 2]);
  assert.deepEqual([source.url, source.withCredentials, source.readyState], [url, true, 0]);
  await next(source, "open");
  assert.equal(source.readyState, 1);
});

// --- the answer

for (const type of ["text/event-stream", "text/event-stream;", "text/event-stream;charset=windows-1251", "Text/Event-Stream ; x=y"]) {
  test(`format-mime: ${type} is an event stream, in UTF-8`, async () => {
    const { url } = await serve(streaming("data:ok\u2026\n\n", { headers: { "content-type": type } }));
    assert.equal((await next(open(url), "message")).data, "ok\u2026");
  });
}

for (const type of ["text/x-bogus", "x bogus", "text/event-streamx", "text/html", undefined]) {
  test(`format-mime-bogus: ${type} is none, and ends it`, async () => {
    const { url, requests } = await serve(streaming("data:x\n\n", { headers: type ? { "content-type": type } : {} }));
    const source = open(url, { setTimeout: () => assert.fail("it must not come back") });
    const { status, message } = await next(source, "error");
    assert.deepEqual([status, source.readyState, requests.length], [200, 2, 1]);
    assert.match(message, /^The server answered with /);
  });
}

for (const status of [204, 205, 210, 299, 404, 410, 500, 502, 503, 599]) {
  test(`request-status-error: ${status} ends it, and the status is told`, async () => {
    const { url } = await serve(streaming(undefined, { status, ends: true }));
    const source = open(url, { setTimeout: () => assert.fail("it must not come back") });
    const event = await next(source, "error");
    assert.deepEqual([event.status, source.readyState], [status, 2]);
  });
}

for (const status of [301, 302, 303, 307, 308]) {
  test(`request-redirect: ${status} is followed; the events are those of where it led`, async () => {
    const target = await serve(streaming("data:x\n\n"));
    const { url } = await serve(streaming("", { status, headers: { location: target.url }, ends: true }));
    const event = await next(open(url), "message");
    assert.equal(event.origin, new URL(target.url).origin);
    assert.equal(target.requests[0].headers.accept, "text/event-stream");
  });
}

// --- events

test("every stream of the parser's suite, over HTTP", async () => {
  for (const { name, stream, events } of EVENT_STREAMS.filter((each) => each.events.length > 0)) {
    const { url } = await serve(streaming(stream));
    const types = [...new Set(events.map(({ type }) => type))];
    const received = await collect(open(url), events.length, types);
    assert.deepEqual(received.map(({ type, data, lastEventId }) => ({ type, data, lastEventId })), events, name);
    assert.equal(received[0].origin, new URL(url).origin);
  }
});

test("payloads of sizes about those of buffers come whole, and at once", async () => {
  const sizes = [1, 128, 1023, 1024, 1025, 4094, 4096, 4098, 8189, 8192, 8195, 16_384, 65_536, 262_144, 1_048_576];
  const { url } = await serve(...sizes.map((size) => streaming(`data: ${"x".repeat(size)}\n\n`)));
  for (const size of sizes) assert.equal((await next(open(url), "message")).data.length, size);
});

test("many messages in rapid succession come in order", async () => {
  const numbers = Array.from({ length: 1000 }, (_, number) => String(number));
  const { url } = await serve(streaming(numbers.map((number) => `data: ${number}\n\n`).join("")));
  assert.deepEqual((await collect(open(url), 1000)).map(({ data }) => data), numbers);
});

test("eventsource-onmessage, eventsource-onopen: handlers get what listeners get, and only theirs", async () => {
  const { url } = await serve(streaming("event:other\ndata:1\n\ndata:2\n\n"));
  const source = open(url);
  const handled = [];
  source.onopen = ({ type }) => handled.push(type);
  source.onmessage = ({ data }) => handled.push(data);
  await next(source, "message");
  assert.deepEqual(handled, ["open", "2"]);
});

test("a handler that throws does not end the stream", async (t) => {
  const report = t.mock.method(console, "error", () => {});
  const { url } = await serve(streaming("data:1\n\ndata:2\n\n"));
  const source = open(url);
  source.onmessage = () => {
    throw new Error("the app's");
  };
  await collect(source, 2);
  assert.equal(source.readyState, 1);
  assert.equal(report.mock.callCount(), 2);
});

// --- the end, and coming back

test("eventsource-reconnect, format-field-retry: it comes back after `retry` ms, with its id in a header", async () => {
  const { url, requests } = await serve(streaming("retry:2\nid:\u2026 7\ndata:1\n\nid:8", { ends: true }), streaming("data:2\n\n"));
  const source = open(url);
  const states = [];
  source.onerror = () => states.push(source.readyState);
  const [first, second] = await collect(source, 2);
  assert.deepEqual([first.data, second.data, second.lastEventId], ["1", "2", "\u2026 7"]);
  assert.equal(Buffer.from(requests[1].headers["last-event-id"], "latin1").toString(), "\u2026 7");
  assert.deepEqual(states, [0]);
  assert.equal(source.retry, 2);
});

test("an id may be taken back", async () => {
  const { url, requests } = await serve(streaming("retry:1\nid:7\ndata:1\n\nid\n\n", { ends: true }), streaming("data:2\n\n"));
  await collect(open(url), 2);
  assert.equal("last-event-id" in requests[1].headers, false);
});

test("without `retry` it waits three seconds; a number beyond all timers is cut", async () => {
  for (const [text, expected] of [["data:1\n\n", 3000], ["retry:99999999999999\ndata:1\n\n", 2 ** 31 - 1]]) {
    const { url } = await serve(streaming(text, { ends: true }));
    const delay = await new Promise((resolve) => open(url, { setTimeout: (act, ms) => resolve(ms) }));
    assert.equal(delay, expected);
  }
});

test("a connection that is cut, and a server that is away, are come back to", async () => {
  const { url, requests } = await serve((response) => {
    streaming("retry:1\ndata:1\n\n")(response);
    setImmediate(() => response.destroy());
  }, streaming("data:2\n\n"));
  const events = await collect(open(url), 2);
  assert.deepEqual(events.map(({ data }) => data), ["1", "2"]);
  assert.equal(requests.length, 2);

  const failing = { fetch: () => Promise.reject(new TypeError("fetch failed")) };
  const source = open(url, { ...failing, setTimeout: () => {} });
  const { status, message } = await next(source, "error");
  assert.deepEqual([status, message, source.readyState], [undefined, "fetch failed", 0]);
});

test("eventsource-close: nothing comes behind close(), also in the middle of a chunk, and the server sees the end", async () => {
  const { url, requests } = await serve(streaming("data:1\n\ndata:2\n\n"));
  const source = open(url);
  const seen = [];
  source.addEventListener("error", () => seen.push("error"));
  source.addEventListener("message", ({ data }) => {
    seen.push(data);
    source.close();
  });
  await next(source, "message");
  assert.equal(source.readyState, 2);
  await once(requests[0].socket, "close");
  assert.deepEqual(seen, ["1"]);
});

test("close() while it waits leaves no timer; close() in an error event prevents the next attempt", async () => {
  const { url } = await serve(streaming("data:1\n\n", { ends: true }));
  const timers = new Set();
  const waiting = { setTimeout: (act) => (timers.add(act), act), clearTimeout: (act) => timers.delete(act) };
  const source = open(url, waiting);
  await next(source, "error");
  await new Promise(setImmediate);
  assert.equal(timers.size, 1);
  source.close();
  assert.equal(timers.size, 0);

  const closing = open(url, waiting);
  closing.onerror = () => closing.close();
  await next(closing, "error");
  await new Promise(setImmediate);
  assert.equal(timers.size, 0);
});

test("a refusal whose body never ends holds no connection", async () => {
  const { url, requests } = await serve(streaming("please wait", { status: 503 }));
  await next(open(url), "error");
  await once(requests[0].socket, "close");
});

// --- as the EventSource of a client

test("connectSse takes it: retry lines and statuses are known then", async () => {
  const told = [];
  const verdict = 'retry:7\n\nevent:verdict\nid:e-1\ndata:{"verdict":"fresh","position":"e-1"}\n\n';
  const { url } = await serve(streaming(`${verdict}id:e-2\ndata:{"n":1}\n\n`, { ends: true }), streaming("", { status: 403, ends: true }));
  await new Promise((resolve) => {
    connectSse({
      url,
      platform: { EventSource: FetchEventSource },
      onUpdate: (data, { position }) => told.push([data, position]),
      onState(state, { reason, retryIn, status }) {
        told.push([state, reason, retryIn, status]);
        if (state === "closed") resolve();
      },
    });
  });
  assert.deepEqual(told, [
    ["connecting", undefined, undefined, undefined],
    ["live", undefined, undefined, undefined],
    [{ n: 1 }, "e-2"],
    ["waiting", "lost", 100, 200], // the shortest delay that a server may ask for
    ["connecting", undefined, undefined, undefined],
    ["closed", "unauthorized", undefined, 403],
  ]);
});
