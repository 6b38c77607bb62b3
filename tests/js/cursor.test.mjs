import assert from "node:assert/strict";
import { test } from "node:test";

import { createCursor } from "../../web/client/cursor.js";

test("it moves forward within an epoch, and says what was given out before", () => {
  const cursor = createCursor("k3f9-7");
  for (const [next, isNew] of [["k3f9-7", false], ["k3f9-6", false], ["k3f9-8", true], ["k3f9-8", false], ["k3f9-10", true], ["k3f9-9", false]]) {
    assert.equal(cursor.advance(next), isNew, next);
  }
  assert.equal(cursor.position, "k3f9-10");
});

test("ids are numbers, not texts", () => {
  assert.equal(createCursor("e-9").advance("e-10"), true);
  assert.equal(createCursor("e-10").advance("e-9"), false);
});

test("positions of two epochs are not compared; an epoch may hold a dash", () => {
  assert.equal(createCursor("a-100").advance("b-1"), true);
  assert.equal(createCursor("a-b-2").advance("a-b-1"), false);
  assert.equal(createCursor("a-b-2").advance("a-c-1"), true);
});

test("it starts anywhere, and goes back when the server starts anew", () => {
  const cursor = createCursor();
  assert.equal(cursor.position, "");
  assert.equal(cursor.advance("e-1"), true);
  cursor.reset("e-0");
  assert.equal(cursor.position, "e-0");
  assert.equal(cursor.advance("e-1"), true);
});

test("what is no position counts once", () => {
  const cursor = createCursor("strange");
  assert.equal(cursor.advance("strange"), false);
  assert.equal(cursor.advance("e-x"), true);
  assert.equal(cursor.advance("e-x"), false);
  assert.equal(cursor.advance("e-1"), true);
});
