/**
 * Tabs that share a connection without a worker: the one that holds a lock leads (Web Locks), and they talk over a BroadcastChannel.
 * The browser gives the lock to the next one as soon as the leader closes or crashes. A leader that hangs keeps it: see `revive`.
 */

/**
 * @typedef {import("./shared-host.js").Host} Host
 *
 * @param {string} name
 * @param {Required<Pick<import("./index.d.ts").Platform, "BroadcastChannel" | "locks">>} platform
 * @param {{receive: (message: any) => void, lead: (emit: (message: any) => void) => Host, resigned: () => void, fail: () => void}} tab
 * `lead` makes the host of this tab; `resigned`: another tab has taken the lock away; `fail`: this page may not use locks
 */
export function openLocks(name, { BroadcastChannel, locks }, { receive, lead, resigned, fail }) {
  const me = Math.random().toString(36).slice(2);
  const channel = new BroadcastChannel(name);
  /** @type {Host | undefined} */
  let host;
  /** @type {AbortController | undefined} ends the request for the lock, or gives it back */
  let waiting;
  let over = false;

  function request(steal = false) {
    waiting?.abort();
    const controller = (waiting = new AbortController());
    // One that steals gets the lock at once, and takes no signal.
    const options = steal ? { steal } : { signal: controller.signal };
    locks.request(name, options, () => hold(controller)).catch((error) => lose(controller, error));
  }

  /** Lead until the promise is settled. @param {AbortController} controller */
  function hold(controller) {
    if (over || controller.signal.aborted) return;
    host = lead((message) => {
      if (over) return;
      channel.postMessage(message);
      receive(message);
    });
    return new Promise((resolve) => controller.signal.addEventListener("abort", resolve));
  }

  /**
   * The request was aborted by us, or the lock was stolen by a tab that has not heard from us for long.
   * @param {AbortController} controller @param {Error} error
   */
  function lose(controller, error) {
    if (over || controller.signal.aborted) return;
    if (error.name !== "AbortError") return fail();
    host?.close();
    host = undefined;
    request();
    resigned();
  }

  channel.onmessage = ({ data }) => {
    if (data.from) return host?.receive(data, (message) => channel.postMessage({ ...message, to: data.from }));
    if (!host && (!data.to || data.to === me)) receive(data);
  };
  request();

  return {
    /** @returns {"leader" | "follower"} */
    get role() {
      return host ? "leader" : "follower";
    },
    /** @param {any} message to the host */
    send(message) {
      if (host) host.receive(message, receive);
      else channel.postMessage({ ...message, from: me });
    },
    /** The leader does not answer. It may hang for ever, and the browser takes the lock from nobody who lives. */
    revive() {
      request(true);
    },
    close() {
      over = true;
      host?.close();
      host = undefined;
      channel.close();
      waiting?.abort();
    },
  };
}
