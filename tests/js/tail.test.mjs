import assert from "node:assert/strict";
import { test } from "node:test";

import { createTail } from "../../web/client/tail.js";

const entry = (id, size = 1) => ({ after: `e-${id - 1}`, position: `e-${id}`, data: id, size, transport: "sse" });
const ids = (entries) => entries?.map(({ data }) => data);

function filled(from, to, size) {
  const tail = createTail(`e-${from - 1}`);
  for (let id = from; id <= to; id += 1) tail.push(entry(id, size));
  return tail;
}

test("it gives what is behind a position, and nothing when it does not reach back to it", () => {
  const tail = filled(5, 8);
  assert.deepEqual(["e-6", "e-8", "e-9", "e-4"].map((position) => ids(tail.since(position))), [[7, 8], [], [], [5, 6, 7, 8]]);
  assert.deepEqual(["e-3", "f-6", "", "nonsense"].map((position) => tail.since(position)), Array(4).fill(undefined));
  assert.deepEqual([tail.start, tail.head, tail.newest.data], ["e-4", "e-8", 8]);
});

test("an update is taken once", () => {
  const tail = filled(5, 6);
  tail.push(entry(6));
  tail.push(entry(5));
  assert.deepEqual(ids(tail.since("e-4")), [5, 6]);
});

test("it is bounded in updates and in bytes, but always has the newest", () => {
  assert.deepEqual([filled(1, 1000).start, filled(1, 1000).head], ["e-800", "e-1000"]);
  assert.equal(filled(1, 10, 400_000).start, "e-8");
  assert.deepEqual(ids(filled(1, 3, 2_000_000).since("e-2")), [3]);
});

test("behind a hole it starts anew", () => {
  const tail = filled(5, 8);
  tail.reset("e-20");
  assert.deepEqual([tail.start, tail.head, tail.newest, tail.since("e-8"), tail.since("e-20")], ["e-20", "e-20", undefined, undefined, []]);
});
