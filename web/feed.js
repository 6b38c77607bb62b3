/**
 * A feed is one transport of the page: its client, and all that this has brought. It remembers at once what it is told; the panel and the
 * dashboard draw it when it is time to draw. Pure: the client, the samples and the clocks are handed in.
 */
import { createCompleteness } from "./completeness.js";
import { readUpdate } from "./update.js";

/** A lag beyond this is no lag of a connection: the publisher has written another time than now into the update. In ms. */
const IMPLAUSIBLE_LAG = 600_000;
/** How many arrivals a feed keeps for who begins to read from it: more than the sparklines have places for. */
const KEPT = 200;

let arrived = 0; // updates in this page, over all feeds

/**
 * @typedef {{position: string | undefined, number: number, at: number, figures: object | undefined}} Arrival an update that has come: its
 *   position, which it has none of on plain v1 of Action Cable, and its place in the order of all arrivals of the page
 *
 * @typedef {{now: () => number, wallNow: () => number, serverNow: () => number, error: () => number}} Clocks ms: `now` is never set,
 *   `wallNow` is Unix time here, `serverNow` Unix time at the server, known to +-`error()`
 *
 * @param {{
 *   transport: "sse" | "cable", title: string, position: string, snapshot: unknown, staleAfter: number,
 *   open: (options: object) => object, samples: object, clocks: Clocks, onChange: () => void, onState: () => void,
 * }} options `open` makes a client (web/client) that starts at `position`, which `snapshot` is the update of;
 *   `staleAfter`: the silence in ms that makes it stale
 */
export function createFeed({ transport, title, position, snapshot, staleAfter, open, samples, clocks, onChange, onState }) {
  const { now, wallNow, serverNow } = clocks;
  const completeness = createCompleteness({ now, wallNow });
  const totals = { updates: 0, reconnects: 0, bytes: 0, ignored: 0 }; // of the clients before this one
  let client = null;
  let state = "closed";
  let detail = {};
  let stateAt = now();
  let liveAt = Infinity; // by `now`
  let latest = {}; // status, figures, activities: each the last that an update had
  const arrivals = []; // oldest first
  let reached = position; // by updates and verdicts
  let faults = 0;
  let clocksDiffer = false;

  function keep(reading) {
    const { status, figures, activities } = reading;
    latest = { ...latest, ...(status && { status }), ...(figures && { figures }), ...(activities && { activities }) };
    faults += reading.faults;
  }

  /** The lag in ms; NaN where it is not known, or says nothing about the transport: that of an update which a replay has brought. */
  function lagOf(publishedAt) {
    if (publishedAt === null || isLate(publishedAt)) return NaN;
    const lag = serverNow() - publishedAt;
    clocksDiffer = lag < -1 - clocks.error() || lag > IMPLAUSIBLE_LAG;
    return clocksDiffer ? NaN : Math.max(0, lag);
  }

  /** Older than the connection. Ages are compared, not moments: the clocks of both sides may be set, or their offset found, meanwhile. */
  function isLate(publishedAt) {
    return publishedAt !== null && serverNow() - publishedAt > now() - liveAt;
  }

  function note(at, position, figures) {
    arrived += 1;
    arrivals.push({ position: position === reached ? undefined : position, number: arrived, at, figures });
    if (arrivals.length > KEPT) arrivals.shift();
    reached = position;
  }

  const callbacks = {
    onUpdate(data, { position }) {
      const at = now();
      const reading = readUpdate(data);
      keep(reading);
      note(at, position, reading.figures);
      samples.add(at, lagOf(reading.publishedAt));
      completeness.update(isLate(reading.publishedAt));
      onChange();
    },
    onVerdict(told) {
      liveAt = now();
      reached = told.position;
      samples.found(now());
      completeness.verdict(told);
      onChange();
    },
    onState(next, nextDetail = {}) {
      // Heard again on the same connection: no verdict follows, and nothing has been missed.
      if (next === "live" && state === "stale") completeness.resume();
      if (next !== "live") completeness.lost(next === "stale" || nextDetail.reason === "silence" ? staleAfter : 0);
      if (next !== "live" && next !== "stale") {
        samples.lost(now());
        liveAt = Infinity;
      }
      [state, detail, stateAt] = [next, nextDetail, now()];
      onState();
    },
    onIgnored() {
      onChange();
    },
  };

  function addUp(name) {
    return totals[name] + (client?.stats[name] ?? 0);
  }

  keep({ ...readUpdate(snapshot ?? {}), faults: 0 });

  return {
    transport,
    title,
    samples,
    completeness,
    /** Connect from the last position, unless that is done. A closed client stays closed, so this takes a new one. */
    connect() {
      if (state !== "closed") return;
      position = client?.position || position;
      for (const name of Object.keys(totals)) totals[name] = addUp(name);
      client = null; // its figures are in the totals now, and the new one may call back before `open` has returned
      client = open({ position, ...callbacks });
    },
    disconnect() {
      client?.close();
    },
    /** Drop the connection as a cut cable would. */
    cut() {
      client?.reconnect();
    },
    get state() {
      return state;
    },
    get detail() {
      return detail;
    },
    get isLive() {
      return state === "live";
    },
    get position() {
      return client?.position || position;
    },
    get latest() {
      return latest;
    },
    /** The newest of them, oldest first. @type {Arrival[]} */
    get arrivals() {
      return arrivals;
    },
    /** How old the last update is, in ms; NaN when none has come yet. */
    get age() {
      return now() - (arrivals.at(-1)?.at ?? NaN);
    },
    /** How long it has been in its state, in ms. */
    get stateAge() {
      return now() - stateAt;
    },
    get updates() {
      return addUp("updates");
    },
    get reconnects() {
      return addUp("reconnects");
    },
    get bytes() {
      return addUp("bytes");
    },
    /** Values and frames that made no sense. */
    get notUnderstood() {
      return faults + addUp("ignored");
    },
    get clocksDiffer() {
      return clocksDiffer;
    },
  };
}

/**
 * Choose the feed that the dashboard reads from.
 * @param {object[]} feeds
 * @param {string} choice the name of a transport, or "auto": the one that is read from now as long as it is live, else a live one
 * @param {object | null} current
 */
export function pickFeed(feeds, choice, current) {
  const chosen = feeds.find(({ transport }) => transport === choice);
  if (chosen) return chosen;
  if (current?.isLive) return current;
  return feeds.find(({ isLive }) => isLive) ?? current ?? feeds[0];
}
