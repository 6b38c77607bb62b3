/**
 * A world for shared connections: one server with one log, and one browser whose tabs have Web Locks, a BroadcastChannel and a SharedWorker.
 * What is sent is delivered when the test says so, in order per sender and receiver and otherwise in any order. A tab may crash or hang.
 */
import { FakeClock } from "./fakes.mjs";

/** A log that a fake EventSource reads, by the one rule of protocol §1. */
export function createServer({ maxReplay = 1000 } = {}) {
  const open = new Set();
  const server = {
    epoch: "e",
    last: 0,
    refusing: false,
    open,
    get connections() {
      return open.size;
    },
    opened: 0,
    addresses: [],
    publish(times = 1) {
      for (let n = 0; n < times; n += 1) {
        server.last += 1;
        for (const source of open) source.sends("message", { n: server.last }, server.last);
      }
    },
    /** Each connection breaks. */
    cut() {
      for (const source of [...open]) source.breaks();
    },
    answer(source, position) {
      if (server.refusing) return source.breaks();
      server.opened += 1;
      open.add(source);
      const [epoch, id] = [position.split("-")[0], Number(position.split("-")[1])];
      const from = !position || epoch !== server.epoch || server.last - id > maxReplay ? Math.max(0, server.last - 1) : id;
      const verdict = !position ? "fresh" : from === id && epoch === server.epoch ? "recovered" : "gap";
      source.sends("verdict", { verdict, position: `${server.epoch}-${from}`, replaying: server.last - from }, from);
      for (let n = from + 1; n <= server.last; n += 1) source.sends("message", { n }, n);
    },
    leave: (source) => open.delete(source),
  };
  return server;
}

class CountingTarget extends EventTarget {
  listening = 0;
  addEventListener(...named) {
    this.listening += 1;
    super.addEventListener(...named);
  }
  removeEventListener(...named) {
    this.listening -= 1;
    super.removeEventListener(...named);
  }
}

/** One pair's messages stay in order. */
export function createBrowser(server) {
  const clock = new FakeClock();
  const lines = new Map(); // "from>to" -> tasks
  const held = []; // requests for locks, in order; the first holds
  const tabs = [];
  let names = 0;

  function post(from, to, act) {
    const line = `${from.name}>${to.name}`;
    if (!lines.has(line)) lines.set(line, []);
    lines.get(line).push({ to, act });
  }

  /** Deliver one message; `choose(count, names)` picks the line, whose name is `from>to`. */
  function deliver(choose = () => 0) {
    const ready = [...lines].filter(([, tasks]) => tasks.length > 0 && !tasks[0].to.hanging);
    if (ready.length === 0) return false;
    const { to, act } = ready[choose(ready.length, ready.map(([name]) => name))][1].shift();
    if (!to.dead) act();
    return true;
  }

  /** What is on its way to a tab is lost. */
  function lose(tab) {
    for (const tasks of lines.values()) if (tasks[0]?.to === tab) tasks.length = 0;
  }

  /** Until nothing is on its way and no promise is pending. */
  async function settle(choose) {
    for (let idle = 0; idle < 3; idle += 1) {
      await new Promise(setImmediate);
      while (deliver(choose)) {
        idle = 0;
        await new Promise(setImmediate);
      }
    }
  }

  const network = { name: "network" };

  function fakeEventSource(owner) {
    return class {
      readyState = 0;
      listeners = {};
      constructor(url) {
        if (owner.dead) return;
        server.addresses.push(new URL(url));
        owner.sources.add(this);
        post(owner, network, () => owner.dead || this.readyState === 2 || server.answer(this, new URL(url).searchParams.get("last_event_id") ?? ""));
      }
      addEventListener(type, act) {
        this.listeners[type] = act;
      }
      sends(type, data, id) {
        const lastEventId = id === undefined ? "" : `${server.epoch}-${id}`;
        post(network, owner, () => this.readyState === 2 || this.listeners[type]?.({ data: JSON.stringify(data), lastEventId }));
      }
      breaks() {
        server.leave(this);
        post(network, owner, () => {
          if (this.readyState === 2) return;
          this.readyState = 2;
          this.listeners.error?.({});
        });
      }
      close() {
        this.readyState = 2;
        server.leave(this);
        owner.sources.delete(this);
      }
    };
  }

  function fakeBroadcastChannel(owner) {
    return class {
      onmessage = null;
      constructor(name) {
        this.name = name;
        owner.channels.add(this);
      }
      postMessage(data) {
        if (!owner.channels.has(this)) throw new Error("InvalidStateError: the channel is closed");
        const copy = structuredClone(data);
        for (const tab of tabs) {
          for (const channel of tab.channels) {
            if (channel !== this && channel.name === this.name) post(owner, tab, () => tab.channels.has(channel) && channel.onmessage?.({ data: copy }));
          }
        }
      }
      close() {
        owner.channels.delete(this);
      }
    };
  }

  function grant(name) {
    const [first] = held.filter((request) => request.name === name);
    if (!first || first.granted) return;
    first.granted = true;
    post(network, first.owner, async () => {
      if (!held.includes(first)) return;
      try {
        await first.act({ name });
        first.resolve();
      } catch (error) {
        first.reject(error);
      }
      release(first);
    });
  }

  function release(request) {
    const at = held.indexOf(request);
    if (at >= 0) held.splice(at, 1);
    grant(request.name);
  }

  function fakeLocks(owner) {
    return {
      request(name, { signal, steal }, act) {
        return new Promise((resolve, reject) => {
          const request = { name, owner, act, resolve, reject };
          if (owner.dead) return;
          if (steal) {
            const holder = held.find((each) => each.name === name && each.granted);
            if (holder) {
              held.splice(held.indexOf(holder), 1);
              post(network, holder.owner, () => holder.reject(new DOMException("stolen", "AbortError")));
            }
            held.unshift(request);
          } else held.push(request);
          signal?.addEventListener("abort", () => {
            if (request.granted) return;
            release(request);
            reject(signal.reason);
          });
          grant(name);
        });
      },
    };
  }

  /** @param {object} connect `connectShared`, and its options */
  function openTab(connect, options = {}) {
    names += 1;
    const tab = { name: `tab${names}`, dead: false, hanging: false, channels: new Set(), sources: new Set(), timers: new Set(), log: [], updates: [], started: options };
    tabs.push(tab);
    const page = { window: new CountingTarget(), document: Object.assign(new CountingTarget(), { hidden: false, baseURI: "https://host/page/" }) };
    const platform = {
      ...page,
      now: clock.now,
      random: () => 0.5,
      setTimeout(act, delay) {
        const fire = () => tab.timers.delete(timer) && act();
        const timer = clock.setTimeout(() => (tab.hanging ? post(network, tab, fire) : fire()), delay);
        tab.timers.add(timer);
        return timer;
      },
      clearTimeout(timer) {
        tab.timers.delete(timer);
        clock.clearTimeout(timer);
      },
      EventSource: fakeEventSource(tab),
      BroadcastChannel: fakeBroadcastChannel(tab),
      locks: fakeLocks(tab),
      createWorker: undefined,
    };
    return Object.assign(tab, page, {
      platform,
      client: connect({
        transport: "sse",
        onState: (state, { reason }) => tab.log.push(reason ? `${state} ${reason}` : state),
        onVerdict: ({ verdict, position }) => tab.log.push(`${verdict} ${position}`),
        onUpdate(data, { position }) {
          tab.updates.push(data.n);
          if (data.n && position !== `${server.epoch}-${data.n}`) throw new Error(`${data.n} came as ${position}`);
        },
        ...options,
        platform: { ...platform, ...options.platform },
      }),
      /** As when its process is killed: nothing of it goes on, its lock is free. */
      crash() {
        tab.dead = true;
        tabs.splice(tabs.indexOf(tab), 1);
        tab.channels.clear();
        for (const source of tab.sources) server.leave(source);
        for (const timer of tab.timers) clock.clearTimeout(timer);
        tab.timers.clear();
        for (const request of held.filter(({ owner }) => owner === tab)) release(request);
      },
      see(hidden) {
        tab.document.hidden = hidden;
        tab.document.dispatchEvent(new Event("visibilitychange"));
      },
      read: () => tab.log.splice(0),
    });
  }

  return {
    clock,
    deliver,
    lose,
    settle,
    openTab,
    post,
    fakeEventSource,
    network,
    get locks() {
      return held.length;
    },
  };
}
