import assert from "node:assert/strict";
import { test } from "node:test";

import { createCompleteness } from "../../web/completeness.js";
import { clock } from "../../web/format.js";

const NOON = new Date(2026, 10, 23, 12, 0, 0).getTime();

/** Both clocks in one hand: `pass` lets time go by, `set` sets only the wall clock, as a person or NTP does. */
function clocks() {
  let [now, wall] = [5000, NOON];
  return {
    now: () => now,
    wallNow: () => wall,
    pass: (ms) => ([now, wall] = [now + ms, wall + ms]),
    set: (ms) => (wall += ms),
  };
}

function connected() {
  const time = clocks();
  const completeness = createCompleteness(time);
  completeness.verdict({ verdict: "fresh" });
  return { time, completeness };
}

test("complete since the first verdict, over interruptions that were caught up on", () => {
  const { time, completeness } = connected();
  time.pass(60_000);
  completeness.lost();
  time.pass(14_000);
  assert.equal(completeness.summary, "complete up to 12:01:00, then unknown");
  completeness.verdict({ verdict: "recovered" });
  completeness.update(true);
  completeness.update(false);
  assert.equal(completeness.summary, "complete since 12:00:00");
  assert.equal(completeness.loss, "");
  assert.equal(completeness.caughtUp, 1);
});

test("nothing is known before the first verdict", () => {
  const completeness = createCompleteness(clocks());
  completeness.lost();
  assert.equal(completeness.summary, "not known yet");
});

test("a gap says how many updates and how long, and what is complete begins anew", () => {
  const { time, completeness } = connected();
  time.pass(60_000);
  completeness.lost();
  time.pass(14_400);
  completeness.lost(); // another attempt has failed
  completeness.verdict({ verdict: "gap", missed: 14 });
  assert.equal(completeness.loss, "14 updates / 14 s missing");
  assert.equal(completeness.summary, "complete since 12:01:14");
});

test("gaps add up; where the server cannot count one, the sum is a least", () => {
  const { time, completeness } = connected();
  for (const missed of [1, undefined]) {
    completeness.lost();
    time.pass(40_000);
    completeness.verdict({ verdict: "gap", missed });
  }
  assert.equal(completeness.loss, "at least 1 update / 1 min 20 s missing, in 2 gaps");
});

test("a gap of unknown size is one all the same, and so is a later `fresh`", () => {
  for (const verdict of ["gap", "fresh"]) {
    const { time, completeness } = connected();
    completeness.lost();
    time.pass(3000);
    completeness.verdict({ verdict });
    assert.equal(completeness.loss, "3 s missing", verdict);
  }
});

test("a gap without a loss of the connection counts from the last update", () => {
  const { time, completeness } = connected();
  time.pass(10_000);
  completeness.update(false);
  time.pass(7000);
  completeness.verdict({ verdict: "gap", missed: 2000 });
  assert.equal(completeness.loss, "2,000 updates / 7 s missing");
});

test("silence counts from when it began, but not from before the last update", () => {
  const { time, completeness } = connected();
  time.pass(60_000);
  completeness.lost(20_000);
  assert.equal(completeness.summary, "complete up to 12:00:40, then unknown");
  completeness.resume();
  assert.equal(completeness.summary, "complete since 12:00:00");
  completeness.update(false);
  completeness.lost(20_000);
  assert.equal(completeness.summary, "complete up to 12:01:00, then unknown");
});

test("a wall clock that is set back changes no duration", () => {
  const { time, completeness } = connected();
  completeness.lost();
  time.pass(14_000);
  time.set(-3_600_000);
  completeness.verdict({ verdict: "gap" });
  assert.equal(completeness.loss, "14 s missing");
  assert.equal(completeness.summary, `complete since ${clock(NOON + 14_000 - 3_600_000)}`);
});
