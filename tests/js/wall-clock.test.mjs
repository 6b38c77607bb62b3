import assert from "node:assert/strict";
import { test } from "node:test";

import { createWallClock } from "../../web/wall-clock.js";

function world() {
  const time = { monotonic: 1000.25, wall: 1_700_000_001_000 };
  const read = createWallClock({ now: () => time.monotonic, dateNow: () => time.wall, timeOrigin: 1_700_000_000_000 });
  return { time, read };
}

test("Unix ms with the fractions of the monotonic clock", () => {
  const { time, read } = world();
  assert.equal(read(), 1_700_000_001_000.25);
  time.monotonic += 0.5;
  assert.equal(read(), 1_700_000_001_000.75);
});

test("a clock that is set, or a machine that slept, is followed", () => {
  const { time, read } = world();
  for (const step of [3_600_000, -7_200_000]) {
    time.wall += step;
    assert.ok(Math.abs(read() - time.wall) < 1);
  }
});
