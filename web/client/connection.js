/**
 * A connection is kept up: opened, watched for silence, opened again after a loss. It is the state machine of both transports, so that
 * a page compares wires and not two ways to reconnect. It knows no wire: `dial` opens one and reports what happens to it.
 *
 *   connecting ──live()──> live <──heard()──> stale (silent for `staleAfter`)
 *       ^                    │                  │
 *       │                    └── lost(), silence for `lostAfter`
 *       └─── delay over ── waiting ── final, close() ──> closed
 */
import { createBackoff } from "./backoff.js";
import { watchPage } from "./page-life.js";

/** A timer this late means that the machine slept or the page was frozen: what was sent meanwhile may still be unread. In ms. */
const GRACE = 2000;
/**
 * What an attempt is granted at least. After failures Chromium holds a WebSocket back for up to 5 s before it asks the server, and one that is
 * given up meanwhile is one more failure to it. In ms.
 */
const LEAST_TO_CONNECT = 10_000;
/** What a server may ask for is taken within these limits: a delay beyond 2^31 ms would make a timer fire at once. In ms. */
const [SHORTEST_HINT, LONGEST_HINT] = [100, 600_000];

/**
 * @typedef {import("./index.d.ts").State} State
 * @typedef {import("./index.d.ts").Loss} Loss
 * @typedef {{over: boolean, hangUp: () => void, heard: () => void, live: () => void, lost: (loss: Loss) => void}} Line
 * one attempt and the wire that came of it. It reports a sign of life, that it is ready, that it has ended; `dial` sets `hangUp`
 *
 * @param {import("./index.d.ts").Platform} platform
 * @param {{
 *   dial: (line: Line) => Promise<void>, onState: (state: State, loss: Partial<Loss>) => void,
 *   staleAfter: number, lostAfter: number, backoffBase: number, backoffCap: number, healthyAfter: number, hiddenLimit: number,
 * }} options all times in ms
 */
export function createConnection(platform, options) {
  const { dial, onState, staleAfter, lostAfter, healthyAfter, hiddenLimit } = options;
  const { now, setTimeout, clearTimeout } = platform;
  const backoff = createBackoff({ base: options.backoffBase, cap: options.backoffCap, random: platform.random });
  /** @type {State} */
  let state = "connecting";
  /** @type {Line | undefined} */
  let line;
  /** @type {unknown} of the watchdog while there is a line, of the next attempt while there is none */
  let timer;
  let heardAt = 0;
  /** @type {number | undefined} */
  let liveSince;
  let paused = false;

  /** @param {State} next @param {Partial<Loss>} [loss] */
  function enter(next, loss = {}) {
    state = next;
    onState(next, loss);
  }

  /** Who was live for long enough starts again with short delays; who is accepted and dropped at once does not. */
  function settle() {
    if (liveSince !== undefined && now() - liveSince >= healthyAfter) backoff.reset();
    liveSince = undefined;
  }

  /** @param {Partial<Loss>} [loss] */
  function connect(loss) {
    drop();
    paused = false;
    const opened = (line = createLine());
    heardAt = now();
    watch();
    enter("connecting", loss);
    // The app may have closed it, or begun another attempt, when it was told.
    if (!opened.over) dial(opened);
  }

  /** What a line reports after it was hung up must not touch its successor. */
  function createLine() {
    /** @type {Line} */
    const created = {
      over: false,
      hangUp() {},
      heard() {
        if (created.over) return;
        heardAt = now();
        if (state === "stale") become("live");
      },
      live() {
        if (created.over) return;
        heardAt = now();
        if (state === "connecting") become("live");
      },
      lost(loss) {
        if (!created.over) lose(loss);
      },
    };
    return created;
  }

  /** @param {"live" | "stale"} next */
  function become(next) {
    settle();
    if (next === "live") liveSince = now();
    state = next; // the watchdog has other limits for it
    watch();
    enter(next);
  }

  /** @param {Loss} loss */
  function lose({ final, retryIn, ...loss }) {
    drop();
    if (final) return end({ ...loss, final });
    const offline = platform.window?.navigator?.onLine === false && { reason: "offline" };
    // A server that says when has not failed: that does not make the delays longer.
    const delay = retryIn === undefined ? backoff.next() : Math.min(Math.max(retryIn, SHORTEST_HINT), LONGEST_HINT);
    // Also without a network: a browser that says so may be wrong, and the server may be on this machine.
    timer = setTimeout(connect, delay);
    enter("waiting", { ...loss, ...offline, retryIn: delay });
  }

  function drop() {
    settle();
    clearTimeout(timer);
    const dropped = line;
    line = undefined;
    if (!dropped) return;
    dropped.over = true;
    dropped.hangUp();
  }

  /** @param {Partial<Loss>} loss */
  function end(loss) {
    drop();
    stopWatching();
    enter("closed", loss);
  }

  // --- the watchdog: one timer that looks at a moment, instead of one set anew per message

  function limit() {
    if (state === "connecting") return Math.max(lostAfter, LEAST_TO_CONNECT);
    return state === "live" ? Math.min(staleAfter, lostAfter) : lostAfter;
  }

  function watch(grace = 0) {
    clearTimeout(timer);
    const due = Math.max(heardAt + limit(), now() + grace);
    timer = setTimeout(() => check(due, grace > 0), Math.min(due - now(), 2 ** 31 - 1));
  }

  /** @param {number} due @param {boolean} again */
  function check(due, again) {
    const silent = now() - heardAt;
    if (silent < limit()) return watch();
    // Twice late is no sleep: in a hidden page each timer is.
    if (!again && now() - due > GRACE) return watch(GRACE);
    if (state === "live" && silent < lostAfter) become("stale");
    else lose({ reason: "silence" });
  }

  // --- the page

  function pause() {
    drop();
    paused = true;
    enter("waiting", { reason: "hidden" });
  }

  /** The page is seen again: do not sit out a delay, nor wait for a sign of life from a connection that has given none for too long. */
  function wake() {
    if (!line || now() - heardAt >= limit() || state === "stale") restart();
  }

  /** @param {Partial<Loss>} [loss] */
  function restart(loss) {
    backoff.reset();
    connect(loss);
  }

  const stopWatching = watchPage(platform, {
    hiddenLimit,
    pause,
    wake,
    // A network that has changed leaves connections of the old one, which look open until the watchdog finds them silent.
    online: () => paused || restart({ reason: "online" }),
  });
  // Not at once, so that the app has what it is about to be told about.
  queueMicrotask(() => state === "connecting" && !line && connect());

  return {
    get state() {
      return state;
    },
    /** Drop the connection, as a cut cable would, and come back at once. */
    reconnect() {
      if (state !== "closed") restart({ reason: "reconnect" });
    },
    /** End it for good. */
    close() {
      if (state !== "closed") end({ reason: "closed" });
    },
  };
}
