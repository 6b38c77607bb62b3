/**
 * How long to wait before the next attempt: full jitter, so that clients cut off together come back apart.
 * Pure but for its attempt count: randomness is handed in.
 * Source: "Exponential Backoff And Jitter" (AWS Architecture Blog), `random(0, min(cap, base * 2^attempt))`.
 *
 * @param {{base?: number, cap?: number, random?: () => number}} [options] base and cap in ms
 */
export function createBackoff({ base = 1000, cap = 30_000, random = Math.random } = {}) {
  let attempt = 0;
  return {
    /** The next delay in ms; each call doubles the range, up to the cap. */
    next() {
      const range = Math.min(cap, base * 2 ** attempt);
      attempt += 1;
      return Math.round(random() * range);
    },
    /** To be called once a connection has proved healthy, not as soon as it opens: a server that accepts and drops would be hammered. */
    reset() {
      attempt = 0;
    },
  };
}
