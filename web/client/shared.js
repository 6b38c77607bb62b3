/**
 * One connection for all tabs of an origin: in a SharedWorker, or in the tab that holds a lock, or, where there is neither, one for each.
 * This is a tab's side. It has a cursor of its own and takes an update only if it has the one before: what it misses it asks for, so that it
 * does not matter which tab leads, when that changes, and what was on its way meanwhile. What the host no longer has the tab fetches over a
 * connection of its own, until it has what the host still has.
 */
import { checkTransport, connect } from "./auto.js";
import { createTell } from "./callbacks.js";
import { createCursor, isBehind } from "./cursor.js";
import { watchPage } from "./page-life.js";
import { createPlatform } from "./platform.js";
import { createHost, wake } from "./shared-host.js";
import { openLocks } from "./shared-locks.js";
import { openPort } from "./shared-port.js";
import { createTail } from "./tail.js";

/**
 * How often a tab looks whether it has heard from the host, in ms, and how many looks in vain mean that there is none. Counted in looks and
 * not in time: while a page was frozen or the machine slept nobody could be heard.
 */
const [LOOK_EVERY, LOOKS_IN_VAIN] = [4000, 3];

/**
 * @typedef {import("./index.d.ts").State} State
 * @typedef {import("./index.d.ts").StateDetail} StateDetail
 * @typedef {import("./index.d.ts").Verdict} Verdict
 * @typedef {{role: "worker" | "leader" | "follower", send: (message: any) => void, revive: (join: () => void) => void, close: () => void}} Link
 * to the host
 *
 * @param {import("./index.d.ts").SharedOptions} options
 * @returns {import("./index.d.ts").SharedClient}
 */
export function connectShared(options) {
  const platform = createPlatform({ ...sharingOf(globalThis), ...options.platform });
  const { setTimeout, clearTimeout, document } = platform;
  const tell = createTell(options);
  const cursor = createCursor(options.position);
  const tail = createTail(options.position);
  const stats = { updates: 0, duplicates: 0, ignored: 0, reconnects: 0, bytes: 0 };
  // Whether this tab is seen or kept for the Back button says nothing about the others: it leaves and comes, the connection stays.
  const ofConnection = { ...options, url: absoluteUrl(options.url, document), platform: { ...options.platform, document: undefined } };
  const name = `dashboard-rt 1 ${options.name ?? `${typeof options.url === "function" ? "" : options.url} ${options.stream}`}`;
  /** @type {State} */
  let state = "connecting";
  /** @type {import("./index.d.ts").Transport} */
  let transport = options.transport === "sse" || options.prefer === "sse" ? "sse" : "cable";
  /** @type {Link | undefined} */
  let link;
  /** @type {import("./index.d.ts").SwitchingClient | undefined} a connection of this tab alone */
  let own;
  /** @type {string | undefined} the name of the host that was heard last */
  let host;
  let reconnects = 0; // of that host
  let joined = false; // whether what the host sends continues what this tab has
  /** @type {string | undefined} the oldest position from which the host has all updates, where this tab's is older */
  let start;
  let announced = false; // whether the app was told a verdict since this tab came
  let looks = 0; // since the host was heard
  /** @type {unknown} of the next look */
  let timer;

  // --- coming and going

  function come() {
    if (state === "closed") return;
    if (link) return link.send({ type: "wake" });
    if (own) return wake(own);
    try {
      link = OPENERS[ways[0]]?.();
    } catch {
      return fail(); // a worker that is not of this origin, a page without storage
    }
    if (!link) return openOwn();
    join();
    look();
  }

  const { createWorker, locks, BroadcastChannel } = platform;
  /** @type {Record<string, () => Link>} */
  const OPENERS = {
    ...(createWorker && { worker: () => openPort(createWorker, name, ofConnection, { ask, receive, fail }) }),
    ...(locks &&
      BroadcastChannel && { locks: () => openLocks(name, { locks, BroadcastChannel }, { lead, receive, resigned: join, fail }) }),
  };
  const ways = Object.keys(OPENERS).filter((way) => (options.sharing ?? way) === way);

  /** @param {(message: any) => void} emit */
  const lead = (emit) => createHost(ofConnection, tail, emit);

  /** This way of sharing does not work here. */
  function fail() {
    part();
    ways.shift();
    come();
  }

  function part() {
    clearTimeout(timer);
    joined = announced = false;
    start = host = undefined;
    looks = reconnects = 0;
    link?.close();
    link = undefined;
    dropOwn();
  }

  function leave() {
    if (state === "closed") return;
    part();
    enter("waiting", { transport, reason: "hidden" });
  }

  /** @param {StateDetail} detail */
  function end(detail) {
    part();
    stopWatching();
    enter("closed", detail);
  }

  function look() {
    timer = setTimeout(() => {
      look();
      looks = link?.role === "leader" ? 0 : looks + 1;
      if (looks > LOOKS_IN_VAIN) revive();
      else if (looks > 1) link?.send({ type: "ping" });
    }, LOOK_EVERY);
  }

  /** The host does not answer: its worker has crashed, its tab hangs. */
  function revive() {
    looks = 0;
    enter("connecting", { transport, reason: "silence" });
    link?.revive(join);
  }

  // --- what the host says

  function join() {
    joined = false;
    link?.send({ type: "join", position: cursor.position });
  }

  /** @param {any} message */
  function receive(message) {
    looks = 0;
    if (message.host !== host) {
      host = message.host;
      reconnects = 0;
      if (message.type !== "welcome") return join();
    }
    if (Object.hasOwn(HEARD, message.type)) HEARD[message.type](message);
  }

  /** @type {Record<string, (message: any) => void>} */
  const HEARD = {
    welcome(message) {
      count(message);
      if (message.updates) return meet(message);
      start = message.start;
      if (start !== undefined && !own) openOwn();
      else if (!own) follow(message);
    },
    state(message) {
      count(message);
      if (message.state === "closed") end(message.detail);
      else if (!own) enter(message.state, message.detail);
    },
    verdict({ verdict, before }) {
      if (!joined && (own || isBehind(cursor.position, before))) return join();
      joined = true;
      judge(verdict);
    },
    update({ entry }) {
      if (joined) take(entry);
    },
    ignored({ what }) {
      if (joined) ignore(what);
    },
  };

  /** The host has all that is new to this tab. @param {any} message */
  function meet({ state: next, detail, verdict, updates }) {
    dropOwn();
    joined = true;
    follow({ state: next, detail });
    const up = next === "live" || next === "stale";
    if (!cursor.position) reset(verdict.position);
    else if (announced || !up) verdict = undefined; // it was told, or the server has yet to say
    if (verdict) pronounce({ ...verdict, transport });
    for (const entry of updates) if (joined) take(entry);
  }

  /** @param {Verdict} verdict */
  function judge(verdict) {
    if (verdict.verdict === "recovered") return cursor.position ? pronounce(verdict) : join();
    // What the host has missed this tab has: another one led when it came.
    if (cursor.position && !isBehind(cursor.position, verdict.position)) return pronounce({ ...verdict, verdict: "recovered" });
    reset(verdict.position);
    pronounce(verdict);
  }

  /** @param {import("./tail.js").Entry} entry */
  function take(entry) {
    const { after, position, data, size } = entry;
    // On plain v1 of Action Cable updates come without positions: the connection's stays where it was.
    const numbered = position !== after;
    if (numbered && isBehind(cursor.position, after)) return join(); // the one before it is missing
    stats.bytes += size;
    if (numbered && !cursor.advance(position)) return void (stats.duplicates += 1);
    tail.push(entry);
    stats.updates += 1;
    tell("onUpdate", data, { position: cursor.position, transport: entry.transport, size });
  }

  // --- a connection of this tab alone: where nothing can be shared, or until it has caught up

  function openOwn() {
    /** @type {<T extends unknown[]>(act: (...reported: T) => void) => (...reported: T) => void} */
    const ifOwn = (act) => (...reported) => own === opened && act(...reported);
    const opened = connect({
      ...ofConnection,
      position: cursor.position,
      onState: ifOwn((next, detail) => (next === "closed" ? end(detail) : enter(next, detail))),
      onVerdict: ifOwn((verdict) => {
        if (verdict.verdict !== "recovered") reset(verdict.position);
        pronounce(verdict);
        rejoin();
      }),
      onUpdate: ifOwn((data, detail) => {
        take({ ...detail, data, after: cursor.position });
        rejoin();
      }),
      onIgnored: ifOwn(ignore),
    });
    own = opened;
  }

  function rejoin() {
    if (!link || start === undefined || isBehind(cursor.position, start)) return;
    start = undefined;
    join();
  }

  function dropOwn() {
    const dropped = own;
    own = undefined;
    if (!dropped) return;
    stats.reconnects += dropped.stats.reconnects;
    dropped.close();
  }

  // --- what the app is told

  /** @param {State} next @param {StateDetail} detail */
  function enter(next, detail) {
    state = next;
    transport = detail.transport;
    tell("onState", next, detail);
  }

  /** Unless the app knows. @param {{state: State, detail: StateDetail}} message */
  function follow({ state: next, detail }) {
    if (next !== state || detail.transport !== transport) enter(next, detail);
  }

  /** @param {string} position */
  function reset(position) {
    cursor.reset(position);
    if (tail.head !== position) tail.reset(position);
  }

  /** @param {Verdict} verdict */
  function pronounce(verdict) {
    announced = true;
    tell("onVerdict", verdict);
  }

  /** @param {string} what */
  function ignore(what) {
    stats.ignored += 1;
    tell("onIgnored", what);
  }

  /** @param {{reconnects: number}} message */
  function count(message) {
    stats.reconnects += Math.max(0, message.reconnects - reconnects);
    reconnects = message.reconnects;
  }

  /** What a worker cannot call it asks for. @param {string} what */
  const ask = async (what) => /** @type {any} */ (ofConnection)[what]();

  const stopWatching = watchPage(platform, { hiddenLimit: options.hiddenLimit ?? 300_000, pause: leave, wake: come, online() {} });
  // Not at once: what is told has to come after this function has returned.
  queueMicrotask(come);

  return {
    get state() {
      return state;
    },
    get position() {
      return cursor.position;
    },
    get transport() {
      return transport;
    },
    get role() {
      return own || !link ? "alone" : link.role;
    },
    get stats() {
      return { ...stats, reconnects: stats.reconnects + (own?.stats.reconnects ?? 0) };
    },
    /** Of the connection that all share. */
    reconnect() {
      if (own) own.reconnect();
      else link?.send({ type: "reconnect" });
    },
    /** All tabs go over. @param {"sse" | "cable"} next */
    switchTo(next) {
      checkTransport(next);
      if (own) own.switchTo(next);
      else link?.send({ type: "switch", transport: next });
    },
    /** The other tabs keep the connection; with the last one it ends. */
    close() {
      if (state !== "closed") end({ transport, reason: "closed" });
    },
  };
}

/**
 * For a worker relative addresses would start from another place.
 * @param {import("./index.d.ts").SharedOptions["url"]} url
 * @param {{baseURI?: string} | undefined} document
 */
function absoluteUrl(url, document) {
  /** @param {string | URL} relative */
  const absolute = (relative) => new URL(relative, document?.baseURI ?? globalThis.location?.href).href;
  if (typeof url === "function") return async () => absolute(await url());
  return url === undefined ? undefined : absolute(url);
}

/** What the browser has for sharing. The worker is spelled so that bundlers see its file. @param {typeof globalThis} browser */
function sharingOf({ SharedWorker: there, BroadcastChannel, navigator }) {
  /** @param {string} name */
  const createWorker = (name) => new SharedWorker(new URL("./shared-worker.js", import.meta.url), { type: "module", name });
  return { BroadcastChannel, locks: navigator?.locks, createWorker: there && createWorker };
}
