import assert from "node:assert/strict";
import { test } from "node:test";

import { createFeed, pickFeed } from "../../web/feed.js";
import { createSamples } from "../../web/samples.js";

const SERVER_AHEAD = 500; // ms

/** A feed with clients that do what the test says, and with clocks in its hand. */
function world(options = {}) {
  let now = 10_000;
  let ahead = SERVER_AHEAD;
  const clients = [];
  const changes = { states: 0, updates: 0 };
  const wallNow = () => 1_700_000_000_000 + now;
  const feed = createFeed({
    transport: "sse",
    title: "SSE",
    position: "k3f9-7",
    snapshot: { metrics: { cpu: 1 } },
    staleAfter: 6000,
    samples: createSamples({ seconds: 120 }),
    clocks: { now: () => now, wallNow, serverNow: () => wallNow() + ahead, error: () => 2 },
    onChange: () => (changes.updates += 1),
    onState: () => (changes.states += 1),
    open(told) {
      const client = {
        ...told,
        position: told.position,
        startedAt: told.position,
        stats: { updates: 0, reconnects: 0, bytes: 0, ignored: 0 },
        cuts: 0,
        reconnect: () => (client.cuts += 1),
        close: () => client.onState("closed", { reason: "closed" }),
        live(verdict = "recovered") {
          client.onState("live");
          client.onVerdict({ verdict });
        },
        update(data, position) {
          client.stats.updates += 1;
          client.position = position ?? client.position;
          client.onUpdate(data, {});
        },
      };
      clients.push(client);
      return client;
    },
    ...options,
  });
  return { feed, clients, changes, serverNow: () => wallNow() + ahead, setOffset: (ms) => (ahead = ms), pass: (ms) => (now += ms), percentiles: () => feed.samples.percentiles(now) };
}

function live(options) {
  const made = world(options);
  made.feed.connect();
  made.clients[0].live();
  return { ...made, client: made.clients[0] };
}

test("it starts with the snapshot, which is no received update", () => {
  const { feed } = world();
  assert.equal(feed.latest.figures.cpu, 1);
  assert.equal(feed.age, NaN);
  assert.equal(feed.state, "closed");
});

test("a snapshot that is not ours is no hindrance, and no fault of the transport", () => {
  const { feed } = world({ snapshot: JSON.parse('{"activities":[{"message":{"toString":1}}]}') });
  feed.connect();
  assert.equal(feed.notUnderstood, 0);
});

test("lags are taken with the server's clock; what was published before the connection has none", () => {
  const { client, percentiles, serverNow, pass, feed } = live();
  client.update({ published_at_ms: serverNow() - 5000 });
  assert.equal(percentiles().count, 0);
  assert.equal(feed.completeness.caughtUp, 1);
  pass(100);
  client.update({ published_at_ms: serverNow() - 20 });
  assert.equal(percentiles().count, 1);
  assert.ok(Math.abs(percentiles().p50 - 20) < 0.5);
});

test("that the offset of the clocks is found only later makes no update late", () => {
  for (const offset of [-3_600_000, 3_600_000]) {
    const { client, percentiles, serverNow, pass, setOffset } = live();
    setOffset(offset);
    pass(1000);
    client.update({ published_at_ms: serverNow() - 20 });
    assert.equal(percentiles().count, 1, offset);
  }
});

test("stamps that no clock of the publisher's can mean are not measured, and that is said", () => {
  const { client, percentiles, serverNow, pass, feed } = live();
  pass(1_000_000);
  for (const stamp of [serverNow() + 60_000, 1e308, serverNow() - 700_000]) {
    client.update({ published_at_ms: stamp });
    assert.equal(feed.clocksDiffer, true, stamp);
  }
  assert.equal(percentiles().count, 0);
  // Within the error of the two clocks a lag below zero is zero.
  client.update({ published_at_ms: serverNow() + 2 });
  assert.deepEqual([feed.clocksDiffer, percentiles().count, percentiles().p50], [false, 1, 0]);
});

test("updates that are not ours are counted, the feed goes on, and what it showed stays", () => {
  const { client, feed, changes } = live();
  for (const odd of [null, "text", 7, [], { metrics: [] }, JSON.parse('{"activities":[{"message":{"toString":1}}]}')]) client.update(odd);
  assert.equal(feed.notUnderstood, 6);
  assert.equal(feed.latest.figures.cpu, 1);
  client.update({ metrics: { cpu: 2 } });
  assert.equal(feed.latest.figures.cpu, 2);
  assert.equal(feed.state, "live");
  assert.equal(changes.updates, 8);
});

test("a part that an update does not have stays that of the one before", () => {
  const { client, feed } = live();
  client.update({ system_status: { status: "warning" } });
  client.update({ metrics: { cpu: 3 } });
  assert.equal(feed.latest.status.health, "warning");
  assert.equal(feed.latest.figures.cpu, 3);
});

test("disconnected and connected again it resumes with a new client, and its figures add up", () => {
  const { feed, clients, client } = live();
  client.update({ metrics: {} }, "k3f9-8");
  Object.assign(client.stats, { bytes: 40, reconnects: 2, ignored: 1 });
  feed.connect();
  assert.equal(clients.length, 1);
  feed.disconnect();
  assert.equal(feed.position, "k3f9-8");
  feed.connect();
  assert.equal(clients[1].startedAt, "k3f9-8");
  clients[1].live();
  clients[1].update({ metrics: {} }, "k3f9-9");
  Object.assign(clients[1].stats, { bytes: 2, reconnects: 1 });
  assert.deepEqual([feed.updates, feed.bytes, feed.reconnects, feed.notUnderstood], [2, 42, 3, 1]);
  assert.equal(feed.position, "k3f9-9");
});

test("while it takes a new client nothing is counted twice", () => {
  const seen = [];
  const { feed, clients } = world({
    open(told) {
      seen.push(feed.updates);
      clients.push({ ...told, position: "k3f9-8", stats: { updates: 3 } });
      return clients.at(-1);
    },
  });
  feed.connect();
  clients[0].onState("closed");
  feed.connect();
  assert.deepEqual([...seen, feed.updates], [0, 3, 6]);
});

test("an age is that of the last update, and goes on growing when the connection is away", () => {
  const { feed, client, pass } = live();
  client.update({ metrics: {} });
  pass(3000);
  client.onState("waiting", { reason: "lost", retryIn: 800 });
  pass(4000);
  assert.equal(feed.age, 7000);
  assert.equal(feed.stateAge, 4000);
  assert.equal(feed.detail.retryIn, 800);
});

test("silence that ends is no interruption; one that is not heard of again is", () => {
  const { feed, client, pass } = live();
  pass(60_000);
  client.onState("stale", {});
  assert.match(feed.completeness.summary, /^complete up to/);
  client.onState("live", {});
  assert.match(feed.completeness.summary, /^complete since/);
  client.onState("stale", {});
  client.onState("waiting", { reason: "silence", retryIn: 10 });
  pass(4000);
  client.onState("connecting", {});
  client.live("gap");
  assert.equal(feed.completeness.loss, "10 s missing"); // staleAfter and 4 s
});

test("silence that a sleeping machine did not see is one all the same", () => {
  const { feed, client, pass } = live();
  pass(60_000);
  client.onState("waiting", { reason: "silence", retryIn: 10 });
  pass(4000);
  client.live("gap");
  assert.equal(feed.completeness.loss, "10 s missing");
});

test("cutting is left to the client; without one it is nothing", () => {
  const { feed } = world();
  feed.cut();
  const { feed: connected, client } = live();
  connected.cut();
  assert.equal(client.cuts, 1);
});

test("the dashboard reads from a live feed, and keeps to it", () => {
  const [sse, cable] = [{ transport: "sse", isLive: false }, { transport: "cable", isLive: true }];
  const feeds = [sse, cable];
  assert.equal(pickFeed(feeds, "auto", null), cable);
  assert.equal(pickFeed(feeds, "auto", sse), cable);
  sse.isLive = true;
  assert.equal(pickFeed(feeds, "auto", cable), cable);
  assert.equal(pickFeed(feeds, "sse", cable), sse);
  sse.isLive = cable.isLive = false;
  assert.equal(pickFeed(feeds, "auto", cable), cable);
  assert.equal(pickFeed([sse], "cable", null), sse);
});
