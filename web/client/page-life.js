/**
 * The life of the page that a connection belongs to: seen or hidden, frozen, in the back-forward cache, with or without a network.
 * It knows no connection; it says when to pause, when to come back, and when the network has changed.
 * Sources: WHATWG HTML §7.4.6 (page visibility, pagehide), the Page Lifecycle draft of the WICG (freeze, resume).
 */

/**
 * @param {import("./index.d.ts").Platform} platform
 * @param {{hiddenLimit: number, pause: () => void, wake: () => void, online: () => void}} options `hiddenLimit` in ms
 * @returns {() => void} ends it: no listener and no timer stays
 */
export function watchPage({ window, document, setTimeout, clearTimeout }, { hiddenLimit, pause, wake, online }) {
  /** @type {unknown} */
  let timer;
  /** @type {[EventTarget, string, EventListener][]} */
  const listeners = [];

  /** @param {EventTarget | undefined} target @param {string} type @param {EventListener} act */
  function listen(target, type, act) {
    if (!target) return;
    target.addEventListener(type, act);
    listeners.push([target, type, act]);
  }

  function look() {
    clearTimeout(timer);
    if (!document?.hidden) wake();
    // A longer delay does not fit a timer, which would then fire at once.
    else if (hiddenLimit < 2 ** 31) timer = setTimeout(pause, hiddenLimit);
  }

  listen(window, "online", online);
  listen(window, "pagehide", pause);
  // Only from the back-forward cache: the event of an ordinary load comes behind the first attempt.
  listen(window, "pageshow", (event) => /** @type {PageTransitionEvent} */ (event).persisted && wake());
  listen(document, "visibilitychange", look);
  listen(document, "freeze", pause);
  // Thawed but still hidden: only who is never to pause comes back before it is seen.
  listen(document, "resume", () => (!document?.hidden || hiddenLimit === Infinity) && wake());
  if (document?.hidden) look();

  return () => {
    clearTimeout(timer);
    for (const [target, type, act] of listeners.splice(0)) target.removeEventListener(type, act);
  };
}
