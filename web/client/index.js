/** The clients of dashboard-rt for browsers, workers and Node. */
export { connect } from "./auto.js";
export { connectCable } from "./cable.js";
export { FetchEventSource } from "./fetch-event-source.js";
export { connectShared } from "./shared.js";
export { connectSse } from "./sse.js";
export { ticketsFrom } from "./ticket.js";
