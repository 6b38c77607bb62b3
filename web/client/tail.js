/**
 * The newest updates of a stream, without a hole between them: what a tab is given that joins a shared connection. Bounded in updates and
 * in bytes. It knows no connection.
 */
import { isBehind } from "./cursor.js";

const MAX_ENTRIES = 200;
const MAX_BYTES = 1_000_000;

/**
 * @typedef {{
 *   after: string, position: string, data: unknown, size: number, transport: import("./index.d.ts").Transport,
 * }} Entry an update, and the position of the one before it
 *
 * @param {string} [start] the position in front of the first entry
 */
export function createTail(start = "") {
  /** @type {Entry[]} */
  let entries = [];
  let head = start;
  let bytes = 0;

  return {
    /** The position in front of the oldest entry. */
    get start() {
      return entries[0]?.after ?? head;
    },
    /** The position of the newest entry. */
    get head() {
      return head;
    },
    get newest() {
      return entries.at(-1);
    },
    /** @param {Entry} entry that follows the newest; one that is here is not taken twice */
    push(entry) {
      if (!isBehind(head, entry.position)) return;
      entries.push(entry);
      head = entry.position;
      bytes += entry.size;
      while (entries.length > MAX_ENTRIES || (bytes > MAX_BYTES && entries.length > 1)) {
        bytes -= /** @type {Entry} */ (entries.shift()).size;
      }
    },
    /** Start anew behind a hole. @param {string} position */
    reset(position) {
      entries = [];
      head = position;
      bytes = 0;
    },
    /**
     * The updates behind a position; undefined when some of them are not here, or never were.
     * @param {string} position
     */
    since(position) {
      return isBehind(position, this.start) ? undefined : entries.filter((entry) => isBehind(position, entry.position));
    },
  };
}
