import assert from "node:assert/strict";
import { test } from "node:test";

import { createLink } from "../../web/client/link.js";

/** A link on the real clock, whose timers fire when the test says so. */
function open(options) {
  const timers = [];
  const link = createLink({
    dial: () => () => {},
    onState: () => {},
    setTimeout: (act, delay) => timers.push({ act, delay }),
    clearTimeout: () => {},
    ...options,
  });
  link.open();
  return { link, timers };
}

for (const [what, change] of [["back", -3_600_000], ["forward", 3_600_000]]) {
  test(`a clock that is set ${what} does not change when the watchdog looks next`, (t) => {
    const { link, timers } = open({ staleAfter: 60_000 });
    const before = Date.now();
    t.mock.method(Date, "now", () => before + change);
    timers.at(-1).act();
    assert.equal(timers.length, 2);
    assert.ok(timers[1].delay > 50_000 && timers[1].delay <= 60_000, `in ${timers[1].delay} ms`);
    assert.equal(link.state, "connecting");
  });
}
