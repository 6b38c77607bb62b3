/**
 * The one connection that tabs share, in the tab that leads or in a SharedWorker. It tells all tabs what comes, and a tab that joins
 * what it needs. It keeps no list of tabs: what they have seen they know themselves, and say when they join.
 */
import { connect } from "./auto.js";

/**
 * @typedef {{receive: (message: any, reply: (message: any) => void) => void, close: () => void}} Host
 *
 * Messages to the tabs: `welcome` (the answer to `join`), `state`, `verdict`, `update`, `ignored`, `pong`. Each names its host, so that a tab
 * notices when there is another one.
 * @param {import("./index.d.ts").ConnectOptions} options
 * @param {ReturnType<typeof import("./tail.js").createTail>} tail the updates before, of which the connection is to go on from the newest
 * @param {(message: any) => void} emit to all tabs
 * @returns {Host}
 */
export function createHost(options, tail, emit) {
  const host = Math.random().toString(36).slice(2);
  /** @type {{state: import("./index.d.ts").State, detail: Partial<import("./index.d.ts").StateDetail>}} */
  let standing = { state: "connecting", detail: {} };
  let known = false; // whether the server has said that the updates of the tail are all there are
  let over = false;

  /** @param {string} type @param {object} [more] */
  function send(type, more) {
    if (!over) emit({ type, host, ...more });
  }

  const client = connect({
    ...options,
    position: tail.head,
    onState(state, detail) {
      standing = { state, detail };
      send("state", describe());
    },
    onVerdict(verdict) {
      const before = tail.head;
      known = true;
      if (verdict.verdict !== "recovered") tail.reset(verdict.position);
      send("verdict", { verdict, before });
    },
    onUpdate(data, detail) {
      const entry = { ...detail, data, after: tail.head };
      tail.push(entry);
      send("update", { entry });
    },
    onIgnored: (what) => send("ignored", { what }),
  });

  const describe = () => ({ ...standing, transport: client.transport, reconnects: client.stats.reconnects });

  /**
   * What a tab at this position has to be told; undefined when the tail does not reach back to it, or the server has not answered yet.
   * @param {string} position
   */
  function catchUp(position) {
    const newest = tail.newest;
    if (!position && newest) return { verdict: { verdict: "fresh", position: newest.after }, updates: [newest] };
    if (!position) return known ? { verdict: { verdict: "fresh", position: tail.head }, updates: [] } : undefined;
    const updates = tail.since(position);
    return updates && { verdict: { verdict: "recovered", position, replaying: updates.length }, updates };
  }

  return {
    /** Messages of the tabs: `join` with a position, `ping`, `wake`, `reconnect`, `switch`. */
    receive(message, reply) {
      if (message.type === "join") reply({ type: "welcome", host, ...describe(), ...catchUp(message.position), start: known ? tail.start : undefined });
      if (message.type === "ping") send("pong");
      if (message.type === "wake") wake(client);
      if (message.type === "reconnect") client.reconnect();
      if (message.type === "switch") client.switchTo(message.transport);
    },
    /** Without a word to the tabs, which go on with the next host. */
    close() {
      over = true;
      client.close();
    },
  };
}

/** Something good has happened: do not sit out a delay. @param {import("./index.d.ts").Client} client */
export function wake(client) {
  if (client.state === "waiting" || client.state === "stale") client.reconnect();
}
