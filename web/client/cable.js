/**
 * A small Action Cable client for one subscription that resumes (protocol §2).
 * It prefers the extended protocol, whose frames carry positions, and hands the last one back when it subscribes again. On plain
 * v1 only the confirmation carries a position: after a reconnect updates may then come twice, but none is missed.
 */
import { createLink } from "./link.js";
import { parseObject } from "./parse.js";
import { dialWithTicket } from "./ticket.js";

export const PROTOCOLS = ["actioncable-v1-ext-json", "actioncable-v1-json"];

/** The server pings every 3 s; two missed mean that nobody is there (as in Rails' own client). In ms. */
const STALE_AFTER = 6000;
/** An unconfirmed subscribe is sent again: the server answers duplicates, and pings alone would keep a deaf connection up. In ms. */
const SUBSCRIBE_AGAIN_AFTER = 3000;
const OPEN = 1; // WebSocket.OPEN, spelled out so that a fake needs no constants

/**
 * @param {{
 *   url: string, identifier: string, position?: string, staleAfter?: number, ticket?: string | (() => string | Promise<string>),
 *   onState: Function, onVerdict: Function, onUpdate: Function, onIgnored?: Function, WebSocket?: Function,
 * }} options and those of createLink. `onUpdate(data, position)`, `onVerdict({verdict, position})`. The identifier is opaque text
 */
export function createCable(options) {
  const { url, identifier, ticket, onVerdict, onUpdate, onIgnored = () => {}, WebSocket = globalThis.WebSocket } = options;
  const { setTimeout = later, clearTimeout = never } = options;
  let position = options.position ?? "";
  const link = createLink({
    staleAfter: STALE_AFTER,
    ...options,
    dial: (line) => dialWithTicket(url, ticket, line, (address) => dial(address, line)),
  });

  function dial(address, line) {
    const socket = new WebSocket(address, PROTOCOLS);
    let confirmed = false;
    let again = null;

    function subscribe() {
      clearTimeout(again);
      if (confirmed || socket.readyState !== OPEN) return;
      socket.send(JSON.stringify({ command: "subscribe", identifier, ...(position && { last_event_id: position }) }));
      again = setTimeout(subscribe, SUBSCRIBE_AGAIN_AFTER);
    }

    function confirm(frame) {
      if (confirmed) return; // the answer to a subscribe that was sent twice
      confirmed = true;
      clearTimeout(again);
      // What is replayed comes after the confirmation: until then a recovered client's own position stays the true one.
      if (frame.verdict !== "recovered") position = frame.position ?? position;
      line.live();
      onVerdict({ verdict: frame.verdict, position: frame.position });
    }

    function receive(frame) {
      position = positionOf(frame) ?? position;
      onUpdate(frame.message, position);
    }

    const answers = {
      welcome: subscribe,
      ping: () => {},
      confirm_subscription: confirm,
      reject_subscription: () => line.lost({ reason: "subscription rejected", reconnect: false }),
      disconnect: (frame) => line.lost(lossOf(frame, typeof ticket === "function")),
      confirm_history: () => {},
      reject_history: () => {},
    };

    socket.onmessage = (event) => {
      line.heard();
      const frame = typeof event.data === "string" ? parseObject(event.data) : undefined;
      if (frame === undefined) return onIgnored("bad_json");
      if ("identifier" in frame && frame.identifier !== identifier) return onIgnored("unknown_identifier");
      if (frame.type === undefined && "message" in frame) return receive(frame);
      if (!Object.hasOwn(answers, frame.type)) return onIgnored("unknown_type");
      answers[frame.type](frame);
    };
    // `error` says nothing that the `close` behind it does not.
    socket.onclose = (event) => line.lost({ reason: `closed (${event.code})` });

    return () => {
      clearTimeout(again);
      socket.onmessage = socket.onclose = null;
      socket.close();
    };
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

/** The position of a data frame of the extended protocol; undefined without the triple (answers to `refresh` have none). */
function positionOf({ epoch, offset }) {
  return epoch === undefined || offset === undefined ? undefined : `${epoch}-${offset}`;
}

/** Who fetches tickets comes back with a new one when the last has ended. */
function lossOf({ reason, reconnect, retry_in: retryIn }, fetchesTickets) {
  const mayReturn = reconnect !== false || (fetchesTickets && reason === "token_expired");
  return { reason: reason ?? "disconnected", retryIn, reconnect: mayReturn };
}

const later = (act, delay) => globalThis.setTimeout(act, delay);
const never = (timer) => globalThis.clearTimeout(timer);
