/** What the browser provides, in one object, so that tests and Node can hand in something else. */

/** @typedef {import("./index.d.ts").Platform} Platform */

/**
 * @param {Partial<Platform>} [given] replaces any part
 * @returns {Platform}
 */
export function createPlatform(given) {
  return {
    // Not Date.now(): a clock that is set back by an hour would keep the watchdog asleep for as long. Where performance.now() stands
    // still while the machine sleeps, so do the timers: the watchdog then counts waking time, and a connection that was lost during
    // the sleep is noticed `lostAfter` behind its end, if the browser has not reported it before.
    now: () => performance.now(),
    random: Math.random,
    // Wrapped: called as bare functions of another object, the browser's own throw "Illegal invocation".
    setTimeout: (act, delay) => globalThis.setTimeout(act, delay),
    clearTimeout: (timer) => globalThis.clearTimeout(/** @type {number} */ (timer)),
    WebSocket: globalThis.WebSocket,
    EventSource: globalThis.EventSource,
    // A worker has these events too, and is no window; Node has none.
    window: typeof globalThis.addEventListener === "function" ? globalThis : undefined,
    document: globalThis.document,
    ...given,
  };
}
