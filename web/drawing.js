/**
 * When to draw: as often as eyes can follow, not at all while the page is paused (WCAG 2.2.2) or hidden. What comes meanwhile is drawn
 * with the next one. Knows nothing of what is drawn.
 */

/** Ages grow without any update. In ms. */
const TICK = 1000;

/**
 * @param {{draw: () => void, leastGap: () => number, platform?: object}} options `leastGap()`: ms between two drawings
 */
export function createDrawing({ draw, leastGap, platform = {} }) {
  const { now, setTimeout, clearTimeout, requestAnimationFrame, isHidden } = { ...BROWSER, ...platform };
  let timer = null;
  let tick = null;
  let drawnAt = -Infinity;
  let isPaused = false;

  function drawNow() {
    clearTimeout(timer);
    clearTimeout(tick);
    timer = null;
    if (isPaused || isHidden()) return; // both come back through here
    drawnAt = now();
    draw();
    tick = setTimeout(soon, TICK);
  }

  function soon() {
    // In a hidden page the frame that is asked for comes when it is seen again; until then there is no other.
    if (timer !== null || isPaused) return;
    timer = setTimeout(() => requestAnimationFrame(drawNow), Math.max(0, drawnAt + leastGap() - now()));
  }

  return {
    now: drawNow,
    soon,
    get isPaused() {
      return isPaused;
    },
    pause(paused) {
      isPaused = paused;
      drawNow();
    },
  };
}

const BROWSER = {
  now: () => performance.now(),
  setTimeout: (act, delay) => globalThis.setTimeout(act, delay),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
  requestAnimationFrame: (act) => globalThis.requestAnimationFrame(act),
  isHidden: () => globalThis.document?.hidden ?? false,
};
