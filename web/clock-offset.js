/**
 * How far the server's clock is from the page's, so that a delivery lag can be told: half of the fastest of several round trips, as NTP
 * does it (RFC 5905 §8). Whatever the way takes in each direction, the true offset is within half that round trip of the estimate.
 *
 * Where that is not enough to tell the two clocks apart they count as one: on the same machine the plain difference is right, and an
 * estimate could only make it worse.
 */

const REQUESTS = 5; // in a round; the first one pays for the connection
const PERIOD = 300_000; // ms between rounds
const PAUSE = 30_000; // ms: the least time between them, when nothing is known or a page is looked at again and again
const CHECK = 10_000; // ms between two looks at whether a round is due
const PATIENCE = 5_000; // ms that one request may take
const DRIFT = 50e-6; // how fast two clocks may part: of an error that was small once
const STEP = 5; // ms: the page's clock was set when it and the monotonic one part by that
const RESOLUTION = 1; // ms: Firefox and Safari tell whole ms, so a round trip of 0 may have been one of 1

/**
 * @param {object} options
 * @param {string | URL} options.url answers `{"time_ms": 1694041735123.4}`
 * @param {() => number} options.now the page's clock, in Unix ms: the one that lags are taken with
 * @param {typeof fetch} [options.fetch]
 * @param {() => number} [options.monotonic] ms of a clock that nobody sets
 * @param {Document} [options.document] whose visibility counts
 * @param {typeof setTimeout} [options.setTimeout]
 * @param {typeof clearTimeout} [options.clearTimeout]
 */
export function createClockOffset({
  url,
  now,
  fetch = (...request) => globalThis.fetch(...request),
  monotonic = () => performance.now(),
  document = globalThis.document,
  setTimeout = globalThis.setTimeout.bind(globalThis),
  clearTimeout = globalThis.clearTimeout.bind(globalThis),
}) {
  /** The estimate in use: offset, error, when it was made (monotonic), and how far the page's clock was from the monotonic one then. */
  let best = null;
  let round = null; // the one that runs, a promise
  let request = null; // what ends the request that runs
  let isEnded = false;
  let roundAt = -Infinity;
  let timer = null;
  let onChange = null;
  let failures = 0;

  const isSet = ({ shift }) => Math.abs(now() - monotonic() - shift) > STEP;
  /** An estimate that was made before somebody set this clock says nothing. */
  const current = () => (best !== null && !isSet(best) ? best : null);

  async function ask() {
    request = new AbortController();
    const late = setTimeout(() => request.abort(), PATIENCE);
    try {
      const [sentAt, shift] = [monotonic(), now() - monotonic()];
      const response = await fetch(url, { cache: "no-store", signal: request.signal });
      // The head has come, and the time was told before it. Reading the body is another turn of a page that may be busy.
      const receivedAt = monotonic();
      const { time_ms: time } = await response.json();
      if (!response.ok || !Number.isFinite(time)) throw new TypeError("no time in the answer");
      const half = (receivedAt - sentAt) / 2;
      return { offset: time - (sentAt + half + shift), error: half + RESOLUTION, at: receivedAt, shift };
    } finally {
      clearTimeout(late);
    }
  }

  async function measureRound() {
    roundAt = monotonic();
    let fastest = null;
    for (let asked = 0; asked < REQUESTS && !isEnded; asked += 1) {
      const found = await ask().catch(() => null);
      if (found === null) failures += isEnded ? 0 : 1;
      // The page's clock may have been set within the round.
      else if (!isSet(found) && (fastest === null || found.error < fastest.error)) fastest = found;
    }
    if (fastest === null) return;
    if (!worthKeeping(current(), fastest)) best = fastest;
    onChange?.();
  }

  function measure() {
    isEnded = false;
    round ??= measureRound().finally(() => (round = null));
    return round;
  }

  const waited = () => monotonic() - roundAt;

  function tick() {
    timer = setTimeout(tick, CHECK);
    if (!document.hidden && waited() >= (current() ? PERIOD : PAUSE)) measure();
  }

  function seen() {
    if (!document.hidden && waited() >= PAUSE) measure();
  }

  return {
    /** Ask now: one round, whoever asks meanwhile. It ends without an estimate when no answer can be used. */
    measure,
    /** ms to add to the page's clock to have the server's; 0 when the two agree within the error, or nothing is known. */
    get offset() {
      const estimate = current();
      return estimate && Math.abs(estimate.offset) > estimate.error ? estimate.offset : 0;
    },
    /**
     * ms that the true offset may be away from the measured one: half the round trip, and a ms that clocks do not tell. Infinity when
     * nothing is known.
     */
    get error() {
      return current()?.error ?? Infinity;
    },
    /** The plain estimate in ms, also where it counts as 0; NaN when nothing is known. */
    get measured() {
      return current()?.offset ?? NaN;
    },
    /** How many requests got no answer that can be used. */
    get failures() {
      return failures;
    },
    /**
     * Measure now, every five minutes, when the page is looked at again and when its clock was set; never while it is hidden.
     * @param {() => void} [changed] called after each round that had an answer
     */
    start(changed) {
      onChange = changed;
      document.addEventListener("visibilitychange", seen);
      tick();
    },
    stop() {
      document.removeEventListener("visibilitychange", seen);
      clearTimeout(timer);
      timer = onChange = null;
      isEnded = true;
      request?.abort();
    },
  };
}

/**
 * A slow moment of the network must not replace a good estimate; but clocks part, and when the two contradict each other a clock was set.
 */
function worthKeeping(old, fresh) {
  if (old === null) return false;
  const error = old.error + DRIFT * (fresh.at - old.at);
  return error < fresh.error && Math.abs(old.offset - fresh.offset) <= error + fresh.error;
}
