/**
 * Whether all updates of a stream have come, from the verdicts that a client is told, and in words. Pure: both clocks are handed in.
 */
import { clock, count, duration } from "./format.js";

/**
 * @param {{now: () => number, wallNow: () => number}} clocks ms: `now` of a clock that is never set (for durations), `wallNow` Unix time
 *   (for times of day)
 */
export function createCompleteness({ now, wallNow }) {
  let since = null; // Unix ms from which on nothing is missing; null before the first verdict
  let known = null; // ms of `now` at which the last update or verdict came
  let leftAt = null; // ms of `now` at which the connection was lost, or last heard
  let gaps = 0;
  let missedUpdates = 0; // of the gaps whose size the server could tell
  let uncounted = 0;
  let missedMs = 0;
  let caughtUp = 0;

  function restart() {
    since = wallNow();
  }

  function noteGap(missed) {
    gaps += 1;
    if (Number.isFinite(missed)) missedUpdates += missed;
    else uncounted += 1;
    missedMs += Math.max(0, now() - (leftAt ?? known ?? now()));
    restart();
  }

  return {
    /** An update has come; `isLate`: it was published before this connection, and brought by a replay. */
    update(isLate) {
      known = now();
      caughtUp += isLate ? 1 : 0;
    },
    /** The connection is lost, or has been silent for so many ms: since then updates may be missing, until the next verdict. */
    lost(silentFor = 0) {
      leftAt ??= Math.max(known ?? -Infinity, now() - silentFor);
    },
    /** It was only silent: the same connection is heard again. */
    resume() {
      leftAt = null;
    },
    /** @param {{verdict?: string, missed?: number}} told */
    verdict({ verdict, missed }) {
      // A `fresh` behind the first verdict is a gap too: whoever had a position and lost it cannot know what was in between.
      if (verdict === "gap" || (verdict === "fresh" && since !== null)) noteGap(missed);
      if (since === null) restart();
      known = now();
      leftAt = null;
    },
    /** Such as "complete since 12:03:07". Up to when is said only where the connection is away. */
    get summary() {
      if (since === null) return "not known yet";
      if (leftAt !== null) return `complete up to ${clock(wallNow() - (now() - leftAt))}, then unknown`;
      return `complete since ${clock(since)}`;
    },
    /** Such as "14 updates / 14 s missing"; empty when nothing is. */
    get loss() {
      if (gaps === 0) return "";
      const atLeast = uncounted > 0 && missedUpdates > 0 ? "at least " : "";
      const updates = missedUpdates > 0 ? `${atLeast}${count(missedUpdates)} ${missedUpdates === 1 ? "update" : "updates"} / ` : "";
      return `${updates}${duration(Math.max(1000, Math.round(missedMs)))} missing${gaps > 1 ? `, in ${count(gaps)} gaps` : ""}`;
    },
    /** Updates that came late, by replays, and are not missing. */
    get caughtUp() {
      return caughtUp;
    },
  };
}
