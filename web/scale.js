/** A vertical scale that several charts share, so that the same height means the same value in each of them. Pure. */

const STEPS = [1, 1.5, 2, 3, 5, 7.5, 10];

/** The next round number: a top that moved with each value would make every line swim. */
export function roundUp(value) {
  if (!(value > 0)) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = STEPS.find((candidate) => candidate * power >= value * (1 - 1e-9)) ?? 10;
  return step * power;
}

/**
 * @param {{least?: number}} options the top is never below `least`: noise of a tenth of a ms must not fill the height
 */
export function createScale({ least = 1 } = {}) {
  /** What each chart has to show, by the function that draws that chart again. */
  const wanted = new Map();
  let range = [0, roundUp(least)];

  function settle(except) {
    const extremes = [...wanted.values()];
    const low = Math.min(0, ...extremes.map((extreme) => extreme.low));
    const high = Math.max(least, ...extremes.map((extreme) => extreme.high));
    const next = [low < 0 ? -roundUp(-low) : 0, roundUp(high)];
    if (next[0] === range[0] && next[1] === range[1]) return;
    range = next;
    for (const redraw of wanted.keys()) if (redraw !== except) redraw();
  }

  return {
    /** @returns {[number, number]} the lowest and the highest value that fit */
    range: () => range,
    /** A chart says what it is about to draw; the others are drawn again if that moves the scale. */
    report(redraw, low, high) {
      wanted.set(redraw, { low, high });
      settle(redraw);
    },
    /** A chart is gone. */
    forget(redraw) {
      wanted.delete(redraw);
      settle(redraw);
    },
  };
}
