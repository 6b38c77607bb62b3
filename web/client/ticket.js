/**
 * Tickets (protocol §6): a server with STREAM_AUTH_SECRET opens its streams to those who have one. A page cannot send a header with a
 * new EventSource or WebSocket, so a ticket goes into the address: fetch a single-use one for each attempt.
 */

/**
 * Dial with the ticket in the address, once it is there. A function is asked for each attempt; it may return a promise.
 * @param {string} url
 * @param {undefined | string | (() => string | Promise<string>)} ticket
 * @param {{lost: (loss: object) => void}} line
 * @param {(url: string) => () => void} dial returns how to hang up
 */
export function dialWithTicket(url, ticket, line, dial) {
  if (typeof ticket !== "function") return dial(addTicket(url, ticket));
  let over = false;
  let hangUp = () => {};
  Promise.resolve()
    .then(ticket)
    .then(
      (text) => {
        if (!over) hangUp = dial(addTicket(url, text));
      },
      ({ message, reconnect } = {}) => line.lost({ reason: `No ticket: ${message}`, reconnect }),
    )
    // An address that the browser refuses is refused every time.
    .catch((error) => line.lost({ reason: String(error), reconnect: false }));
  return () => {
    over = true;
    hangUp();
  };
}

function addTicket(url, ticket) {
  if (!ticket) return url;
  const address = new URL(url);
  address.searchParams.set("ticket", ticket);
  return address.href;
}

/**
 * A `ticket` function that asks the server for single-use tickets.
 * @param {string} url of `POST /tickets`
 * @param {{streams?: string[], token?: string, fetch?: Function}} [options] `token` is the long-lived ticket that allows it
 */
export function ticketsFrom(url, { streams, token, fetch = globalThis.fetch } = {}) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  return async () => {
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ streams, once: true }) });
    const body = await response.json().catch(() => ({}));
    if (response.ok) return body.ticket;
    const refusal = new Error(body.detail ?? `refused (${response.status})`);
    // What is not allowed now is not allowed later; a server that is busy or restarting may answer the next attempt.
    refusal.reconnect = response.status === 429 || response.status >= 500;
    throw refusal;
  };
}
