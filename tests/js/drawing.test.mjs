import assert from "node:assert/strict";
import { test } from "node:test";

import { createDrawing } from "../../web/drawing.js";

/** A browser whose timers and animation frames run when the test says. */
function world(leastGap = 100) {
  let now = 0;
  let timers = [];
  let frames = [];
  const page = { hidden: false };
  const drawn = [];
  const drawing = createDrawing({
    draw: () => drawn.push(now),
    leastGap: () => leastGap,
    platform: {
      now: () => now,
      setTimeout(act, delay) {
        const timer = { act, at: now + delay };
        timers.push(timer);
        return timer;
      },
      clearTimeout: (timer) => (timers = timers.filter((each) => each !== timer)),
      requestAnimationFrame: (act) => frames.push(act),
      isHidden: () => page.hidden,
    },
  });
  /** Let time pass. As in a browser, a hidden page gets no frames. */
  function pass(ms) {
    const end = now + ms;
    for (;;) {
      if (!page.hidden) for (const act of frames.splice(0)) act();
      const next = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      timers = timers.filter((each) => each !== next);
      now = Math.max(now, next.at);
      next.act();
    }
    now = end;
  }
  return { drawing, drawn, page, pass, waiting: () => timers.length };
}

test("a hundred updates at once are one drawing, and the next ones keep the gap", () => {
  const { drawing, drawn, pass } = world();
  for (let each = 0; each < 100; each += 1) drawing.soon();
  pass(10);
  assert.deepEqual(drawn, [0]);
  drawing.soon();
  pass(300);
  assert.deepEqual(drawn, [0, 100]);
});

test("ages grow without an update: once a second", () => {
  const { drawing, drawn, pass } = world();
  drawing.now();
  pass(3000);
  assert.deepEqual(drawn, [0, 1000, 2000, 3000]);
});

test("with reduced motion once a second is also the most", () => {
  const { drawing, drawn, pass } = world(1000);
  drawing.now();
  for (let each = 0; each < 30; each += 1) {
    drawing.soon();
    pass(100);
  }
  assert.deepEqual(drawn, [0, 1000, 2000, 3000]);
});

test("nothing is drawn while paused, no timer waits, and the end of the pause draws", () => {
  const { drawing, drawn, pass, waiting } = world();
  drawing.now();
  drawing.pause(true);
  drawing.soon();
  pass(5000);
  assert.deepEqual(drawn, [0]);
  assert.equal(waiting(), 0);
  drawing.pause(false);
  assert.deepEqual(drawn, [0, 5000]);
});

test("nothing is drawn while hidden, even what was asked for before; seen again, it is", () => {
  const { drawing, drawn, page, pass, waiting } = world();
  drawing.now();
  drawing.soon();
  page.hidden = true;
  drawing.now(); // that it is hidden is told by the same event as that it is seen
  pass(5000);
  drawing.soon();
  pass(5000);
  assert.deepEqual(drawn, [0]);
  assert.equal(waiting(), 0);
  page.hidden = false;
  drawing.now();
  pass(300); // the frame that was asked for when it was hidden may come now, and do no harm
  drawing.soon();
  pass(0);
  assert.equal(drawn[1], 10_000);
  assert.equal(drawn.at(-1), 10_300);
});
