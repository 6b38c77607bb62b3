/** A fake of `connectSse` and `connectCable`: clients that report what the test says, in the order of the real ones. */
import { FakeClock } from "./fakes.mjs";

export function fakeConnectors() {
  const all = [];
  const connector = (transport) => (options) => {
    const client = createFakeClient(transport, options);
    all.push(client);
    return client;
  };
  return {
    sse: connector("sse"),
    cable: connector("cable"),
    all,
    get latest() {
      return all.at(-1);
    },
    get open() {
      return all.filter(({ state }) => state !== "closed").map(({ transport }) => transport);
    },
  };
}

function createFakeClient(transport, options) {
  const stats = { updates: 0, duplicates: 0, ignored: 0, reconnects: 0, bytes: 0 };
  return {
    transport,
    options,
    stats,
    state: "connecting",
    position: options.position ?? "",
    reconnected: 0,
    reconnect() {
      this.reconnected += 1;
    },
    close() {
      if (this.state !== "closed") this.is("closed", { reason: "closed" });
    },

    is(state, detail = {}) {
      this.state = state;
      options.onState(state, { transport, ...detail });
    },
    /** Connect: `live`, then the verdict. */
    comes(verdict, position = this.position) {
      if (verdict !== "recovered") this.position = position;
      this.is("live");
      options.onVerdict({ verdict, position: this.position, transport });
    },
    update(id) {
      this.position = `e-${id}`;
      stats.updates += 1;
      stats.bytes += 10;
      options.onUpdate({ id }, { position: this.position, transport, size: 10 });
    },
    /** On plain v1 of Action Cable an update has no position of its own. */
    unnumbered(data) {
      options.onUpdate(data, { position: this.position, transport, size: 10 });
    },
  };
}

/** What a client reports, as short lines. */
export function diary() {
  const lines = [];
  return {
    lines,
    handlers: {
      onState: (state, { transport, reason }) => lines.push([state, transport, reason].filter(Boolean).join(" ")),
      onVerdict: ({ verdict, position }) => lines.push(`${verdict} ${position}`),
      onUpdate: (data, { position }) => lines.push(position),
      onIgnored: (what) => lines.push(`ignored ${what}`),
    },
    /** What has come since the last look. */
    read: () => lines.splice(0),
  };
}

export function createClock() {
  const clock = new FakeClock();
  const { now, setTimeout, clearTimeout } = clock;
  return { clock, platform: { now, setTimeout, clearTimeout, random: () => 0.5 } };
}
