/**
 * Server-Sent Events (docs/protocol.md §1), through the browser's own EventSource or a replacement such as FetchEventSource.
 *
 * After each loss the EventSource is replaced, and the position goes into the address of the next. The browser's own retries are not
 * used: they come after a fixed time without jitter, for ever with the ticket that was used up, and not at all after any status but 200.
 */
import { createClient } from "./client.js";
import { byteLength, parseJson, parseObject } from "./json.js";

const [OPEN, CLOSED] = [1, 2]; // of EventSource, spelled out so that a fake needs no constants
/** Statuses after which coming back is of no use, where the EventSource tells them: 204 is how a server ends one (WHATWG HTML §9.2). */
const FINAL = /** @type {Record<number, string>} */ ({ 204: "ended", 401: "unauthorized", 403: "unauthorized" });

/**
 * Connect, and stay connected until `close()`. The heartbeat comes every 15 s.
 * @param {import("./index.d.ts").ClientOptions} options
 * @returns {import("./index.d.ts").Client}
 */
export function connectSse(options) {
  const comesBack = typeof options.ticket === "function";
  return createClient(options, { transport: "sse", staleAfter: 20_000, lostAfter: 30_000, createDial });

  /** @param {import("./index.d.ts").Platform} platform @returns {import("./client.js").Dial} */
  function createDial({ EventSource }) {
    if (!EventSource) throw new TypeError("There is no EventSource here: pass one, such as FetchEventSource, as platform.EventSource.");
    return (address, session) => {
      const source = new EventSource(streamAddress(address, options.stream, session.position));
      listen(source, session);
      return () => source.close();
    };
  }

  /** @param {import("./index.d.ts").EventSourceLike} source @param {import("./client.js").Session} session */
  function listen(source, session) {
    /** @param {string} type @param {(event: MessageEvent) => void} act */
    const on = (type, act) =>
      source.addEventListener(type, (event) => {
        session.heard();
        act(/** @type {MessageEvent} */ (event));
      });
    /** @type {unknown} what the `retry:` line said: a script sees none of the browser's own, so the server says it again */
    let retry;
    on("open", () => {});
    on("heartbeat", () => {});
    on("verdict", ({ data }) => {
      const told = parseObject(data) ?? {};
      retry = told.retry_ms ?? retry;
      session.verdict(told);
    });
    on("message", ({ data, lastEventId }) => session.update(parseJson(data), lastEventId || undefined, byteLength(data)));
    on("goodbye", ({ data }) => {
      const { reason, retry_ms: retryIn } = parseObject(data) ?? {};
      // A stream that ended because its ticket did would be asked for again with the same one, for ever.
      session.lost({ reason, retryIn, final: reason === "token_expired" && !comesBack });
    });
    source.addEventListener("error", (event) => {
      // An event that the server has named so.
      if (source.readyState === OPEN) return session.ignored("unknown_type");
      const { status } = /** @type {{status?: number}} */ (event);
      const refused = source.readyState === CLOSED;
      const final = refused && status !== undefined && Object.hasOwn(FINAL, status) && (status === 204 || !comesBack);
      const reason = final ? FINAL[status] : refused ? "refused" : "lost";
      session.lost({ reason, status, final, retryIn: /** @type {{retry?: number}} */ (source).retry ?? retry });
    });
  }
}

/**
 * The stream's address with the cursor in it: a new EventSource cannot set the header `Last-Event-ID`.
 * @param {URL} address @param {string | undefined} stream @param {string} position
 */
function streamAddress(address, stream, position) {
  if (stream) address.searchParams.set("stream", stream);
  if (position) address.searchParams.set("last_event_id", position);
  return address.href;
}
