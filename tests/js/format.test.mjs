import assert from "node:assert/strict";
import { test } from "node:test";

import { UNKNOWN, age, bytes, clock, count, duration, figure, grade, lag } from "../../web/format.js";

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

test("durations in whole units", () => {
  assert.deepEqual([0, 14_900, 185_000, 7_500_000].map(duration), ["0 s", "14 s", "3 min 5 s", "2 h 5 min"]);
  assert.equal(duration(NaN), UNKNOWN);
});

test("lags have three digits; below zero there is none", () => {
  assert.deepEqual([0, 1.26, 99.94, 99.96, 1234.5].map(lag), ["0.0", "1.3", "99.9", "100", "1,235"]);
  assert.equal(lag(-0.4), "0.0");
  assert.equal(lag(NaN), UNKNOWN);
});

test("moments become the local time of day", () => {
  assert.equal(clock(new Date(2026, 10, 23, 7, 5, 9).getTime()), "07:05:09");
  for (const odd of [null, undefined, NaN, "soon", {}, { toString: 1 }, 1e300]) assert.equal(clock(odd), UNKNOWN);
});

test("counts and amounts", () => {
  assert.deepEqual([count(7), count(1234), count(1234567)], ["7", "1,234", "1,234,567"]);
  assert.deepEqual([0, 999, 1000, 48_200, 999_950, 7_250_000, 5e12].map(bytes), ["0 B", "999 B", "1.0 kB", "48.2 kB", "1000 kB", "7.3 MB", "5000 GB"]);
});

test("grades follow the thresholds of the protocol", () => {
  assert.deepEqual([70, 70.1, 90, 90.1].map((cpu) => grade("cpu", cpu)), ["good", "warning", "warning", "critical"]);
  assert.deepEqual([80, 80.1, 95.1].map((memory) => grade("memory", memory)), ["good", "warning", "critical"]);
  assert.equal(grade("disk", 99), "good");
});
