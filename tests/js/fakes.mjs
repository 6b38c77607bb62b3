/** Fakes of what a browser provides: a clock that the test moves, a page, and the two kinds of connection. */

export class FakeClock {
  #timers = new Map();
  #names = 0;
  time = 1_000_000;

  now = () => this.time;
  setTimeout = (act, delay) => {
    // The real ones fire at once then, which in a watchdog is a loop without an end.
    if (delay >= 2 ** 31) throw new RangeError(`A timer of ${delay} ms does not fit.`);
    this.#names += 1;
    this.#timers.set(this.#names, { act, due: this.time + Math.max(0, delay) });
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

/** An EventTarget that knows how many listen to it. */
class CountedTarget extends EventTarget {
  listeners = 0;
  addEventListener(...listener) {
    super.addEventListener(...listener);
    this.listeners += 1;
  }
  removeEventListener(...listener) {
    super.removeEventListener(...listener);
    this.listeners -= 1;
  }
  emits(type, more = {}) {
    this.dispatchEvent(Object.assign(new Event(type), more));
  }
}

/** The window and the document of a page that the test shows and hides. */
export class FakePage {
  window = Object.assign(new CountedTarget(), { navigator: { onLine: true } });
  document = Object.assign(new CountedTarget(), { hidden: false, baseURI: "http://host/page" });

  get listeners() {
    return this.window.listeners + this.document.listeners;
  }
  hides() {
    this.document.hidden = true;
    this.document.emits("visibilitychange");
  }
  shows() {
    this.document.hidden = false;
    this.document.emits("visibilitychange");
  }
  goesOffline() {
    this.window.navigator.onLine = false;
    this.window.emits("offline");
  }
  comesOnline() {
    this.window.navigator.onLine = true;
    this.window.emits("online");
  }
}

/** Records what a client reports, in order. */
export function createRecorder() {
  const reported = { states: [], verdicts: [], updates: [], ignored: [] };
  const callbacks = {
    onState: (state, detail) => reported.states.push([state, detail]),
    onVerdict: (verdict) => reported.verdicts.push(verdict),
    onUpdate: (data, detail) => reported.updates.push([data, detail.position]),
    onIgnored: (what) => reported.ignored.push(what),
  };
  return { ...reported, callbacks, last: () => reported.states.at(-1), names: () => reported.states.map(([state]) => state) };
}

export function createFakeWebSocket() {
  return class FakeWebSocket {
    static all = [];
    static get latest() {
      return this.all.at(-1);
    }
    static get open() {
      return this.all.filter(({ readyState }) => readyState < 2).length;
    }

    readyState = 0;
    sent = [];
    onmessage = null;
    onclose = null;
    onerror = null;

    constructor(url, protocols) {
      Object.assign(this, { url: new URL(url), protocols });
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
      if (this.readyState === 0) this.readyState = 1;
      this.onmessage?.({ data: typeof frame === "object" ? JSON.stringify(frame) : frame });
    }
    /** The connection ends with that close code. */
    disconnects(code = 1006) {
      this.readyState = 3;
      this.onclose?.({ code });
    }
  };
}

export function createFakeEventSource() {
  return class FakeEventSource {
    static all = [];
    static get latest() {
      return this.all.at(-1);
    }
    static get open() {
      return this.all.filter(({ readyState }) => readyState < 2).length;
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

    /** `data`: text. */
    receives(type, data, lastEventId = "") {
      if (this.readyState === 0) this.readyState = 1;
      this.#listeners[type]?.({ data, lastEventId });
    }
    /** `readyState` 0: the stream has ended; 2: it was refused. */
    fails(readyState = 0, more = {}) {
      this.readyState = readyState;
      this.#listeners.error?.(more);
    }
  };
}
