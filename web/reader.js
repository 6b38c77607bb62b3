/**
 * What the dashboard shows: the updates of the feed that it reads from, each once and in order. It has one cursor for all feeds
 * (docs/protocol.md §3), so that to read from another one loses and doubles nothing: of what that feed has brought, the part behind the cursor
 * is taken. Pure.
 */
import { isBehind } from "./client/cursor.js";

/**
 * @typedef {import("./feed.js").Arrival} Arrival
 *
 * @param {{position: string, latest: object, onFigures: (figures: object, at: number) => void}} options where it starts, and what is known
 *   there; `onFigures` is told those of each update, with the moment of its arrival
 */
export function createReader({ position: cursor, latest, onFigures }) {
  /** @type {Arrival | undefined} the last that was taken */
  let taken;

  /** @param {Arrival} arrival */
  function isNew({ position, number }) {
    const isLater = number > (taken?.number ?? 0);
    if (!position) return isLater;
    // Neither of two positions of different epochs is the later one: only the order of arrival is left then.
    return isBehind(cursor, position) && (isLater || !isBehind(position, cursor));
  }

  return {
    /** Take what a feed has brought since. @param {{arrivals: Arrival[], latest: object}} feed */
    take(feed) {
      let known = feed.arrivals.length;
      while (known > 0 && isNew(feed.arrivals[known - 1])) known -= 1;
      for (const arrival of feed.arrivals.slice(known)) {
        taken = arrival;
        cursor = arrival.position ?? cursor;
        latest = feed.latest;
        if (arrival.figures) onFigures(arrival.figures, arrival.at);
      }
    },
    /** Status, figures and activities: each the last that an update had. */
    get latest() {
      return latest;
    },
    /** When the newest update has come, by the clock of the feeds; NaN before any. */
    get takenAt() {
      return taken?.at ?? NaN;
    },
  };
}
