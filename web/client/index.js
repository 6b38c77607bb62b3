/** The clients of dashboard-rt for browsers, workers and Node. */
export { connectCable } from "./cable.js";
export { connectSse } from "./sse.js";
export { ticketsFrom } from "./ticket.js";
