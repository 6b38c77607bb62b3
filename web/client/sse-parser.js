/**
 * An event stream, from bytes to events (WHATWG HTML §9.2.5 and §9.2.6). Pure: it knows no connection.
 */

const DIGITS = /^[0-9]+$/;
const [LF, CR] = ["\n", "\r"];

/**
 * @typedef {{type: string, data: string, lastEventId: string}} StreamEvent
 *
 * @param {{
 *   lastEventId?: string, onEvent: (event: StreamEvent) => void, onId?: (id: string) => void, onRetry?: (ms: number) => void,
 * }} options `lastEventId`: that of the connection before, which holds until the stream names another. `onId`: a block has ended, and this
 * is the id to come back with; called before the block's event, if it has one
 */
export function createSseParser({ lastEventId = "", onEvent, onId = () => {}, onRetry = () => {} }) {
  // It drops the one byte order mark that may come first, and holds back the bytes of an unfinished character.
  const decoder = new TextDecoder();
  let line = ""; // the part of a line that has come
  let endedByCr = false; // a line feed that follows belongs to the same end
  let id = lastEventId;
  let type = "";
  /** @type {string[]} */
  let data = [];

  function dispatch() {
    onId(id);
    const event = { type: type || "message", data: data.join(LF), lastEventId: id };
    const empty = data.length === 0;
    type = "";
    data = [];
    if (!empty) onEvent(event);
  }

  /** @param {string} text */
  function take(text) {
    if (text === "") return dispatch();
    const colon = text.indexOf(":");
    if (colon === 0) return; // a comment
    const [name, rest] = colon < 0 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1)];
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (name === "data") data.push(value);
    else if (name === "event") type = value;
    else if (name === "id" && !value.includes("\0")) id = value;
    else if (name === "retry" && DIGITS.test(value)) onRetry(Number(value));
  }

  /** Only the new text is searched, so that a long line which comes in small pieces costs no more than another. @param {string} text */
  function split(text) {
    let start = 0;
    if (endedByCr && text[0] === LF) start = 1;
    if (text !== "") endedByCr = false;
    for (let at = start; at < text.length; at += 1) {
      const end = text[at];
      if (end !== LF && end !== CR) continue;
      const whole = line + text.slice(start, at);
      line = "";
      // At once, not when the next character has come: that may take until the next event.
      if (end === CR && at + 1 === text.length) endedByCr = true;
      else if (end === CR && text[at + 1] === LF) at += 1;
      start = at + 1;
      take(whole);
    }
    line += text.slice(start);
  }

  return {
    /**
     * Take the next bytes of the stream. What is unfinished when it ends is never dispatched, as the standard demands.
     * @param {Uint8Array} bytes
     */
    feed(bytes) {
      split(decoder.decode(bytes, { stream: true }));
    },
  };
}
