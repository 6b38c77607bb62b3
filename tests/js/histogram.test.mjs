import assert from "node:assert/strict";
import { test } from "node:test";

import { CLASSES, classOf, quantiles } from "../../web/histogram.js";

const counted = (...lags) => {
  const counts = new Uint32Array(CLASSES);
  for (const lag of lags) counts[classOf(lag)] += 1;
  return counts;
};

test("whatever the lag, what stands for it is within 1 % or 0.05 ms", () => {
  for (let size = 0.001; size < 86_000_000; size *= 1.0037) {
    for (const lag of [size, -size]) {
      const [found] = quantiles(counted(lag), 1, [0.5]);
      assert.ok(Math.abs(found - lag) <= Math.max(0.05, 0.01 * size), `${found} for ${lag}`);
    }
  }
});

test("classes are in the order of their lags, to the ends", () => {
  const lags = [-1e300, -50, -0.06, 0, 0.06, 50, 1e300];
  const classes = lags.map(classOf);
  assert.deepEqual(classes, [...classes].sort((a, b) => a - b));
  assert.deepEqual([classes[0], classes.at(-1)], [0, CLASSES - 1]);
});

test("the nearest rank: the median of two is the smaller, the highest percentile of few is the largest", () => {
  const [low, middle, high] = quantiles(counted(1, 100), 2, [0, 0.5, 0.99]);
  assert.ok(Math.abs(low - 1) <= 0.01 && middle === low && Math.abs(high - 100) <= 1);
  assert.deepEqual(quantiles(counted(), 0, [0.5, 1]), [NaN, NaN]);
});
