/**
 * What the clients of both transports share: one cursor, the figures, and the callbacks of the app. `dial` is the wire, the only thing in
 * which they differ.
 */
import { AddressError, askForAddress } from "./address.js";
import { createTell } from "./callbacks.js";
import { createConnection } from "./connection.js";
import { createCursor } from "./cursor.js";
import { createPlatform } from "./platform.js";

const VERDICTS = ["fresh", "recovered", "gap"];

/**
 * @typedef {import("./index.d.ts").Client} Client
 * @typedef {import("./index.d.ts").ClientOptions} ClientOptions
 * @typedef {{
 *   position: string, heard: () => void,
 *   lost: (loss: {reason?: unknown, retryIn?: unknown, final?: boolean, status?: number}) => void,
 *   verdict: (told: {verdict?: unknown, position?: unknown, missed?: unknown, replaying?: unknown}) => void,
 *   update: (data: unknown, position: string | undefined, size: number) => void,
 *   ignored: (what: string) => void,
 * }} Session what a wire tells of one attempt; `position` is where it has to resume
 * @typedef {(address: URL, session: Session) => () => void} Dial opens a wire and returns how to hang up
 *
 * @param {ClientOptions} options
 * @param {{transport: "sse" | "cable", staleAfter: number, lostAfter: number, createDial: (platform: import("./index.d.ts").Platform) => Dial}} wire
 * @returns {Client}
 */
export function createClient(options, { transport, createDial, ...limits }) {
  const platform = createPlatform(options.platform);
  const cursor = createCursor(options.position);
  const stats = { updates: 0, duplicates: 0, ignored: 0, reconnects: 0, bytes: 0 };
  const dial = createDial(platform);
  const tell = createTell(options);
  let wasLive = false;

  /** @param {import("./connection.js").Line} line @returns {Session} */
  function createSession(line) {
    let told = false;
    /** @type {<T extends unknown[]>(act: (...told: T) => void) => (...told: T) => void} */
    const unlessOver = (act) => (...event) => {
      if (!line.over) act(...event);
    };
    return {
      position: cursor.position,
      heard: line.heard,
      lost: ({ reason, retryIn, ...loss }) =>
        line.lost({ ...loss, reason: typeof reason === "string" ? reason : "lost", retryIn: numberOrNone(retryIn) }),
      verdict: unlessOver(({ verdict, position, missed, replaying }) => {
        // A server without verdicts resumes nothing: what was sent between two connections is lost.
        const known = VERDICTS.includes(/** @type {string} */ (verdict)) ? verdict : wasLive ? "gap" : "fresh";
        // What is replayed comes behind the verdict: until then a recovered client's own position stays the true one.
        if (known !== "recovered") cursor.reset(typeof position === "string" ? position : "");
        if (!told && wasLive) stats.reconnects += 1;
        wasLive = told = true;
        line.live();
        if (line.over) return; // the app has closed it, on being told so
        tell("onVerdict", {
          verdict: /** @type {import("./index.d.ts").Verdict["verdict"]} */ (known),
          position: cursor.position,
          missed: numberOrNone(missed),
          replaying: numberOrNone(replaying),
          transport,
        });
      }),
      update: unlessOver((data, position, size) => {
        stats.bytes += size;
        if (position !== undefined && !cursor.advance(position)) return void (stats.duplicates += 1);
        if (data === undefined) return ignore("bad_json");
        stats.updates += 1;
        tell("onUpdate", data, { position: cursor.position, transport, size });
      }),
      ignored: unlessOver(ignore),
    };
  }

  /** @param {string} what */
  function ignore(what) {
    stats.ignored += 1;
    tell("onIgnored", what);
  }

  const connection = createConnection(platform, {
    ...limits,
    backoffBase: 1000,
    backoffCap: 30_000,
    healthyAfter: 10_000,
    hiddenLimit: 300_000,
    ...numbersOf(options),
    onState: (state, loss) => tell("onState", state, { transport, ...loss }),
    async dial(line) {
      try {
        const address = await askForAddress(options, platform.document?.baseURI ?? globalThis.location?.href);
        if (!line.over) line.hangUp = dial(address, createSession(line));
      } catch (error) {
        const { reason, final, message } = error instanceof AddressError ? error : refusal(error);
        line.lost({ reason, final, message });
      }
    },
  });

  /** An address that the browser refuses is refused every time, unless the app names another one. @param {unknown} error */
  const refusal = (error) => new AddressError("bad_url", error, typeof options.url !== "function");

  return {
    transport,
    close: connection.close,
    reconnect: connection.reconnect,
    get state() {
      return connection.state;
    },
    get position() {
      return cursor.position;
    },
    get stats() {
      return { ...stats };
    },
  };
}

/** @param {unknown} value */
function numberOrNone(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

const TUNED = /** @type {const} */ (["backoffBase", "backoffCap", "healthyAfter", "staleAfter", "lostAfter", "hiddenLimit"]);

/** The times that the app has set. One that is undefined must not replace its default. @param {ClientOptions} options */
function numbersOf(options) {
  return Object.fromEntries(TUNED.map((name) => [name, options[name]]).filter(([, value]) => value !== undefined));
}
