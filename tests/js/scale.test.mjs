import assert from "node:assert/strict";
import { test } from "node:test";

import { createScale, roundUp } from "../../web/scale.js";

test("the next round number holds the value, and wastes at most a half of the height", () => {
  for (let value = 0.001; value < 1e7; value *= 1.007) {
    const top = roundUp(value);
    assert.ok(top >= value * (1 - 1e-9) && top <= value * 1.7, `${top} for ${value}`);
  }
  assert.equal(roundUp(2), 2);
  for (const odd of [0, -1, NaN]) assert.equal(roundUp(odd), 0);
});

test("charts of one scale have the range of the highest; when it moves all others are drawn again", () => {
  const scale = createScale({ least: 5 });
  const redrawn = [];
  const [first, second] = [() => redrawn.push("first"), () => redrawn.push("second")];
  scale.report(first, 0.2, 3);
  assert.deepEqual([scale.range(), redrawn], [[0, 5], []]);
  scale.report(second, 1, 28);
  assert.deepEqual([scale.range(), redrawn], [[0, 30], ["first"]]);
  scale.report(first, 0, 4);
  scale.report(second, 2, 21);
  assert.deepEqual([scale.range(), redrawn], [[0, 30], ["first"]], "the same round number: nothing moves");
  scale.report(second, -2.5, 3);
  assert.deepEqual([scale.range(), redrawn], [[-3, 5], ["first", "first"]], "clocks that differ are below zero");
  scale.forget(second);
  assert.deepEqual([scale.range(), redrawn], [[0, 5], ["first", "first", "first"]]);
});

test("a chart without any value leaves the range to the others", () => {
  const scale = createScale({ least: 1 });
  scale.report(() => {}, Infinity, -Infinity);
  assert.deepEqual(scale.range(), [0, 1]);
});
