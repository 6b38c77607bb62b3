import assert from "node:assert/strict";
import { test } from "node:test";

import { alone, lastKnown } from "../../web/chart.js";
import { peaks } from "../../web/chart-table.js";

test("a value between two gaps stands alone; seconds without an update do not part it from others", () => {
  assert.deepEqual(alone([1, null, 2, 3, null, 4, undefined, null, undefined, 5, undefined, 6, null, 7]), [0, 5, 13]);
  assert.deepEqual(alone([null, undefined]), []);
});

test("the last known value is before the gap, not beyond it", () => {
  const values = [5, undefined, undefined, null, undefined];
  assert.deepEqual([0, 2, 3, 4].map((index) => lastKnown(values, index)), [5, 5, null, null]);
  assert.equal(lastKnown([undefined], 0), undefined);
});

test("a row of the table has the highest of its ten seconds, the newest row first", () => {
  const x = Array.from({ length: 25 }, (_, index) => index - 25);
  const values = x.map((at) => (at >= -20 && at < -10 ? [null, undefined, NaN][-at % 3] : -at));
  const found = peaks(x, values);
  assert.deepEqual([...found.keys()], [0, 10, 20]);
  assert.deepEqual([found.get(0), found.get(20)], [10, 25]);
  assert.ok(!Number.isFinite(found.get(10)));
  assert.deepEqual([...peaks([-2, -1], [-7, -3]).values()], [-3]);
});
