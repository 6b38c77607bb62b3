import assert from "node:assert/strict";
import { test } from "node:test";

import { createFeed } from "../../web/feed.js";
import { createReader } from "../../web/reader.js";
import { createSamples } from "../../web/samples.js";
import { createRandom } from "./random.mjs";

/** Feeds whose connections do what the test says, and a reader of the one that is chosen. */
function world() {
  let now = 10_000;
  const plotted = [];
  const start = { position: "k3f9-0", snapshot: { metrics: { cpu: 0 } } };
  const reader = createReader({ position: start.position, latest: { figures: { cpu: 0 } }, onFigures: ({ cpu }, at) => plotted.push([cpu, at]) });
  const feeds = ["sse", "cable"].map((transport) => {
    let told;
    const feed = createFeed({
      transport, title: transport, ...start, staleAfter: 6000, samples: createSamples(),
      clocks: { now: () => now, wallNow: () => now, serverNow: () => now, error: () => 0 },
      open: (callbacks) => (told = callbacks) && { position: "", stats: {} },
      onChange: () => feed === chosen && reader.take(feed),
      onState() {},
    });
    feed.connect();
    return {
      feed,
      verdict: (verdict, position) => told.onVerdict({ verdict, position }),
      update: (cpu, position) => told.onUpdate({ metrics: { cpu } }, { position }),
    };
  });
  let chosen = feeds[0].feed;
  return {
    feeds, reader, plotted,
    read: (feed) => reader.take((chosen = feed)),
    pass: (ms) => (now += ms),
    numbers: () => plotted.map(([cpu]) => cpu),
  };
}

test("what the other feed has brought first is taken at the switch, with the moments of its arrival; what it has brought before, is not", () => {
  const { feeds: [sse, cable], read, plotted, pass, reader } = world();
  for (const { verdict } of [sse, cable]) verdict("recovered", "k3f9-0");
  sse.update(1, "k3f9-1");
  cable.update(1, "k3f9-1");
  pass(100);
  cable.update(2, "k3f9-2");
  pass(100);
  cable.update(3, "k3f9-3");
  pass(100);
  read(cable.feed);
  assert.deepEqual(plotted, [[1, 10_000], [2, 10_100], [3, 10_200]]);
  read(sse.feed);
  assert.deepEqual([reader.latest.figures.cpu, reader.takenAt], [3, 10_200], "a feed that is behind does not take it back");
  sse.update(2, "k3f9-2");
  assert.equal(reader.latest.figures.cpu, 3);
});

test("before any update it shows what it was given", () => {
  const { reader, feeds, read } = world();
  read(feeds[1].feed);
  assert.deepEqual([reader.latest.figures.cpu, reader.takenAt], [0, NaN]);
});

test("over both feeds each update is taken once and in order, however often and when the reader switches", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = createRandom(seed);
    const { feeds, read, numbers, pass } = world();
    const reached = [0, 0];
    const last = 60;
    for (const { verdict } of feeds) verdict("recovered", "k3f9-0");
    while (reached[0] < last || reached[1] < last) {
      const index = random() < 0.5 ? 0 : 1;
      if (random() < 0.2) read(feeds[index].feed);
      if (random() < 0.1) feeds[index].verdict("recovered", `k3f9-${reached[index]}`);
      if (reached[index] === last) continue;
      pass(Math.floor(random() * 3)); // also several at one moment
      reached[index] += 1;
      feeds[index].update(reached[index], `k3f9-${reached[index]}`);
    }
    for (const { feed } of feeds) read(feed);
    assert.deepEqual(numbers(), Array.from({ length: last }, (_, index) => index + 1), `seed ${seed}`);
  }
});

test("without positions, and over two lives of the database, it goes by the order of arrival", () => {
  const { feeds: [sse, cable], read, numbers } = world();
  cable.verdict("fresh", "k3f9-5"); // on plain v1 only the confirmation says where one is
  sse.update(7, "k3f9-7");
  for (const cpu of [8, 9]) cable.update(cpu, "k3f9-5");
  read(cable.feed);
  assert.deepEqual(numbers(), [7, 8, 9]);
  cable.verdict("gap", "new1-0");
  cable.update(10, "new1-1");
  read(sse.feed);
  assert.deepEqual(numbers(), [7, 8, 9, 10], "the update of the old life came before");
  sse.verdict("gap", "new1-0");
  sse.update(10, "new1-1");
  sse.update(11, "new1-2");
  assert.deepEqual(numbers(), [7, 8, 9, 10, 11]);
});

test("a feed keeps the newest arrivals alone", () => {
  const { feeds: [, cable], read, numbers } = world();
  for (let id = 1; id <= 1500; id += 1) cable.update(id, `k3f9-${id}`);
  read(cable.feed);
  assert.deepEqual([numbers().length, numbers()[0], numbers().at(-1)], [200, 1301, 1500]);
});
