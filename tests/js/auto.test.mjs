import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../../web/client/auto.js";
import { createClock, diary, fakeConnectors } from "./clients.mjs";

function start(options = {}) {
  const { clock, platform } = createClock();
  const { handlers, read } = diary();
  const connectors = fakeConnectors();
  const client = connect({ url: "https://host/", position: "e-4", platform, ...handlers, ...options }, connectors);
  const first = connectors.latest;
  first.is("connecting");
  return { clock, client, connectors, first, read };
}

function startLive(options) {
  const parts = start(options);
  parts.first.comes("recovered");
  parts.first.update(5);
  parts.read();
  return parts;
}

const fail = (client, reason = "refused") => {
  client.is("connecting");
  client.is("waiting", { reason, retryIn: 1000 });
};

test("each transport has its path below the url, or a server of its own", () => {
  const address = (options) => start(options).first.options.url;
  assert.equal(address({}), "https://host/cable");
  assert.equal(address({ prefer: "sse" }), "https://host/dashboard/stream");
  assert.equal(address({ url: new URL("https://host/deep/"), cablePath: "/ws?x=1" }), "https://host/deep/ws?x=1");
  assert.equal(address({ url: undefined }), "/cable");
  assert.equal(address({ transport: "sse", ssePath: "//other:3001/stream" }), "//other:3001/stream");
  assert.equal(address({ transport: "cable", cablePath: "wss://other/cable" }), "wss://other/cable");
});

test("a function is asked for the url for each attempt", async () => {
  const hosts = ["https://a/", "https://b"];
  const { first } = start({ url: async () => hosts.shift() });
  assert.deepEqual([await first.options.url(), await first.options.url()], ["https://a/cable", "https://b/cable"]);
});

test("what the preferred transport tells is passed on, and no other is opened", () => {
  const { client, connectors, first, read, clock } = start();
  assert.deepEqual(read(), ["connecting cable"]);
  assert.equal(first.options.position, "e-4");
  first.comes("recovered");
  first.update(5);
  first.options.onIgnored("bad_json");
  assert.deepEqual(read(), ["live cable", "recovered e-4", "e-5", "ignored bad_json"]);
  clock.advance(60_000);
  assert.deepEqual(connectors.open, ["cable"]);
  assert.deepEqual([client.state, client.transport, client.position], ["live", "cable", "e-5"]);
});

// --- falling back

test("an attempt that fails lets the other transport try, from the same position", () => {
  const { client, connectors, first, read } = start();
  first.is("waiting", { reason: "refused", retryIn: 1000 });
  assert.deepEqual(connectors.open, ["cable", "sse"]);
  const sse = connectors.latest;
  assert.equal(sse.options.position, "e-4");
  sse.is("connecting");
  sse.comes("recovered");
  sse.update(5);
  assert.deepEqual(connectors.open, ["sse"]);
  assert.deepEqual(read(), ["connecting cable", "waiting cable refused", "live sse fallback", "recovered e-4", "e-5"]);
  assert.equal(client.transport, "sse");
});

test("a transport that is not live in time gets company, and whichever is live first stays", () => {
  const { clock, connectors, first } = start();
  clock.advance(4999);
  assert.deepEqual(connectors.open, ["cable"]);
  clock.advance(1);
  assert.deepEqual(connectors.open, ["cable", "sse"]);
  first.comes("recovered");
  assert.deepEqual(connectors.open, ["cable"]);
  assert.equal(clock.pending, 0);
});

test("the other transport gets one attempt per attempt of the first, so that the backoff of the first holds for both", () => {
  const { clock, connectors, first, read } = start();
  first.is("waiting", { reason: "refused", retryIn: 1000 });
  fail(connectors.latest);
  assert.deepEqual(connectors.open, ["cable"]);
  clock.advance(600_000);
  assert.equal(connectors.all.length, 2);
  fail(first);
  assert.equal(connectors.all.length, 3);
  clock.advance(5000); // this one hangs
  assert.ok(!read().some((line) => line.includes("switch_failed")));
  assert.deepEqual(connectors.open, ["cable"]);
  assert.equal(clock.pending, 0);
});

test("a transport that was live is given one more attempt alone", () => {
  const { connectors, first } = startLive();
  first.is("waiting", { reason: "closed", retryIn: 1000 });
  assert.deepEqual(connectors.open, ["cable"]);
  fail(first);
  assert.deepEqual(connectors.open, ["cable", "sse"]);
});

test("it comes back from the fallback in the same way", () => {
  const { connectors, first, client } = start();
  first.is("waiting", { reason: "refused", retryIn: 1000 });
  const sse = connectors.latest;
  sse.comes("recovered");
  fail(sse);
  connectors.latest.comes("recovered");
  assert.deepEqual(connectors.open, ["cable"]);
  assert.equal(client.transport, "cable");
});

test("what the server or the page says of itself is no reason to try the other transport", () => {
  const { connectors, first } = start();
  for (const reason of ["offline", "hidden", "full", "server_restart", "no_ticket"]) fail(first, reason);
  assert.equal(connectors.all.length, 1);
});

test("a transport that is closed for good is left for the other, and not tried again", () => {
  const { client, connectors, first, read } = start();
  first.is("closed", { reason: "rejected", final: true });
  const sse = connectors.latest;
  assert.deepEqual(connectors.open, ["sse"]);
  fail(sse);
  assert.equal(connectors.all.length, 2);
  sse.is("closed", { reason: "unauthorized", final: true });
  assert.equal(client.state, "closed");
  assert.equal(read().at(-1), "closed sse unauthorized");
});

test("one transport alone never falls back", () => {
  const { clock, connectors, first, client } = start({ transport: "sse" });
  clock.advance(60_000);
  fail(first);
  assert.deepEqual(connectors.open, ["sse"]);
  first.is("closed", { reason: "rejected", final: true });
  assert.equal(client.state, "closed");
});

// --- switching in mid-stream

test("a switch loses nothing and doubles nothing, whatever both deliver meanwhile", () => {
  const { client, connectors, first, read } = startLive();
  client.switchTo("sse");
  const sse = connectors.latest;
  assert.equal(sse.options.position, "e-5");
  first.update(6);
  sse.is("connecting");
  first.update(7);
  sse.comes("recovered");
  assert.deepEqual(connectors.open, ["sse"]);
  first.options.onUpdate({}, { position: "e-8" }); // what a closed connection still had in its queue
  for (const id of [6, 7, 8]) sse.update(id);
  assert.deepEqual(read(), ["e-6", "e-7", "live sse switched", "recovered e-5", "e-8"]);
  assert.deepEqual([client.transport, client.position, client.stats.duplicates], ["sse", "e-8", 2]);
});

for (const [name, fails] of Object.entries({
  "is refused": (sse) => fail(sse),
  "is closed for good": (sse) => sse.is("closed", { reason: "rejected" }),
  "is not live in time": (_, clock) => clock.advance(5000),
  "would make a gap": (sse) => sse.comes("gap", "e-90"),
})) {
  test(`when the new transport ${name} the old one goes on`, () => {
    const { client, clock, connectors, first, read } = startLive({ transport: "cable" });
    client.switchTo("sse");
    fails(connectors.latest, clock);
    assert.deepEqual(connectors.open, ["cable"]);
    first.update(6);
    assert.deepEqual(read(), ["live cable switch_failed", "e-6"]);
    assert.equal(clock.pending, 0);
    client.switchTo("sse"); // and may be asked again
    assert.deepEqual(connectors.open, ["cable", "sse"]);
  });
}

test("a switch that is asked for twice is one; back to where one is takes it back", () => {
  const { client, clock, connectors, read } = startLive();
  client.switchTo("sse");
  client.switchTo("sse");
  assert.deepEqual(connectors.open, ["cable", "sse"]);
  client.switchTo("cable");
  assert.deepEqual(connectors.open, ["cable"]);
  assert.deepEqual(read(), ["live cable switch_failed"]);
  assert.equal(clock.pending, 0);
});

test("while waiting a switch is done at once, with the cursor", () => {
  const { client, connectors, first, read } = startLive({ transport: "cable" });
  first.is("waiting", { reason: "closed", retryIn: 30_000 });
  client.switchTo("sse");
  assert.deepEqual(connectors.open, ["sse"]);
  assert.equal(connectors.latest.options.position, "e-5");
  connectors.latest.comes("recovered");
  assert.deepEqual(read(), ["waiting cable closed", "connecting sse switched", "live sse", "recovered e-5"]);
});

test("the old transport may fail while the new one is on its way", () => {
  const { client, connectors, first } = startLive();
  client.switchTo("sse");
  fail(first);
  connectors.latest.comes("gap", "e-90");
  assert.deepEqual(connectors.open, ["sse"]);
  assert.deepEqual([client.state, client.position], ["live", "e-90"]);
});

test("a switch keeps its time limit whatever becomes of the old transport", () => {
  const { client, clock, connectors, first } = startLive();
  client.switchTo("sse");
  clock.advance(4000);
  first.is("connecting");
  clock.advance(1000);
  assert.deepEqual(connectors.open, ["cable"]);
});

test("the old transport may be closed for good while the new one is on its way", () => {
  const { client, connectors, first } = startLive();
  client.switchTo("sse");
  first.is("closed", { reason: "rejected" });
  assert.deepEqual(connectors.open, ["sse"]);
  assert.deepEqual([client.state, client.transport], ["connecting", "sse"]);
});

test("a transport that does not exist is refused with a sentence", () => {
  const { client } = startLive();
  assert.throws(() => client.switchTo("toString"), /There is no transport toString: switch to "sse" or "cable"/);
});

// --- what else a client does

test("after a gap the cursor is where the server starts anew, also in another epoch", () => {
  const { client, first } = startLive();
  first.comes("gap", "f-1");
  assert.equal(client.position, "f-1");
  first.comes("gap", "e-2");
  first.update(3);
  assert.equal(client.position, "e-3");
});

test("updates without positions are given out, each", () => {
  const { first, read } = startLive();
  first.unnumbered("a");
  first.unnumbered("b");
  assert.deepEqual(read(), ["e-5", "e-5"]);
  first.comes("gap", "e-9");
  first.unnumbered("c");
  assert.equal(read().at(-1), "e-9");
});

test("the figures are those of all its clients", () => {
  const { client, connectors, first } = startLive();
  first.stats.reconnects = 2;
  client.switchTo("sse");
  connectors.latest.comes("recovered");
  connectors.latest.update(6);
  connectors.latest.stats.ignored = 1;
  assert.deepEqual(client.stats, { updates: 2, duplicates: 0, ignored: 1, reconnects: 3, bytes: 20 });
});

test("reconnect() is passed on, and takes back a switch", () => {
  const { client, connectors, first } = startLive();
  client.switchTo("sse");
  client.reconnect();
  assert.equal(first.reconnected, 1);
  assert.deepEqual(connectors.open, ["cable"]);
});

test("close() leaves no client and no timer, is told once, and is for good", () => {
  const { client, clock, connectors, read } = startLive();
  client.switchTo("sse");
  client.close();
  client.close();
  client.switchTo("sse");
  assert.deepEqual([connectors.open, clock.pending, client.state], [[], 0, "closed"]);
  assert.deepEqual(read(), ["closed cable closed"]);
});

test("the app may close it, or switch, from within a callback", () => {
  for (const act of [(client) => client.close(), (client) => client.switchTo("sse")]) {
    const { client, clock, connectors, first } = start({ onState: (state) => state === "waiting" && act(client) });
    fail(first);
    assert.deepEqual(connectors.open, client.state === "closed" ? [] : ["sse"]);
    client.close();
    assert.deepEqual([connectors.open, clock.pending], [[], 0]);
  }
});

test("a callback that throws breaks nothing", (t) => {
  const reported = t.mock.method(console, "error", () => {});
  const broken = () => {
    throw new Error("of the app");
  };
  const { client, connectors } = startLive({ onState: broken, onVerdict: broken, onUpdate: broken });
  client.switchTo("sse");
  connectors.latest.comes("recovered");
  connectors.latest.update(6);
  assert.deepEqual([connectors.open, client.position, client.transport], [["sse"], "e-6", "sse"]);
  assert.equal(reported.mock.callCount(), 7);
});
