import assert from "node:assert/strict";
import { test } from "node:test";

import { UNKNOWN, age, clock, count, figure, grade, lag, seconds } from "../../web/format.js";

test("figures have fixed decimals; anything but a number is a dash", () => {
  assert.equal(figure(12), "12.0");
  assert.equal(figure(99.934, 2), "99.93");
  for (const odd of [null, undefined, NaN, Infinity, "7", {}]) assert.equal(figure(odd), UNKNOWN);
});

test("ages", () => {
  assert.equal(age(-50), "just now");
  assert.equal(age(999), "just now");
  assert.equal(age(59_999), "59 s ago");
  assert.equal(age(61_000), "1 min 1 s ago");
  assert.equal(age(7_260_000), "2 h 1 min ago");
  assert.equal(age(NaN), UNKNOWN);
});

test("a negative lag is a difference of clocks, but for a rounding error", () => {
  assert.equal(lag(1.26), "1.3 ms");
  assert.equal(lag(-0.4), "0.0 ms");
  assert.equal(lag(-1200), "clocks differ");
  assert.equal(lag(1234.5), "1235 ms");
  assert.equal(lag(NaN), UNKNOWN);
});

test("timestamps become the local time of day", () => {
  const date = new Date(2026, 10, 23, 7, 5, 9);
  assert.equal(clock(date.toISOString()), "07:05:09");
  for (const odd of [null, undefined, "soon", {}]) assert.equal(clock(odd), UNKNOWN);
});

test("counts, durations", () => {
  assert.deepEqual([count(7), count(1234), count(1234567)], ["7", "1\u202f234", "1\u202f234\u202f567"]);
  assert.equal(seconds(2310), "2.3 s");
});

test("grades follow the thresholds of the protocol", () => {
  assert.deepEqual([70, 70.1, 90, 90.1].map((cpu) => grade("cpu", cpu)), ["good", "warning", "warning", "critical"]);
  assert.deepEqual([80, 80.1, 95.1].map((memory) => grade("memory", memory)), ["good", "warning", "critical"]);
  assert.equal(grade("disk", 99), "good");
});
