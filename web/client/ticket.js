/** Tickets (docs/protocol.md §6): a server with STREAM_AUTH_SECRET opens its streams to those who have one. */

/**
 * A `ticket` function that asks the server for single-use tickets.
 * @param {string | URL} url of `POST /tickets`
 * @param {import("./index.d.ts").TicketOptions} [options] `token` is the long-lived ticket that allows it
 * @returns {() => Promise<string>}
 */
export function ticketsFrom(url, { streams, token, fetch = globalThis.fetch } = {}) {
  /** @type {Record<string, string>} */
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  return async () => {
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ streams, once: true }) });
    const body = await response.json().catch(() => ({}));
    if (response.ok) return body.ticket;
    // What is not allowed now is not allowed later; a server that is busy or restarting may answer the next attempt.
    const reconnect = response.status === 429 || response.status >= 500;
    throw Object.assign(new Error(body.detail ?? `refused (${response.status})`), { reconnect });
  };
}
