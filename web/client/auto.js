/**
 * One client over either transport: which of the two carries the updates may change in mid-stream, and the cursor goes along (protocol §3).
 * It knows no wire: SSE and cable bring their own reconnecting and page life; this decides which of them is heard.
 *
 * Make before break: the next transport starts at the cursor while the one before goes on, and takes over with its verdict, in the turn in
 * which the other is closed. What the old one delivered meanwhile is replayed by the new one, and dropped by its position. The other way
 * round a switch would stop the updates for as long as the new transport needs, and for good where it is blocked.
 */
import { connectCable } from "./cable.js";
import { createTell } from "./callbacks.js";
import { createCursor } from "./cursor.js";
import { createPlatform } from "./platform.js";
import { connectSse } from "./sse.js";

const OTHER = /** @type {const} */ ({ sse: "cable", cable: "sse" });
const COUNTED = /** @type {const} */ (["duplicates", "ignored", "reconnects", "bytes"]);

/** An attempt that ended so says nothing about its transport: over the other one the server, or the page, would say the same. */
const FAULTS_OF_OTHERS = ["offline", "hidden", "full", "server_restart", "too_slow", "unavailable", "no_url", "no_ticket"];

/**
 * @typedef {import("./index.d.ts").Transport} Transport
 * @typedef {import("./index.d.ts").State} State
 * @typedef {import("./index.d.ts").StateDetail} StateDetail
 * @typedef {{
 *   transport: Transport, wanted: boolean, state: State, over: boolean, position: string, client: import("./index.d.ts").Client,
 * }} Attempt a client of one transport. `wanted`: by the app; `over`: no longer heard; `position`: that of its last update
 *
 * @param {import("./index.d.ts").ConnectOptions} options
 * @param {Record<Transport, (options: import("./index.d.ts").ClientOptions) => import("./index.d.ts").Client>} [connectors] for tests
 * @returns {import("./index.d.ts").SwitchingClient}
 */
export function connect(options, connectors = { sse: connectSse, cable: connectCable }) {
  const { transport = "auto", prefer = "cable", fallbackAfter = 5000 } = options;
  const { setTimeout, clearTimeout } = createPlatform(options.platform);
  const tell = createTell(options);
  const automatic = transport === "auto";
  const cursor = createCursor(options.position);
  /** @type {Set<Transport>} */
  const refused = new Set(); // the transports of which the server has said that coming back is of no use
  const stats = { updates: 0, duplicates: 0, ignored: 0, reconnects: 0, bytes: 0 }; // of the clients that were closed, and ours
  /** @type {State} */
  let state = "connecting";
  /** @type {Attempt} the one that is heard */
  let current;
  /** @type {Attempt | undefined} the one that takes over as soon as it is live */
  let candidate;
  /** @type {unknown} when a candidate is due, or has taken too long */
  let timer;

  // --- a client of one transport, and what it reports

  /** @param {Transport} transport */
  function open(transport, wanted = false) {
    /** @type {<T extends unknown[]>(act: (one: Attempt, ...told: T) => void) => (...told: T) => void} */
    const ifHeard = (act) => (...told) => opened.over || act(opened, ...told);
    const { position } = cursor;
    const client = connectors[transport]({
      ...options,
      url: addressOf(options, transport),
      position,
      onState: ifHeard(changed),
      onVerdict: ifHeard(judged),
      onUpdate: ifHeard(received),
      onIgnored: ifHeard((_, what) => tell("onIgnored", what)),
    });
    /** @type {Attempt} */
    const opened = { transport, wanted, state: "connecting", over: false, position, client };
    return opened;
  }

  /** @param {Attempt} one */
  function retire(one) {
    one.over = true;
    const last = one.client.stats;
    for (const name of COUNTED) stats[name] += last[name];
    one.client.close();
  }

  /** @param {Attempt} one @param {State} next @param {StateDetail} detail */
  function changed(one, next, detail) {
    const before = one.state;
    one.state = next;
    if (next === "closed") refused.add(one.transport);
    if (one !== candidate) return next === "closed" ? refuse(detail) : follow(one, before, detail);
    if (next === "waiting" || next === "closed") drop(detail.reason);
  }

  /** @param {Attempt} one @param {State} before @param {StateDetail} detail */
  function follow(one, before, detail) {
    const next = one.state;
    if (next === "live" && !candidate?.wanted) drop();
    enter(next, detail);
    // Who was told may have closed or switched.
    if (!automatic || candidate || one.over) return;
    clearTimeout(timer);
    if (next === "connecting") timer = setTimeout(tryOther, fallbackAfter);
    if (next === "waiting" && before === "connecting" && !FAULTS_OF_OTHERS.includes(detail.reason ?? "")) tryOther();
  }

  /** @param {StateDetail} detail */
  function refuse(detail) {
    const next = OTHER[current.transport];
    if (automatic && !refused.has(next)) return takeOver(candidate ?? open(next), "fallback");
    finish();
    enter("closed", detail);
  }

  /** @param {Attempt} one @param {import("./index.d.ts").Verdict} verdict */
  function judged(one, verdict) {
    if (one === candidate) {
      // The old one misses nothing: to switch must not make a gap.
      if (isUp() && cursor.position && verdict.verdict !== "recovered") return drop("gap");
      takeOver(one, one.wanted ? "switched" : "fallback");
    }
    if (verdict.verdict !== "recovered") {
      cursor.reset(verdict.position);
      one.position = verdict.position;
    }
    tell("onVerdict", verdict);
  }

  /** @param {Attempt} one @param {unknown} data @param {import("./index.d.ts").UpdateDetail} details */
  function received(one, data, details) {
    // On plain v1 of Action Cable updates come without positions: the client's own stays where it was, and nothing can be dropped by it.
    const numbered = details.position !== one.position;
    one.position = details.position;
    if (numbered && !cursor.advance(details.position)) return void (stats.duplicates += 1);
    stats.updates += 1;
    tell("onUpdate", data, details);
  }

  // --- from one to the other

  const isUp = () => current.state === "live" || current.state === "stale";

  function tryOther(wanted = false) {
    const next = OTHER[current.transport];
    if (candidate) candidate.wanted ||= wanted;
    else if (wanted || !refused.has(next)) {
      clearTimeout(timer);
      timer = setTimeout(() => drop("timeout"), fallbackAfter);
      candidate = open(next, wanted);
    }
  }

  /** The old one goes on. @param {string} [cause] */
  function drop(cause) {
    if (!candidate) return;
    const { wanted } = candidate;
    clearTimeout(timer);
    retire(candidate);
    candidate = undefined;
    if (wanted) enter(state, { reason: "switch_failed", cause });
  }

  /** @param {Attempt} next @param {string} reason */
  function takeOver(next, reason) {
    clearTimeout(timer);
    retire(current);
    current = next;
    candidate = undefined;
    stats.reconnects += 1;
    enter(current.state, { reason });
  }

  function finish() {
    clearTimeout(timer);
    retire(current);
    if (candidate) retire(candidate);
    candidate = undefined;
  }

  // --- what the app is told

  /** @param {State} next @param {Partial<StateDetail>} detail */
  function enter(next, detail) {
    state = next;
    tell("onState", next, { ...detail, transport: current.transport });
  }

  function total() {
    const all = { ...stats };
    for (const one of [current, candidate]) {
      const more = one && !one.over ? one.client.stats : undefined;
      for (const name of COUNTED) all[name] += more?.[name] ?? 0;
    }
    return all;
  }

  current = open(automatic ? prefer : transport);
  return {
    get state() {
      return state;
    },
    get position() {
      return cursor.position;
    },
    /** The one that is heard. */
    get transport() {
      return current.transport;
    },
    get stats() {
      return total();
    },
    reconnect() {
      drop("reconnect");
      current.client.reconnect();
    },
    /**
     * Go over to a transport in mid-stream. While the one before is up it goes on until the other is live, and if that does not succeed in
     * `fallbackAfter`: `onState` says `switched` or `switch_failed`. To switch to where one is takes back a switch that is under way.
     * @param {"sse" | "cable"} next
     */
    switchTo(next) {
      checkTransport(next);
      if (state === "closed") return;
      if (next === current.transport) drop("switched");
      else if (isUp()) tryOther(true);
      else takeOver(candidate ?? open(next), "switched"); // there is nothing to keep: it need not prove itself first
    },
    close() {
      if (state === "closed") return;
      finish();
      enter("closed", { reason: "closed" });
    },
  };
}

/** @param {string} name */
export function checkTransport(name) {
  if (!Object.hasOwn(OTHER, name)) throw new TypeError(`There is no transport ${name}: switch to "sse" or "cable".`);
}

/**
 * The address of a transport below `url`; a path that names a server of its own is one already.
 * @param {import("./index.d.ts").ConnectOptions} options
 * @param {Transport} transport
 */
function addressOf({ url = "", ssePath = "/dashboard/stream", cablePath = "/cable" }, transport) {
  const path = transport === "sse" ? ssePath : cablePath;
  /** @param {string | URL} base */
  const below = (base) => (/^([\w+.-]+:)?\/\//.test(path) ? path : String(base).replace(/\/+$/, "") + path);
  return typeof url === "function" ? async () => below(await url()) : below(url);
}
