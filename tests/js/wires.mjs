/** Both transports behind one set of verbs, so that what they share is tested once and holds for both. */
import { connectCable } from "../../web/client/cable.js";
import { connectSse } from "../../web/client/sse.js";
import { createFakeEventSource, createFakeWebSocket, createRecorder, FakeClock, FakePage } from "./fakes.mjs";

export const IDENTIFIER = '{"channel":"DashboardUpdatesChannel","stream":"s"}';

/** What was promised has been done. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

const sse = {
  name: "sse",
  connect: connectSse,
  staleAfter: 20_000,
  lostAfter: 30_000,
  createKind: createFakeEventSource,
  tells: (source, verdict, position) => source.receives("verdict", JSON.stringify({ verdict, position, missed: null }), position),
  updates: (source, data, position) => source.receives("message", JSON.stringify(data), position),
  beats: (source) => source.receives("heartbeat", "{}", ""),
  breaks: (source) => source.fails(),
  leaves: (source, reason, retryIn) => source.receives("goodbye", JSON.stringify({ reason, retry_ms: retryIn })),
  resumesFrom: (source) => source.url.searchParams.get("last_event_id"),
};

const cable = {
  name: "cable",
  connect: connectCable,
  staleAfter: 6000,
  lostAfter: 9000,
  createKind: createFakeWebSocket,
  tells(socket, verdict, position) {
    socket.receives({ type: "welcome" });
    socket.receives({ identifier: IDENTIFIER, type: "confirm_subscription", verdict, position });
  },
  updates(socket, message, position) {
    const [epoch, id] = position.split("-");
    socket.receives({ identifier: IDENTIFIER, message, stream_id: "s", epoch, offset: Number(id) });
  },
  beats: (socket) => socket.receives({ type: "ping", message: 1 }),
  breaks: (socket) => socket.disconnects(),
  leaves: (socket, reason, retryIn) => socket.receives({ type: "disconnect", reason, reconnect: true, retry_in: retryIn }),
  resumesFrom(socket) {
    if (!socket.sent.length) socket.receives({ type: "welcome" });
    return socket.sent[0].last_event_id ?? null;
  },
};

export const WIRES = [sse, cable];

/** A client on fakes, before its first attempt. `more` are options; `more.platform` replaces parts of the platform. */
export function create(wire, { platform, ...more } = {}) {
  const clock = new FakeClock();
  const page = new FakePage();
  const reported = createRecorder();
  const Kind = wire.createKind();
  const { now, setTimeout, clearTimeout } = clock;
  const client = wire.connect({
    url: "http://host/path",
    stream: "s",
    ...reported.callbacks,
    ...more,
    platform: {
      now, setTimeout, clearTimeout, random: () => 0.5, window: page.window, document: page.document,
      EventSource: Kind, WebSocket: Kind, ...platform,
    },
  });
  /** Move the time, and let what was promised meanwhile be done. */
  async function advance(ms) {
    clock.advance(ms);
    await settle();
  }
  return { clock, page, reported, client, Kind, advance };
}

/** One at its first attempt. */
export async function start(wire, more) {
  const parts = create(wire, more);
  await settle();
  return parts;
}

/** A client that is live at `position`. */
export async function startLive(wire, more, position = "k3f9-7") {
  const parts = await start(wire, more);
  wire.tells(parts.Kind.latest, "fresh", position);
  return parts;
}
