/**
 * A cursor is the position behind the last update that was given out. It drops what comes a second time, after a reconnect or while
 * a page moves from one transport to the other.
 * A position is `<epoch>-<id>`; within an epoch ids rise by one per update (docs/protocol.md).
 */

/** @param {string} [start] where to start; empty or undefined: the server decides */
export function createCursor(start = "") {
  let position = start;
  return {
    get position() {
      return position;
    },
    /**
     * Move to the position of an update.
     * @param {string} next
     * @returns {boolean} false when that update was given out before: it is to be dropped
     */
    advance(next) {
      if (!isBehind(position, next)) return false;
      position = next;
      return true;
    },
    /**
     * Go to where the server starts anew (verdict `fresh` or `gap`), which may be in front of the old position.
     * @param {string} next
     */
    reset(next) {
      position = next;
    },
  };
}

/**
 * Whether `next` comes after `position`. Positions of two epochs cannot be compared: the server has said `gap` before it sends the
 * first of another one.
 * @param {string} position
 * @param {string} next
 */
export function isBehind(position, next) {
  const [epoch, id] = split(position);
  const [nextEpoch, nextId] = split(next);
  return epoch !== nextEpoch || Number.isNaN(id) || Number.isNaN(nextId) ? position !== next : nextId > id;
}

/** @param {string} position @returns {[string, number]} */
function split(position) {
  const dash = position.lastIndexOf("-");
  return [position.slice(0, Math.max(0, dash)), Number.parseInt(position.slice(dash + 1), 10)];
}
