/** Fakes of what a browser provides: a clock that the test moves, and the two kinds of connection. */

export class FakeClock {
  #timers = new Map();
  #names = 0;
  time = 1_000_000;

  now = () => this.time;
  setTimeout = (act, delay) => {
    this.#names += 1;
    this.#timers.set(this.#names, { act, due: this.time + delay });
    return this.#names;
  };
  clearTimeout = (name) => this.#timers.delete(name);

  /** Move the time by `ms`; timers fire when they are due. */
  advance(ms) {
    const end = this.time + ms;
    for (let next = this.#next(end); next; next = this.#next(end)) {
      const [name, { act, due }] = next;
      this.#timers.delete(name);
      this.time = Math.max(this.time, due);
      act();
    }
    this.time = end;
  }

  /** Move the time as a sleep of the machine does: timers that were due fire late, all at once. */
  sleep(ms) {
    this.time += ms;
    this.advance(0);
  }

  get pending() {
    return this.#timers.size;
  }

  #next(end) {
    const due = [...this.#timers].filter(([, timer]) => timer.due <= end);
    return due.sort(([, a], [, b]) => a.due - b.due)[0];
  }
}

/** The clock and randomness that a client is given. `random` is 0.5 unless a test sets it. */
export function surroundings(clock, more = {}) {
  const { now, setTimeout, clearTimeout } = clock;
  return { now, setTimeout, clearTimeout, random: () => 0.5, isHidden: () => false, ...more };
}

/** Records what a client reports, in order. */
export function recorder() {
  const reported = { states: [], verdicts: [], updates: [], ignored: [] };
  const handlers = {
    onState: (state, loss) => reported.states.push([state, loss]),
    onVerdict: (verdict) => reported.verdicts.push(verdict),
    onUpdate: (data, position) => reported.updates.push([data, position]),
    onIgnored: (what) => reported.ignored.push(what),
  };
  return { ...reported, handlers, last: () => reported.states.at(-1) };
}

export function fakeWebSocket() {
  return class FakeWebSocket {
    static all = [];
    static get latest() {
      return this.all.at(-1);
    }

    readyState = 0;
    sent = [];
    onmessage = null;
    onclose = null;

    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      this.constructor.all.push(this);
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.readyState = 3;
    }

    /** A frame arrives: an object as its JSON. */
    receives(frame) {
      this.readyState = 1;
      this.onmessage?.({ data: typeof frame === "object" ? JSON.stringify(frame) : frame });
    }
    /** The connection ends with that close code. */
    disconnects(code = 1006) {
      this.readyState = 3;
      this.onclose?.({ code });
    }
  };
}

export function fakeEventSource() {
  return class FakeEventSource {
    static all = [];
    static get latest() {
      return this.all.at(-1);
    }

    readyState = 0;
    #listeners = {};

    constructor(url) {
      this.url = new URL(url);
      this.constructor.all.push(this);
    }
    addEventListener(type, act) {
      this.#listeners[type] = act;
    }
    close() {
      this.readyState = 2;
    }

    receives(type, data, lastEventId = "") {
      this.readyState = 1;
      this.#listeners[type]?.({ data: typeof data === "string" ? data : JSON.stringify(data), lastEventId });
    }
    /** `readyState` 0: the browser tries again by itself; 2: it has given up. */
    fails(readyState) {
      this.readyState = readyState;
      this.#listeners.error?.({});
    }
  };
}
