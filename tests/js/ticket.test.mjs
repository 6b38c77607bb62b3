import assert from "node:assert/strict";
import { test } from "node:test";

import { createCable } from "../../web/client/cable.js";
import { createSse } from "../../web/client/sse.js";
import { dialWithTicket, ticketsFrom } from "../../web/client/ticket.js";
import { FakeClock, fakeEventSource, fakeWebSocket, recorder, surroundings } from "./fakes.mjs";

/** What was promised has been done. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A ticket function that counts. */
function tickets() {
  let number = 0;
  return () => Promise.resolve(`t${(number += 1)}`);
}

async function sse(ticket) {
  const clock = new FakeClock();
  const reported = recorder();
  const EventSource = fakeEventSource();
  const client = createSse({
    url: "http://host/dashboard/stream", stream: "s", ticket, EventSource, ...surroundings(clock), ...reported.handlers,
  });
  client.open();
  await settle();
  return { clock, reported, client, Kind: EventSource };
}

async function cable(ticket) {
  const clock = new FakeClock();
  const reported = recorder();
  const WebSocket = fakeWebSocket();
  const client = createCable({
    url: "ws://host/cable", identifier: "{}", ticket, WebSocket, ...surroundings(clock), ...reported.handlers,
  });
  client.open();
  await settle();
  return { clock, reported, client, Kind: WebSocket };
}

const sent = ({ Kind }) => Kind.all.map(({ url }) => new URL(url).searchParams.get("ticket"));
const CLIENTS = { sse, cable };

for (const [name, start] of Object.entries(CLIENTS)) {
  test(`${name}: without a ticket the address has none`, async () => {
    assert.deepEqual(sent(await start(undefined)), [null]);
  });

  test(`${name}: a string is sent as it is`, async () => {
    assert.deepEqual(sent(await start("a.b-c_d")), ["a.b-c_d"]);
  });

  test(`${name}: a function that fails is asked again, after a delay`, async () => {
    const answers = [Promise.reject(new Error("offline")), "t2"];
    const parts = await start(() => answers.shift());
    const [state, { reason, retryIn }] = parts.reported.last();
    assert.deepEqual([state, reason], ["reconnecting", "No ticket: offline"]);
    parts.clock.advance(retryIn);
    await settle();
    assert.deepEqual(sent(parts), ["t2"]);
  });

  test(`${name}: a refusal that lasts stops it`, async () => {
    const parts = await start(() => Promise.reject(Object.assign(new Error("not allowed"), { reconnect: false })));
    assert.deepEqual(parts.reported.last(), ["stopped", { reason: "No ticket: not allowed" }]);
    assert.equal(parts.clock.pending, 0);
  });

  test(`${name}: a ticket that comes after close() opens nothing`, async () => {
    let give;
    const parts = await start(() => new Promise((resolve) => (give = resolve)));
    parts.client.close();
    give("late");
    await settle();
    assert.deepEqual(sent(parts), []);
  });

  test(`${name}: a function that never answers is given up as silent, and asked again`, async () => {
    const answers = [new Promise(() => {}), "t2"];
    const parts = await start(() => answers.shift());
    for (let second = 0; second < 60 && parts.Kind.all.length === 0; second += 1) {
      parts.clock.advance(1000);
      await settle();
    }
    assert.deepEqual(sent(parts), ["t2"]);
  });
}

test("sse: after a loss the browser is not left to come back with a used ticket", async () => {
  const parts = await sse(tickets());
  parts.Kind.latest.receives("verdict", { verdict: "fresh", position: "k3f9-7" }, "k3f9-7");
  parts.Kind.latest.fails(0);
  assert.equal(parts.Kind.latest.readyState, 2);
  parts.clock.advance(1000);
  await settle();
  assert.deepEqual(sent(parts), ["t1", "t2"]);
  assert.equal(parts.Kind.latest.url.searchParams.get("last_event_id"), "k3f9-7");
});

test("sse: when its ticket ends it comes back with another, when the server says", async () => {
  const parts = await sse(tickets());
  parts.Kind.latest.receives("goodbye", { reason: "token_expired", retry_ms: 2310 });
  parts.Kind.latest.fails(0);
  assert.deepEqual(parts.reported.last(), ["reconnecting", { reason: "token_expired", retryIn: 2310 }]);
  parts.clock.advance(2310);
  await settle();
  assert.deepEqual(sent(parts), ["t1", "t2"]);
});

test("cable: when its ticket ends it comes back with another; one that is refused stops it", async () => {
  const parts = await cable(tickets());
  parts.Kind.latest.receives({ type: "disconnect", reason: "token_expired", reconnect: false });
  parts.clock.advance(1000);
  await settle();
  assert.deepEqual(sent(parts), ["t1", "t2"]);
  parts.Kind.latest.receives({ type: "disconnect", reason: "unauthorized", reconnect: false });
  assert.deepEqual(parts.reported.last(), ["stopped", { reason: "unauthorized" }]);
});

test("an address that the browser refuses stops it", async () => {
  const losses = [];
  dialWithTicket("http://host/", () => "t", { lost: (loss) => losses.push(loss) }, () => {
    throw new SyntaxError("no");
  });
  await settle();
  assert.deepEqual(losses, [{ reason: "SyntaxError: no", reconnect: false }]);
});

function answering(status, body) {
  const asked = [];
  const fetch = async (url, request) => {
    asked.push([url, request]);
    return { ok: status < 300, status, json: async () => body };
  };
  return { asked, fetch };
}

test("tickets are fetched with the long-lived one in a header, never in an address", async () => {
  const { asked, fetch } = answering(201, { ticket: "t" });
  assert.equal(await ticketsFrom("http://host/tickets", { streams: ["s"], token: "long", fetch })(), "t");
  const [url, { method, headers, body }] = asked[0];
  assert.deepEqual([url, method, headers.authorization], ["http://host/tickets", "POST", "Bearer long"]);
  assert.deepEqual(JSON.parse(body), { streams: ["s"], once: true });
  const { asked: bare, fetch: open } = answering(201, { ticket: "t" });
  await ticketsFrom("http://host/tickets", { fetch: open })();
  assert.equal("authorization" in bare[0][1].headers, false);
});

test("a refused fetch says why, and whether another attempt may help", async () => {
  for (const [status, reconnect] of [[401, false], [403, false], [404, false], [429, true], [503, true]]) {
    const { fetch } = answering(status, { detail: "what to do" });
    await assert.rejects(ticketsFrom("http://host/tickets", { fetch }), { message: "what to do", reconnect });
  }
});
