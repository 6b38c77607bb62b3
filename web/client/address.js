/**
 * The address of one attempt: where to, and the ticket that opens it. Either may be a function, which is asked for each attempt; it may
 * return a promise.
 * A page cannot send a header with a new EventSource or WebSocket, so the ticket goes into the address (docs/protocol.md §6).
 */

/** An address that could not be had. `reason` as in `onState`; `final`: another attempt would not help. */
export class AddressError extends Error {
  /** @param {string} reason @param {unknown} cause @param {boolean} final */
  constructor(reason, cause, final) {
    super(cause instanceof Error ? cause.message : String(cause));
    this.reason = reason;
    this.final = final;
  }
}

/**
 * @param {Pick<import("./index.d.ts").ClientOptions, "url" | "ticket">} options
 * @param {string | undefined} base of relative addresses
 * @returns {Promise<URL>}
 * @throws {AddressError}
 */
export async function askForAddress({ url, ticket }, base) {
  const place = await ask(url, "no_url");
  const text = await ask(ticket, "no_ticket");
  let address;
  try {
    address = new URL(place, base);
  } catch (error) {
    throw new AddressError("bad_url", error, typeof url !== "function");
  }
  if (text) address.searchParams.set("ticket", text);
  return address;
}

/**
 * @template T
 * @param {T | (() => T | Promise<T>)} value
 * @param {string} reason
 * @returns {Promise<T>}
 */
async function ask(value, reason) {
  try {
    return typeof value === "function" ? await /** @type {() => T | Promise<T>} */ (value)() : value;
  } catch (error) {
    // Who knows that another attempt is of no use says so with `reconnect: false`, as `ticketsFrom` does.
    throw new AddressError(reason, error, /** @type {{reconnect?: boolean} | undefined} */ (error)?.reconnect === false);
  }
}
