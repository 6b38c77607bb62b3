import assert from "node:assert/strict";
import { test } from "node:test";

import { quantity } from "../../web/quantity.js";

test("three digits are enough, and a long time is in s or min", () => {
  const cases = [[0, "0 ms"], [0.049, "0.05 ms"], [4.24, "4.2 ms"], [42, "42 ms"], [421.7, "422 ms"], [999.4, "999 ms"], [1500, "1.5 s"], [60_000, "60 s"], [3_600_000, "60 min"], [-0.001, "0 ms"], [-3200, "-3.2 s"]];
  for (const [value, text] of cases) assert.equal(quantity(value, "ms"), text);
});

test("other units stand behind the number; anything but a number is a dash", () => {
  assert.equal(quantity(1234.5, "/s"), "1,235 /s");
  assert.equal(quantity(7, ""), "7");
  for (const odd of [null, undefined, NaN, Infinity, "7", {}]) assert.equal(quantity(odd, "ms"), "–");
});
