/**
 * An EventSource over fetch, for Node and workers, and where headers or the status of a refusal are wanted. It behaves as WHATWG HTML §9.2
 * says, and shows what the browser's own hides: `retry`, and `status` and `message` in the `error` event.
 */
import { createSseParser } from "./sse-parser.js";

const [CONNECTING, OPEN, CLOSED] = /** @type {const} */ ([0, 1, 2]);
/** Of a server that names none, in ms: that of Chromium. */
const DEFAULT_RETRY = 3000;
/** Beyond it a timer would fire at once. In ms. */
const LONGEST_DELAY = 2 ** 31 - 1;

export class FetchEventSource extends EventTarget {
  /** @readonly */ static CONNECTING = CONNECTING;
  /** @readonly */ static OPEN = OPEN;
  /** @readonly */ static CLOSED = CLOSED;
  /** @readonly */ CONNECTING = CONNECTING;
  /** @readonly */ OPEN = OPEN;
  /** @readonly */ CLOSED = CLOSED;

  /** @type {number} */
  readyState = CONNECTING;
  /** What the server's last `retry:` line said, in ms; undefined before. @type {number | undefined} */
  retry;
  /** @type {((event: Event) => void) | null} */
  onopen = null;
  /** @type {((event: MessageEvent) => void) | null} */
  onmessage = null;
  /** Given a FetchErrorEvent. @type {((event: any) => void) | null} */
  onerror = null;

  #options;
  #lastEventId = "";
  #abort = new AbortController();
  /** @type {unknown} */
  #timer;

  /**
   * @param {string | URL} url
   * @param {import("./index.d.ts").FetchEventSourceOptions} [options]
   */
  constructor(url, options = {}) {
    super();
    try {
      this.url = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
    } catch {
      throw new DOMException(`${url} is no URL.`, "SyntaxError");
    }
    this.withCredentials = options.withCredentials ?? false;
    this.#options = {
      headers: {},
      fetch: globalThis.fetch,
      setTimeout: (/** @type {() => void} */ act, /** @type {number} */ delay) => globalThis.setTimeout(act, delay),
      clearTimeout: (/** @type {any} */ timer) => globalThis.clearTimeout(timer),
      ...options,
    };
    this.#connect();
  }

  close() {
    this.readyState = CLOSED;
    this.#options.clearTimeout(this.#timer);
    this.#abort.abort();
  }

  async #connect() {
    const abort = (this.#abort = new AbortController());
    try {
      const response = await this.#ask(abort.signal);
      if (abort.signal.aborted) return;
      const refusal = refusalOf(response);
      if (refusal) {
        abort.abort(); // or the body that nobody reads would hold the connection
        return this.#fail(response.status, refusal);
      }
      this.#open();
      await this.#read(response, abort.signal);
      this.#reestablish(abort.signal, response.status, "The stream has ended.");
    } catch (error) {
      this.#reestablish(abort.signal, undefined, error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {AbortSignal} signal */
  #ask(signal) {
    const { fetch, headers } = this.#options;
    const sent = new Headers(headers);
    sent.set("accept", "text/event-stream");
    // Bytes of UTF-8, as in the browser's own: a header takes no other characters.
    if (this.#lastEventId) sent.set("last-event-id", String.fromCharCode(...new TextEncoder().encode(this.#lastEventId)));
    const credentials = this.withCredentials ? "include" : "same-origin";
    // Not `this.#options.fetch(…)`: the browser's own throws when it is called as the function of another object.
    return fetch(this.url, { headers: sent, credentials, signal, cache: "no-store", redirect: "follow" });
  }

  /** @param {Response} response @param {AbortSignal} signal */
  async #read(response, signal) {
    const { origin } = new URL(response.url || this.url);
    const parser = createSseParser({
      lastEventId: this.#lastEventId,
      onId: (id) => (this.#lastEventId = id),
      onRetry: (ms) => (this.retry = ms),
      // One chunk may hold several events, and a listener may close in the middle.
      onEvent: ({ type, data, lastEventId }) =>
        signal.aborted || this.#emit(new MessageEvent(type, { data, lastEventId, origin }), this.onmessage),
    });
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      parser.feed(value);
    }
  }

  #open() {
    this.readyState = OPEN;
    this.#emit(new Event("open"), this.onopen);
  }

  /** The connection was lost: come back. @param {AbortSignal} signal @param {number | undefined} status @param {string} message */
  #reestablish(signal, status, message) {
    if (signal.aborted) return;
    this.readyState = CONNECTING;
    this.#emitError(status, message);
    // A listener may have closed it.
    if (signal.aborted) return;
    this.#timer = this.#options.setTimeout(() => this.#connect(), Math.min(this.retry ?? DEFAULT_RETRY, LONGEST_DELAY));
  }

  /** The server does not want it: never come back. @param {number} status @param {string} message */
  #fail(status, message) {
    this.readyState = CLOSED;
    this.#emitError(status, message);
  }

  /** @param {number | undefined} status @param {string} message */
  #emitError(status, message) {
    this.#emit(Object.assign(new Event("error"), { status, message }), this.onerror);
  }

  /** @param {any} event @param {((event: any) => void) | null} handler that of the attribute, for its own type of event only */
  #emit(event, handler) {
    if (handler && (event.type === "message" || !(event instanceof MessageEvent))) this.#guard(() => handler.call(this, event));
    this.dispatchEvent(event);
  }

  /** What a handler throws must not end the stream; the listeners of an EventTarget are guarded by itself. @param {() => void} act */
  #guard(act) {
    try {
      act();
    } catch (error) {
      if (typeof reportError === "function") reportError(error);
      else console.error(error);
    }
  }
}

/**
 * Why this answer is no event stream; undefined when it is one.
 * @param {Response} response
 */
function refusalOf({ status, headers, body }) {
  if (status !== 200) return `The server answered with status ${status}.`;
  const type = headers.get("content-type") ?? "";
  if (type.split(";", 1)[0].trim().toLowerCase() !== "text/event-stream") return `The server answered with ${type || "no media type"}.`;
  return body ? undefined : "The answer has no body.";
}
