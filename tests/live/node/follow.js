// Runs stock clients, and ours beside them, and prints what happens to them, one JSON object a line:
//   {"at": <ms since the start>, "client": NAME, "event": "connected" | "disconnected" | "message" | …, …}
//
//   node follow.js '[{"name": "rails", "kind": "rails", "url": "ws://…/cable", "stream": "s", "quiet": 60000}]'
//
// `kind` is rails, anycable-v1, anycable-ext or, with the address of the stream, eventsource or ours.
// `quiet` (ms): print "quiet-over" that long after the first connect.
// `options` are those of createCable; with `issue` ({url, token}) their token is a short-lived ticket from there; with `refreshed`, a token,
// anycable comes back with that one when its own has expired.
// `tickets`: one for each attempt of ours.
// The clients are used unchanged; only the globals that they expect of a browser are provided.
import { WebSocket } from "ws"
import { createCable } from "@anycable/core"
import { EventSource } from "eventsource"

globalThis.addEventListener ??= () => {}
globalThis.removeEventListener ??= () => {}
globalThis.document ??= { visibilityState: "visible" }
globalThis.self ??= globalThis

const { adapters, createConsumer } = await import("@rails/actioncable")
const { connectSse, FetchEventSource } = await import("../../../web/client/index.js")
adapters.WebSocket = WebSocket

const CHANNEL = "DashboardUpdatesChannel"
const started = performance.now()

const reporter = client => (event, more = {}) =>
  console.log(JSON.stringify({ at: performance.now() - started, client: client.name, event, ...more }))

function once(action) {
  let done = false
  return () => {
    if (!done) action()
    done = true
  }
}

function rails(client, report, connected) {
  const consumer = createConsumer(client.url)
  consumer.subscriptions.create({ channel: CHANNEL, stream: client.stream }, {
    connected: ({ reconnected } = {}) => { report("connected", { reconnected }); connected() },
    disconnected: () => report("disconnected"),
    rejected: () => report("rejected"),
    received: message => report("message", { message }),
  })
}

function anycable(protocol, client, report, connected) {
  const tokenRefresher = client.refreshed && (async transport => transport.setToken(client.refreshed))
  const cable = createCable(client.url, {
    protocol, websocketImplementation: WebSocket, logLevel: "error", tokenRefresher, ...client.options,
  })
  cable.on("disconnect", event => report("disconnected", { reason: event?.reason }))
  cable.on("close", event => report("closed", { reason: event?.reason }))
  const channel = cable.subscribeTo(CHANNEL, { stream: client.stream })
  channel.on("connect", ({ reconnect, restored } = {}) => { report("connected", { reconnected: reconnect, restored }); connected() })
  channel.on("message", message => report("message", { message }))
  channel.on("info", info => report("info", { info }))
  channel.on("close", event => report("rejected", { reason: event?.reason }))
}

function eventSource(client, report, connected) {
  const source = new EventSource(client.url)
  source.addEventListener("verdict", ({ data }) => { report("connected", JSON.parse(data)); connected() })
  source.addEventListener("message", ({ data }) => report("message", { message: JSON.parse(data) }))
  source.addEventListener("goodbye", ({ data }) => report("goodbye", JSON.parse(data)))
  source.addEventListener("error", ({ code }) =>
    report(source.readyState === EventSource.CLOSED ? "closed" : "disconnected", { code }))
}

function ours(client, report, connected) {
  // Not with the document that stock clients are given, which has no events.
  const platform = { EventSource: FetchEventSource, window: undefined, document: undefined }
  connectSse({
    url: client.url, ticket: client.tickets && (() => client.tickets.shift()), platform, backoffBase: 100,
    onVerdict: verdict => { report("connected", verdict); connected() },
    onUpdate: message => report("message", { message }),
    onState: (state, { reason, status }) => (state === "waiting" || state === "closed") &&
      report(state === "waiting" ? "disconnected" : "closed", { reason, code: status }),
  })
}

const KINDS = {
  "rails": rails,
  "anycable-v1": anycable.bind(null, "actioncable-v1-json"),
  "anycable-ext": anycable.bind(null, "actioncable-v1-ext-json"),
  "eventsource": eventSource,
  "ours": ours,
}

/** A ticket that is over in a second is asked for here: Node itself may need longer to start. */
async function issueTicket({ url, token }) {
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ once: false, ttl: 1 }) })
  return (await response.json()).ticket
}

for (const client of JSON.parse(process.argv[2])) {
  if (client.issue) client.options.auth.token = await issueTicket(client.issue)
  const report = reporter(client)
  const connected = once(() => client.quiet && setTimeout(report, client.quiet, "quiet-over"))
  KINDS[client.kind](client, report, connected)
}
