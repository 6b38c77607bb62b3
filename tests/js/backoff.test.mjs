import assert from "node:assert/strict";
import { test } from "node:test";

import { createBackoff } from "../../web/client/backoff.js";

test("the range doubles with each attempt, up to the cap", () => {
  const backoff = createBackoff({ base: 1000, cap: 30_000, random: () => 1 });
  const delays = Array.from({ length: 7 }, () => backoff.next());
  assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test("the jitter is full: from 0 to the whole range", () => {
  const backoff = createBackoff({ base: 1000, random: () => 0 });
  assert.deepEqual([backoff.next(), backoff.next()], [0, 0]);
});

test("every delay lies within its range", () => {
  for (let round = 0; round < 1000; round += 1) {
    const backoff = createBackoff({ base: 500, cap: 4000 });
    for (const most of [500, 1000, 2000, 4000, 4000]) {
      const delay = backoff.next();
      assert.ok(delay >= 0 && delay <= most, `${delay} is not within 0..${most}`);
    }
  }
});

test("a reset starts again with the first range", () => {
  const backoff = createBackoff({ base: 1000, random: () => 1 });
  backoff.next();
  backoff.next();
  backoff.reset();
  assert.equal(backoff.next(), 1000);
});

test("a thousand attempts stay finite", () => {
  const backoff = createBackoff({ cap: 30_000, random: () => 1 });
  for (let attempt = 0; attempt < 2000; attempt += 1) backoff.next();
  assert.equal(backoff.next(), 30_000);
});
