/**
 * A link keeps one connection up: it dials, watches for silence, and dials again after a loss.
 * It knows no wire: `dial` opens a connection and reports what happens to it. Both transports share it, so that the page compares
 * wires and not two ways to reconnect.
 */
import { createBackoff } from "./backoff.js";

/** What a link can be in. `connecting` is the first attempt; after a loss, waiting and trying are both `reconnecting`. */
export const STATES = ["connecting", "live", "reconnecting", "stopped"];

/** A timer this late means the machine slept or the tab was throttled: what was sent meanwhile may still be unread. In ms. */
const GRACE = 2000;

/**
 * @typedef {{
 *   heard: () => void, live: () => void,
 *   faltered: (loss?: Loss) => void, lost: (loss?: Loss) => void,
 * }} Line what a dialled connection reports: a sign of life; ready; broken but retrying by itself; broken
 * @typedef {{reason?: string, retryIn?: number, reconnect?: boolean}} Loss retryIn in ms; without it the backoff decides
 *
 * @param {{
 *   dial: (line: Line) => () => void, onState: (state: string, loss: Loss) => void, staleAfter: number,
 *   base?: number, cap?: number, healthyAfter?: number, random?: () => number, now?: () => number,
 *   setTimeout?: Function, clearTimeout?: Function, isHidden?: () => boolean,
 * }} options `dial` returns how to hang up; all times in ms
 */
export function createLink(options) {
  const { dial, onState, staleAfter, healthyAfter, now, setTimeout, clearTimeout, isHidden } = { ...DEFAULTS, ...options };
  const backoff = createBackoff(options);
  let state = "stopped";
  let hangUp = null;
  let retryTimer = null;
  let watchTimer = null;
  let lastHeard = 0;
  let liveSince = null;

  function enter(next, loss = {}) {
    state = next;
    onState(next, loss);
  }

  function attempt() {
    clearTimeout(retryTimer);
    retryTimer = null;
    lastHeard = now();
    watch();
    const call = {};
    hangUp = () => (call.over = true);
    const line = lineOf(call);
    try {
      const close = dial(line);
      if (call.over) return close(); // it failed while it was being dialled
      hangUp = () => {
        call.over = true;
        close();
      };
    } catch (error) {
      // An address the browser refuses is refused every time: retrying would only hide the sentence.
      line.lost({ reason: String(error), reconnect: false });
    }
  }

  /** A hung-up connection may still deliver events; they must not touch its successor. */
  function lineOf(call) {
    const ifCurrent = (act) => (loss) => {
      if (!call.over) act(loss);
    };
    return { heard: ifCurrent(heard), live: ifCurrent(live), faltered: ifCurrent(faltered), lost: ifCurrent(lost) };
  }

  function heard() {
    lastHeard = now();
  }

  function live() {
    heard();
    if (state === "live") return;
    liveSince = now();
    enter("live");
  }

  function settle() {
    if (liveSince !== null && now() - liveSince >= healthyAfter) backoff.reset();
    liveSince = null;
  }

  function faltered(loss) {
    settle();
    enter("reconnecting", loss);
  }

  function lost({ reason, retryIn, reconnect = true } = {}) {
    settle();
    drop();
    if (!reconnect) return enter("stopped", { reason });
    const delay = retryIn ?? backoff.next();
    retryTimer = setTimeout(attempt, delay);
    enter("reconnecting", { reason, retryIn: delay });
  }

  function drop() {
    clearTimeout(watchTimer);
    clearTimeout(retryTimer);
    retryTimer = null;
    hangUp?.();
    hangUp = null;
  }

  // One timer that looks at a timestamp, instead of one set anew per message.
  function watch() {
    clearTimeout(watchTimer);
    const due = lastHeard + staleAfter;
    watchTimer = setTimeout(() => check(due), due - now());
  }

  function check(due) {
    if (now() - lastHeard < staleAfter) return watch();
    if (!isHidden() && now() - due < GRACE) return lost({ reason: "silence" });
    lastHeard = now() - staleAfter + GRACE;
    watch();
  }

  return {
    get state() {
      return state;
    },
    /** Connect, unless already at it. */
    open() {
      if (state !== "stopped") return;
      enter("connecting");
      attempt();
    },
    /** Disconnect and stay so. */
    close(reason) {
      if (state === "stopped") return;
      settle();
      drop();
      enter("stopped", { reason });
    },
    /** Something good happened (the network is back, the tab is seen again): do not sit out a pending delay. */
    wake() {
      if (retryTimer === null) return;
      backoff.reset();
      attempt();
    },
  };
}

const DEFAULTS = {
  healthyAfter: 10_000,
  // Not Date.now(): a clock that is set back by an hour would keep the watchdog asleep for as long. Where performance.now() stands
  // still while the machine sleeps, so do the timers: the watchdog then counts waking time, and a connection that was lost during
  // the sleep is noticed `staleAfter` behind its end, if the browser has not reported it before.
  now: () => performance.now(),
  // Wrapped: called as bare functions of another object, the browser's own throw "Illegal invocation".
  setTimeout: (act, delay) => globalThis.setTimeout(act, delay),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
  isHidden: () => globalThis.document?.hidden ?? false,
};
