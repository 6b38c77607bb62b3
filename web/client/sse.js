/**
 * Server-Sent Events through the browser's own EventSource (protocol §1).
 * The browser retries a lost stream by itself and sends its `Last-Event-ID`. Only when it has given up for good (any status but 200), or
 * when the stream has gone silent, is it replaced by a new one, which carries the position in its address. With a `ticket` function it is
 * replaced after each loss: the browser would come back with a ticket that was used.
 */
import { createLink } from "./link.js";
import { parseObject, parseJson } from "./parse.js";
import { dialWithTicket } from "./ticket.js";

const CLOSED = 2; // EventSource.CLOSED, spelled out so that a fake needs no constants

/**
 * @param {{
 *   url: string, stream?: string, position?: string, staleAfter?: number, ticket?: string | (() => string | Promise<string>),
 *   onState: Function, onVerdict: Function, onUpdate: Function, onIgnored?: Function, EventSource?: Function,
 * }} options and those of createLink. `onUpdate(data, position)`, `onVerdict({verdict, position, replaying, missed})`
 */
export function createSse(options) {
  const { url, stream, ticket, onVerdict, onUpdate, onIgnored = () => {}, EventSource = globalThis.EventSource } = options;
  let position = options.position ?? "";
  const fetchesTickets = typeof ticket === "function";
  const link = createLink({
    staleAfter: 30_000,
    ...options,
    dial: (line) => dialWithTicket(url, ticket, line, (address) => dial(address, line)),
  });

  function dial(address, line) {
    const source = new EventSource(streamAddress(address, stream, position));
    let farewell = {};
    const on = (type, act) =>
      source.addEventListener(type, (event) => {
        line.heard();
        position = event.lastEventId || position;
        act(event.data);
      });
    on("verdict", (data) => {
      farewell = {};
      line.live();
      onVerdict(parseObject(data) ?? {});
    });
    on("message", (data) => {
      const update = parseJson(data);
      if (update === undefined) onIgnored("bad_json");
      else onUpdate(update, position);
    });
    on("heartbeat", () => {});
    on("goodbye", (data) => {
      const { reason, retry_ms: retryIn } = parseObject(data) ?? {};
      farewell = { reason, retryIn };
      // A stream that ended because its token did would be asked for again with the same token, for ever.
      if (reason === "token_expired" && !fetchesTickets) line.lost({ reason, reconnect: false });
    });
    source.addEventListener("error", () => {
      if (source.readyState === CLOSED) line.lost({ reason: "refused" });
      else if (fetchesTickets) line.lost({ reason: "connection lost", ...farewell });
      else line.faltered({ reason: "connection lost", ...farewell });
    });
    return () => source.close();
  }

  return {
    open: link.open,
    close: link.close,
    wake: link.wake,
    get state() {
      return link.state;
    },
    get position() {
      return position;
    },
  };
}

/** The stream's address with the cursor in it: a new EventSource cannot set the `Last-Event-ID` header. */
export function streamAddress(url, stream, position) {
  const address = new URL(url);
  if (stream) address.searchParams.set("stream", stream);
  if (position) address.searchParams.set("last_event_id", position);
  return address.href;
}
