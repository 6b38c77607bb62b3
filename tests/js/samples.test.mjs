import assert from "node:assert/strict";
import { test } from "node:test";

import { createSamples } from "../../web/samples.js";
import { createRandom } from "./random.mjs";

const RANKS = { p50: 0.5, p95: 0.95, p99: 0.99 };

/** The nearest-rank percentiles of plain numbers: what the classes have to agree with. */
function naive(lags) {
  const sorted = [...lags].sort((a, b) => a - b);
  const at = (share) => sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] ?? NaN;
  return Object.fromEntries(Object.entries(RANKS).map(([name, share]) => [name, at(share)]));
}

function assertClose(found, expected, what) {
  if (Number.isNaN(expected)) return assert.ok(Number.isNaN(found), `${what}: ${found} of nothing`);
  const allowed = Math.max(0.05, 0.01 * Math.abs(expected)) * (1 + 1e-9);
  assert.ok(Math.abs(found - expected) <= allowed, `${what}: ${found} for ${expected}`);
}

/** Lags as they come: of all magnitudes, of one, negative, and on the bounds of classes. */
const SHAPES = [
  (random) => 10 ** (random() * 9 - 2),
  (random) => 2 + random(),
  (random) => (random() - 0.5) * 10 ** (random() * 6 - 1),
  (random) => Math.floor(random() * 5) / 10,
  (random) => 0.05 * 1.02 ** Math.floor(random() * 900),
];

test("percentiles and series agree with a naive computation, whatever came when", () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = createRandom(seed);
    const lagFrom = SHAPES[seed % SHAPES.length];
    const samples = createSamples({ seconds: 10 });
    const history = []; // [second, lag]
    let at = 1000 * Math.floor(random() * 1e6);
    for (let step = 0; step < 400; step += 1) {
      at += random() < 0.02 ? random() * 15_000 : random() * 120;
      const lag = random() < 0.05 ? NaN : lagFrom(random);
      samples.add(at, lag);
      history.push([Math.floor(at / 1000), lag]);
      if (step % 10) continue;
      const now = Math.floor(at / 1000);
      const lags = (wanted) => history.filter(([second, l]) => wanted(second) && !Number.isNaN(l)).map(([, l]) => l);
      const recent = lags((second) => second >= now - 10);
      const { count, ...percentiles } = samples.percentiles(at);
      assert.equal(count, recent.length, `seed ${seed}`);
      for (const [name, value] of Object.entries(naive(recent))) assertClose(percentiles[name], value, `seed ${seed}, ${name}`);
      const series = samples.series(at);
      assert.deepEqual(series.x, [-10, -9, -8, -7, -6, -5, -4, -3, -2, -1]);
      series.x.forEach((back, index) => {
        const expected = naive(lags((second) => second === now + back));
        for (const name of Object.keys(RANKS)) assertClose(series[name][index] ?? NaN, expected[name], `seed ${seed}, ${name} at ${back}`);
        const updates = history.filter(([second]) => second === now + back).length;
        assert.equal(series.rate[index] ?? 0, updates, `seed ${seed}, rate at ${back}`);
      });
    }
  }
});

test("what is lost is a gap, what is silent is not", () => {
  const samples = createSamples({ seconds: 8 });
  samples.add(2500, 7); // nothing is known of the seconds before
  samples.lost(5500);
  samples.found(8100);
  samples.count(9100, 3);
  const { p50, rate } = samples.series(10_500);
  assert.deepEqual(p50.map((value) => (value > 0 ? "lag" : value)), ["lag", undefined, undefined, null, null, null, undefined, undefined]);
  assert.deepEqual(rate, [1, 0, 0, null, null, null, 0, 3]);
});

test("before anything came there is nothing, and no error", () => {
  const samples = createSamples({ seconds: 3 });
  assert.deepEqual(samples.percentiles(5000), { p50: NaN, p95: NaN, p99: NaN, count: 0 });
  assert.deepEqual(samples.series(5000).rate, [null, null, null]);
});

test("a lag that is no number is an update all the same; a giant one is a day", () => {
  const samples = createSamples({ seconds: 3 });
  for (const odd of [NaN, Infinity, undefined, null, "7", {}]) samples.add(1000, odd);
  assert.equal(samples.percentiles(1000).count, 0);
  samples.add(1000, 1e300);
  assert.equal(samples.series(2000).rate.at(-1), 7);
  assert.ok(samples.percentiles(2000).p50 > 85_000_000);
});

test("a moment before the newest goes where it belongs, and nowhere when it is too old", () => {
  const samples = createSamples({ seconds: 3 });
  samples.add(10_000, 1);
  samples.add(9_500, 2);
  samples.add(6_000, 3);
  const { rate } = samples.series(10_000);
  assert.deepEqual(rate.at(-1), 1);
  assert.equal(samples.percentiles(10_000).count, 2);
});

test("after an hour without a call all is forgotten", () => {
  const samples = createSamples();
  samples.add(1000, 5);
  assert.equal(samples.percentiles(3_601_000).count, 0);
  assert.deepEqual(new Set(samples.series(3_601_000).rate), new Set([0]));
});

test("clear forgets the samples and keeps that there is a connection", () => {
  const samples = createSamples({ seconds: 3 });
  samples.add(1000, 5);
  samples.clear();
  assert.equal(samples.percentiles(1000).count, 0);
  assert.deepEqual(samples.series(3000).rate, [null, 0, 0]);
});

test("a series is the same object until another would come out", () => {
  const samples = createSamples({ seconds: 3 });
  samples.add(5000, 1);
  const first = samples.series(6000);
  samples.add(6100, 1);
  assert.equal(samples.series(6900), first);
  samples.add(5900, 9);
  const { rate, p95 } = samples.series(6900);
  assert.equal(rate.at(-1), 2, "an update that belongs to a second before");
  assertClose(p95.at(-1), 9, "its lag, too");
  assert.deepEqual(samples.series(7000).rate, [null, 2, 1]);
});
