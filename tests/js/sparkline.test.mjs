import assert from "node:assert/strict";
import { test } from "node:test";

import { createHistory, paths } from "../../web/sparkline.js";

test("a history holds the newest value of each part, and the range of all", () => {
  const history = createHistory({ seconds: 10, places: 5 });
  assert.equal(history.range(0), null);
  history.add(100_000, 5);
  history.add(100_500, 0);
  history.add(101_000, 3);
  history.add(104_100, 9);
  for (const odd of [NaN, Infinity, "7", null, undefined]) history.add(104_200, odd);
  assert.deepEqual(history.values(105_000), [NaN, NaN, 3, NaN, 9]);
  assert.deepEqual(history.range(105_000), { low: 0, high: 9, newest: 9 });
  assert.deepEqual(history.values(109_000), [3, NaN, 9, NaN, NaN]);
  assert.deepEqual(history.range(111_000), { low: 9, high: 9, newest: 9 }, "what is forgotten is out of the range");
  assert.equal(history.range(1e9), null);
});

test("lines go over short pauses and end at long ones; a lone value is a point", () => {
  const { line, area } = paths([0, NaN, 50, NaN, NaN, 100], 100, 2);
  assert.equal(line, "M0.5 100L2.5 50M5.5 0h0");
  assert.equal(area, "M0.5 100L0.5 100L2.5 50L2.5 100ZM5.5 100L5.5 0L5.5 100Z");
  assert.deepEqual(paths([NaN, NaN], 100, 2), { line: "", area: "" });
});

test("values beyond the scale stay in the drawing", () => {
  assert.equal(paths([-5, 200], 100, 1).line, "M0.5 100L1.5 0");
});
