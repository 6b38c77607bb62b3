/**
 * Unix ms with fractions. Date.now() alone is too coarse for a lag of one or two; performance.now() alone does not know that the clock was
 * set, or that the machine slept. So it is the latter, anchored anew when the two part. Only for comparing with stamps of the server.
 */

/** In ms: more than rounding and a slow step of the clock, less than a lag that one would notice. */
const DRIFT = 20;

/** @returns {() => number} */
export function createWallClock({ now = () => performance.now(), dateNow = () => Date.now(), timeOrigin = performance.timeOrigin } = {}) {
  let anchor = timeOrigin; // has fractions, which a difference of the two would not
  return () => {
    const drift = dateNow() - (anchor + now());
    if (Math.abs(drift) > DRIFT) anchor += drift;
    return anchor + now();
  };
}
