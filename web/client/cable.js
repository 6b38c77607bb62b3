/**
 * Action Cable with one subscription that resumes (docs/protocol.md §2).
 * It prefers the extended protocol, whose frames carry positions, and hands the last one back when it subscribes again. On plain v1 only
 * the confirmation carries a position: after a reconnect updates may then come twice, but none is missed.
 */
import { createClient } from "./client.js";
import { byteLength, parseObject } from "./json.js";

export const PROTOCOLS = ["actioncable-v1-ext-json", "actioncable-v1-json"];

/** An unconfirmed subscribe is sent again: the server answers duplicates, and pings alone would keep a deaf connection up. In ms. */
const SUBSCRIBE_AGAIN_AFTER = 3000;
/** Who fetches tickets comes back with a new one. @type {unknown[]} */
const MENDED_BY_A_TICKET = ["token_expired", "unauthorized"];
const OPEN = 1; // WebSocket.OPEN, spelled out so that a fake needs no constants

/**
 * @typedef {Record<string, unknown>} Frame
 *
 * Connect, and stay connected until `close()`. The server pings every 3 s; two missed mean that nobody is there (as in Rails' own client).
 * @param {import("./index.d.ts").CableOptions} options
 * @returns {import("./index.d.ts").Client}
 */
export function connectCable(options) {
  const { stream, channel = "DashboardUpdatesChannel" } = options;
  const identifier = JSON.stringify({ channel, stream });
  const comesBack = typeof options.ticket === "function";
  return createClient(options, { transport: "cable", staleAfter: 6000, lostAfter: 9000, createDial });

  /** @param {import("./index.d.ts").Platform} platform @returns {import("./client.js").Dial} */
  function createDial({ WebSocket, setTimeout, clearTimeout }) {
    if (!WebSocket) throw new TypeError("There is no WebSocket here: pass one as platform.WebSocket.");
    return (address, session) => {
      address.protocol = address.protocol.replace("http", "ws");
      const socket = new WebSocket(address.href, PROTOCOLS);
      let confirmed = false;
      /** @type {unknown} */
      let again;

      function subscribe() {
        clearTimeout(again);
        if (confirmed || socket.readyState !== OPEN) return;
        const resume = session.position && { last_event_id: session.position };
        socket.send(JSON.stringify({ command: "subscribe", identifier, ...(resume || {}) }));
        again = setTimeout(subscribe, SUBSCRIBE_AGAIN_AFTER);
      }

      /** @param {Frame} frame */
      function confirm(frame) {
        if (confirmed) return; // the answer to a subscribe that was sent twice
        confirmed = true;
        clearTimeout(again);
        session.verdict(frame);
      }

      /** @param {Frame} frame */
      function disconnect({ reason, reconnect, retry_in: retryIn }) {
        const mended = comesBack && MENDED_BY_A_TICKET.includes(reason);
        session.lost({ reason, retryIn, final: reconnect === false && !mended });
      }

      const nothing = () => {};
      // No object: a type may be anything, and one that is an object would be turned into a text by whatever it says of itself.
      /** @type {Map<unknown, (frame: Frame) => void>} */
      const answers = new Map([
        ["welcome", subscribe],
        ["ping", nothing],
        ["confirm_subscription", confirm],
        ["reject_subscription", () => session.lost({ reason: "rejected", final: true })],
        ["disconnect", disconnect],
        ["confirm_history", nothing],
        ["reject_history", nothing],
      ]);

      socket.onmessage = ({ data }) => {
        session.heard();
        const frame = parseObject(data);
        if (!frame) return session.ignored("bad_json");
        if ("identifier" in frame && frame.identifier !== identifier) return session.ignored("unknown_identifier");
        if (frame.type === undefined && "message" in frame) return session.update(frame.message, positionOf(frame), byteLength(data));
        const answer = answers.get(frame.type);
        if (answer) answer(frame);
        else session.ignored("unknown_type");
      };
      // `error` says nothing that the `close` behind it does not. But under Node one that nobody listens to ends the process, also behind
      // the end of the connection.
      socket.onerror = nothing;
      socket.onclose = ({ code }) => session.lost({ reason: "lost", status: code });

      return () => {
        clearTimeout(again);
        socket.onmessage = socket.onclose = null;
        socket.close();
      };
    };
  }
}

/**
 * The position of a data frame of the extended protocol; undefined without the triple (answers to `refresh` have none).
 * @param {Record<string, unknown>} frame
 */
function positionOf({ epoch, offset }) {
  return typeof epoch === "string" && Number.isSafeInteger(offset) ? `${epoch}-${offset}` : undefined;
}
