import assert from "node:assert/strict";
import { test } from "node:test";

import { createClockOffset } from "../../web/clock-offset.js";
import { FakeClock } from "./fakes.mjs";
import { createRandom } from "./random.mjs";

/**
 * A page and a server whose clocks are `offset` ms apart, with a way of `trips` ms there and back, one pair for each request in turn.
 * `trips` may hold "fails", "hangs" or another answer instead.
 */
function world({ offset = 0, trips = [[1, 1]] } = {}) {
  const clock = new FakeClock();
  const page = { shift: 1_700_000_000_000, offset, asked: [] };
  const document = Object.assign(new EventTarget(), { hidden: false });
  const monotonic = () => clock.time;
  const now = () => clock.time + page.shift;

  async function fetch(url, { signal, cache }) {
    const trip = trips[page.asked.length % trips.length];
    page.asked.push({ url, cache });
    if (trip === "fails") throw new TypeError("no network");
    if (trip === "hangs") return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    if (!Array.isArray(trip)) return { ok: true, json: async () => trip };
    clock.advance(trip[0]);
    const time = now() + page.offset;
    clock.advance(trip[1]);
    return { ok: trip[2] ?? true, json: async () => ({ time_ms: time }) };
  }
  const { setTimeout, clearTimeout } = clock;
  const offsets = createClockOffset({ url: "/dashboard/time", now, fetch, monotonic, document, setTimeout, clearTimeout });
  const show = (hidden) => {
    document.hidden = hidden;
    document.dispatchEvent(new Event("visibilitychange"));
  };
  return { clock, page, document, offsets, show, settle: () => new Promise((resolve) => setImmediate(resolve)) };
}

const RESOLUTION = 1; // ms that are added to each error: browsers may tell no less

test("half of the fastest round trip of five, and that as the error", async () => {
  const { offsets, page } = world({ offset: 250, trips: [[80, 20], [4, 6], [2, 8], [3, 3], [30, 30]] });
  assert.deepEqual([offsets.offset, offsets.error, offsets.measured], [0, Infinity, NaN], "nothing is known before");
  await offsets.measure();
  assert.deepEqual([offsets.offset, offsets.error], [250, 3 + RESOLUTION]);
  assert.deepEqual(page.asked, Array(5).fill({ url: "/dashboard/time", cache: "no-store" }));
});

test("whatever the way takes in each direction, the true offset is within the error", async () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = createRandom(seed);
    const offset = (random() - 0.5) * 10 ** (random() * 6);
    const trips = Array.from({ length: 5 }, () => [random() ** 3 * 400, random() ** 3 * 400]);
    const { offsets } = world({ offset, trips });
    await offsets.measure();
    assert.ok(Math.abs(offsets.measured - offset) <= offsets.error - RESOLUTION + 1e-3, `seed ${seed}`);
  }
});

test("clocks that cannot be told apart count as one: on one machine the plain difference stays", async () => {
  const { offsets } = world({ offset: 0, trips: [[0.2, 3]] });
  await offsets.measure();
  assert.equal(offsets.offset, 0);
  assert.ok(Math.abs(offsets.measured - -1.4) < 1e-3 && Math.abs(offsets.error - 1.6 - RESOLUTION) < 1e-3);
});

test("what fails, hangs or tells no time is left out, and counted", async () => {
  const { offsets, clock, settle } = world({ offset: 90, trips: ["fails", "hangs", { time_ms: "12" }, null, [5, 5]] });
  const measured = offsets.measure();
  await settle();
  clock.advance(5000);
  await measured;
  assert.deepEqual([offsets.offset, offsets.error, offsets.failures], [90, 5 + RESOLUTION, 4]);
  assert.equal(clock.pending, 0);
});

test("an error of the server is no time, whatever its body says", async () => {
  const { offsets } = world({ trips: [[1, 1, false]] });
  await offsets.measure();
  assert.deepEqual([offsets.error, offsets.failures], [Infinity, 5]);
});

test("without any answer the last estimate stays", async () => {
  const trips = [[5, 5]];
  const { offsets } = world({ offset: 90, trips });
  await offsets.measure();
  trips[0] = "fails";
  await offsets.measure();
  assert.deepEqual([offsets.offset, offsets.error], [90, 5 + RESOLUTION]);
});

test("a slow moment does not replace a good estimate, unless they contradict each other", async () => {
  const trips = [[2, 2]];
  const { offsets, page, clock } = world({ offset: 90, trips });
  await offsets.measure();
  trips[0] = [30, 10];
  await offsets.measure();
  assert.deepEqual([offsets.offset, offsets.error], [90, 2 + RESOLUTION]);
  clock.advance(3_600_000); // within an hour clocks part by more than that
  await offsets.measure();
  assert.deepEqual([offsets.offset, offsets.error], [100, 20 + RESOLUTION]);
  trips[0] = [400, 400];
  page.offset = -5000;
  await offsets.measure();
  assert.deepEqual([offsets.offset, offsets.error], [-5000, 400 + RESOLUTION]);
});

test("when the page's clock is set the estimate is worth nothing, until it is made anew", async () => {
  const { offsets, page } = world({ offset: 90, trips: [[2, 2]] });
  await offsets.measure();
  page.shift -= 3_600_000;
  assert.deepEqual([offsets.offset, offsets.error], [0, Infinity]);
  page.offset += 3_600_000;
  await offsets.measure();
  assert.deepEqual([offsets.offset, offsets.error], [3_600_090, 2 + RESOLUTION]);
});

test("a clock that is set within a round spoils no estimate", async () => {
  const { offsets, page } = world({ offset: 90, trips: [[2, 2]] });
  const measured = offsets.measure();
  page.shift += 10_000;
  page.offset -= 10_000;
  await measured;
  assert.ok([90, -9910].includes(offsets.measured) && offsets.error === 2 + RESOLUTION);
});

test("started it measures now, every five minutes and when it is seen again, never hidden; stopped it leaves nothing", async () => {
  const { offsets, page, clock, show, settle } = world();
  const rounds = async () => {
    await settle();
    return page.asked.length / 5;
  };
  let told = 0;
  offsets.start(() => (told += 1));
  assert.deepEqual([await rounds(), told], [1, 1]);
  show(false);
  assert.equal(await rounds(), 1, "not again within half a minute");
  clock.advance(300_000);
  assert.equal(await rounds(), 2);
  show(true);
  clock.advance(900_000);
  assert.equal(await rounds(), 2, "hidden");
  show(false);
  assert.deepEqual([await rounds(), told], [3, 3]);
  clock.advance(290_000);
  assert.equal(await rounds(), 3, "not before five minutes have passed");
  clock.advance(20_000);
  assert.equal(await rounds(), 4);
  offsets.stop();
  clock.advance(900_000);
  show(false);
  assert.deepEqual([await rounds(), clock.pending], [4, 0]);
});

test("a clock that was set is measured within seconds, and what failed is tried again within half a minute", async () => {
  const trips = ["fails"];
  const { offsets, page, clock, settle } = world({ offset: 90, trips });
  const rounds = async () => {
    await settle();
    return page.asked.length / 5;
  };
  offsets.start();
  assert.equal(await rounds(), 1);
  clock.advance(20_000);
  assert.equal(await rounds(), 1);
  trips[0] = [2, 2];
  clock.advance(20_000);
  assert.deepEqual([await rounds(), offsets.offset], [2, 90]);
  clock.advance(60_000);
  assert.equal(await rounds(), 2);
  page.shift -= 20; // as much as a page may let its clock part from the machine's
  assert.equal(offsets.error, Infinity);
  clock.advance(10_000);
  assert.deepEqual([await rounds(), offsets.offset], [3, 90]);
  offsets.stop();
});

test("stop ends the request that runs, and measuring again is possible", async () => {
  const trips = ["hangs"];
  const { offsets, page, clock, settle } = world({ offset: 90, trips });
  offsets.start();
  await settle();
  offsets.stop();
  await settle();
  assert.deepEqual([page.asked.length, offsets.failures, clock.pending], [1, 0, 0]);
  trips[0] = [2, 2];
  await offsets.measure();
  assert.equal(offsets.offset, 90);
});

test("who asks while a round runs gets that one", async () => {
  const { offsets, page } = world();
  await Promise.all([offsets.measure(), offsets.measure()]);
  assert.equal(page.asked.length, 5);
});
